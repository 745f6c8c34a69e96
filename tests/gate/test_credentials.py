"""Every honest way to send a credential works, and one request carries one (promise K11)."""

import base64
import contextlib
import re
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.gate.credentials import LONGEST, Kind, read_credential
from keystead.kernel.problems import HeadersTooLarge, TwoCredentials
from keystead.kernel.secrets import new_api_key, new_opaque
from tests.gate.conftest import Ring
from tests.gate.serving import raw, status_of
from tests.support.server import KeysteadServer

KEY = new_api_key("pwt", "https://auth.example.com").reveal()
OTHER = new_api_key("pwt", "https://auth.example.com").reveal()
SESSION = new_opaque("kss_").reveal()
Header = tuple[str, str]


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


KEY_WAYS: dict[str, Callable[[str], Header]] = {
    "Bearer": lambda key: ("Authorization", f"Bearer {key}"),
    "bearer in small letters": lambda key: ("authorization", f"bearer {key}"),
    "Basic with a colon": lambda key: ("Authorization", basic(f"{key}:")),
    "Basic without the colon": lambda key: ("Authorization", basic(key)),
    "Basic without padding": lambda key: ("Authorization", basic(f"{key}:").rstrip("=")),
    "x-api-key": lambda key: ("x-api-key", key),
}


def read(*headers: Header) -> tuple[Kind, str] | None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    found = read_credential(raw, "pwt")
    return None if found is None else (found.kind, found.text)


# Reading, without a server


@pytest.mark.parametrize("way", KEY_WAYS.values(), ids=KEY_WAYS)
def test_an_api_key_is_read_in_every_honest_way(way: Callable[[str], Header]) -> None:
    assert read(way(KEY)) == (Kind.API_KEY, KEY)


@pytest.mark.parametrize("second", KEY_WAYS.values(), ids=KEY_WAYS)
@pytest.mark.parametrize("first", KEY_WAYS.values(), ids=KEY_WAYS)
def test_the_same_key_sent_in_two_ways_is_one_credential(
    first: Callable[[str], Header], second: Callable[[str], Header]
) -> None:
    assert read(first(KEY), second(KEY)) == (Kind.API_KEY, KEY)


@pytest.mark.parametrize("second", KEY_WAYS.values(), ids=KEY_WAYS)
@pytest.mark.parametrize("first", KEY_WAYS.values(), ids=KEY_WAYS)
def test_two_different_keys_are_refused_however_they_are_sent(
    first: Callable[[str], Header], second: Callable[[str], Header]
) -> None:
    with pytest.raises(TwoCredentials) as refusal:
        read(first(KEY), second(OTHER))
    assert KEY not in refusal.value.detail
    assert OTHER not in refusal.value.detail


@pytest.mark.parametrize("way", KEY_WAYS.values(), ids=KEY_WAYS)
def test_a_session_cookie_beside_a_key_is_refused(way: Callable[[str], Header]) -> None:
    with pytest.raises(TwoCredentials) as refusal:
        read(way(KEY), ("Cookie", f"cloud.sso={SESSION}"))
    assert "Send only one of them" in refusal.value.detail


def test_the_session_cookie_is_found_among_others() -> None:
    assert read(("Cookie", f"a=b; cloud.sso={SESSION}; cloud.ssoo=x;;=")) == (Kind.SESSION, SESSION)


def test_the_cookie_may_come_in_several_headers_and_twice_with_the_same_value() -> None:
    assert read(("Cookie", "a=b"), ("Cookie", f"cloud.sso={SESSION}")) == (Kind.SESSION, SESSION)
    assert read(("Cookie", f"cloud.sso={SESSION}; cloud.sso={SESSION}")) == (Kind.SESSION, SESSION)


@pytest.mark.parametrize(
    "headers",
    [
        [("Cookie", f"cloud.sso={SESSION}; cloud.sso=another")],
        [("Cookie", f"cloud.sso={SESSION}"), ("Cookie", "cloud.sso=another")],
    ],
)
def test_two_session_cookies_with_different_values_are_refused(headers: list[Header]) -> None:
    with pytest.raises(TwoCredentials) as refusal:
        read(*headers)
    assert SESSION not in refusal.value.detail


UNREADABLE = {
    "a key with a password": basic(f"{KEY}:password"),
    "a key as the password": basic(f"ada:{KEY}"),
    "Basic of nothing": basic(""),
    "Basic of a colon": basic(":"),
    "Basic alone": "Basic",
    "Basic that is not base64": "Basic %%%",
    "Basic that is not text": "Basic " + base64.b64encode(b"\xff\xfe:").decode(),
    "Bearer alone": "Bearer",
    "Bearer and a space": "Bearer ",
    "Bearer that is not ASCII": "Bearer \xff",
    "another scheme": "Digest username=ada",
    "a key without a scheme": KEY,
}


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_a_credential_all_the_same_and_never_passes_for_none(value: str) -> None:
    found = read(("Authorization", value))
    assert found is not None
    assert found[0] is Kind.UNREADABLE


@pytest.mark.parametrize("headers", [[], [("Cookie", "cloud.sso=")], [("x-api-key", " ")], [("Authorization", "")]])
def test_an_empty_header_carries_no_credential(headers: list[Header]) -> None:
    assert read(*headers) is None


def test_a_credential_too_long_to_be_one_is_refused_as_a_header() -> None:
    with pytest.raises(HeadersTooLarge) as refusal:
        read(("Authorization", "Bearer " + "a" * (LONGEST + 1)))
    assert refusal.value.status == 431


def test_a_presented_credential_does_not_show_itself() -> None:
    found = read_credential([(b"x-api-key", KEY.encode())], "pwt")
    assert KEY not in f"{found!r} {found} {[found]}"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key", b"cookie", b"accept"]),
            st.one_of(
                st.binary(max_size=60),
                st.binary(max_size=60).map(lambda value: b"Basic " + base64.b64encode(value)),
                st.sampled_from([f"Bearer {KEY}".encode(), KEY.encode(), f"cloud.sso={SESSION}".encode()]),
            ),
        ),
        max_size=4,
    )
)
def test_no_header_makes_reading_fail_otherwise_than_by_a_refusal(headers: list[tuple[bytes, bytes]]) -> None:
    found = None
    with contextlib.suppress(TwoCredentials, HeadersTooLarge):
        found = read_credential(headers, "pwt")
    assert found is None or (found.text and found.text.isascii()) or found.kind is Kind.UNREADABLE


# At the server


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify"])
@pytest.mark.parametrize("way", KEY_WAYS.values(), ids=KEY_WAYS)
def test_the_server_knows_a_key_in_every_honest_way(
    http: httpx.Client, ring: Ring, way: Callable[[str], Header], path: str
) -> None:
    assert http.get(path, headers=[way(ring.api_key)]).status_code == 200


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify"])
@pytest.mark.parametrize("kind", ["short_term_token", "access_token"])
def test_the_server_knows_a_bearer_token(http: httpx.Client, ring: Ring, kind: str, path: str) -> None:
    assert http.get(path, headers={"Authorization": f"Bearer {getattr(ring, kind)}"}).status_code == 200


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify"])
def test_the_server_knows_a_session_by_its_cookie(http: httpx.Client, ring: Ring, path: str) -> None:
    assert http.get(path, headers={"Cookie": f"cloud.sso={ring.session}"}).status_code == 200


def two_at_once(ring: Ring) -> dict[str, list[Header]]:
    bearer, cookie = ("Authorization", f"Bearer {ring.api_key}"), ("Cookie", f"cloud.sso={ring.session}")
    return {
        "Bearer and Basic": [bearer, ("Authorization", basic(f"{ring.other}:"))],
        "two Bearer headers": [bearer, ("Authorization", f"Bearer {ring.short_term_token}")],
        "Bearer and cookie": [bearer, cookie],
        "x-api-key and cookie": [("x-api-key", ring.api_key), cookie],
        "x-api-key and Bearer": [("x-api-key", ring.api_key), ("Authorization", f"Bearer {ring.access_token}")],
        "two cookies": [("Cookie", f"cloud.sso={ring.session}; cloud.sso=kss_other")],
        "garbage and cookie": [("Authorization", "Bearer garbage"), cookie],
        "unreadable and cookie": [("Authorization", "Digest x"), cookie],
    }


def test_two_different_credentials_are_400_and_the_text_says_how_to_mend_it(http: httpx.Client, ring: Ring) -> None:
    for name, headers in two_at_once(ring).items():
        answer = http.get("/api/auth/session", headers=headers)
        assert answer.status_code == 400, name
        assert answer.json()["code"] == "two_credentials", name
        assert re.search(r"Send only one|Delete this site's cookies", answer.json()["detail"]), name


def test_two_different_credentials_are_401_for_a_proxy_that_asks(http: httpx.Client, ring: Ring) -> None:
    for name, headers in two_at_once(ring).items():
        assert http.get("/verify", headers=headers).status_code == 401, name


def test_two_different_credentials_reach_no_page_and_no_api(http: httpx.Client, ring: Ring) -> None:
    for name, headers in two_at_once(ring).items():
        assert http.get("/", headers=headers).status_code == 400, name
        assert http.get("/account/service/v1/apps", headers=headers).status_code == 400, name


WRONG: dict[str, Callable[[Ring], Header]] = {
    "garbage": lambda _: ("Authorization", "Bearer garbage"),
    "a token cut short": lambda ring: ("Authorization", f"Bearer {ring.short_term_token[:-1]}"),
    "a token with another signature": lambda ring: (
        "Authorization",
        f"Bearer {ring.short_term_token.rpartition('.')[0]}.{ring.access_token.rpartition('.')[2]}",
    ),
    "an unsigned token": lambda ring: ("Authorization", f"Bearer eyJhbGciOiJub25lIn0.{ring.access_token[37:80]}."),
    "a key that nobody made": lambda _: ("x-api-key", KEY),
    "a key with a typo": lambda ring: ("x-api-key", ring.api_key[:-1] + ("a" if ring.api_key[-1] != "a" else "b")),
    "a session that nobody began": lambda _: ("Cookie", f"cloud.sso={SESSION}"),
    "Basic with a password": lambda ring: ("Authorization", basic(f"{ring.api_key}:secret")),
    "Basic with user and password": lambda _: ("Authorization", basic("ada:correct horse battery staple")),
    "Basic that is not base64": lambda _: ("Authorization", "Basic ???"),
    "another scheme": lambda ring: ("Authorization", f"Token {ring.api_key}"),
    "no scheme": lambda ring: ("Authorization", ring.api_key),
}


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_credential_is_401_and_says_how_to_authenticate(
    http: httpx.Client, ring: Ring, wrong: Callable[[Ring], Header], path: str
) -> None:
    answer = http.get(path, headers=[wrong(ring)])
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["cache-control"] == "no-store"


def test_no_credential_is_401_and_says_how_to_authenticate(http: httpx.Client) -> None:
    answers = [http.get(path) for path in ("/api/auth/session", "/verify", "/account/service/v1/apps")]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert all("Basic" in answer.headers["www-authenticate"] for answer in answers)


MISPLACED: dict[str, Callable[[Ring], Header]] = {
    "a session as a bearer token": lambda ring: ("Authorization", f"Bearer {ring.session}"),
    "a session as an API key": lambda ring: ("x-api-key", ring.session),
    "a token as a cookie": lambda ring: ("Cookie", f"cloud.sso={ring.short_term_token}"),
    "a token as an API key": lambda ring: ("x-api-key", ring.short_term_token),
    "a token as a Basic user": lambda ring: ("Authorization", basic(f"{ring.access_token}:")),
    "a key as a cookie": lambda ring: ("Cookie", f"cloud.sso={ring.api_key}"),
    "a key as a scheme": lambda ring: ("Authorization", ring.api_key),
}


@pytest.mark.parametrize("misplaced", MISPLACED.values(), ids=MISPLACED)
def test_a_credential_the_server_remembers_is_still_none_in_another_ones_place(
    http: httpx.Client, ring: Ring, misplaced: Callable[[Ring], Header]
) -> None:
    for header in (
        ("Cookie", f"cloud.sso={ring.session}"),
        ("Authorization", f"Bearer {ring.api_key}"),
        ("Authorization", f"Bearer {ring.short_term_token}"),
        ("Authorization", f"Bearer {ring.access_token}"),
    ):
        assert http.get("/api/auth/session", headers=[header]).status_code == 200
    assert http.get("/api/auth/session", headers=[misplaced(ring)]).status_code == 401
    assert http.get("/verify", headers=[misplaced(ring)]).status_code == 401


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify", "/account/service/v1/apps", "/"])
def test_nothing_in_a_query_string_is_a_credential(http: httpx.Client, ring: Ring, path: str) -> None:
    anonymous = http.get(path).status_code
    for name in ("access_token", "token", "api_key", "apikey", "key", "x-api-key", "cloud.sso", "Authorization"):
        for secret in (ring.api_key, ring.short_term_token, ring.session, f"Bearer {ring.access_token}"):
            assert http.get(path, params={name: secret}).status_code == anonymous, name


def test_nothing_in_a_trailer_is_a_credential(gate: KeysteadServer, ring: Ring) -> None:
    request = (
        b"GET /api/auth/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nAuthorization: Bearer " + ring.api_key.encode() + b"\r\n\r\n"
    )
    assert status_of(raw(gate.url, request)) == 401


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify", "/healthz", "/sign-in", "/openapi.json"])
def test_head_answers_as_get_does_without_the_body(http: httpx.Client, ring: Ring, path: str) -> None:
    headers = {"Authorization": f"Bearer {ring.api_key}"} if path in {"/api/auth/session", "/verify"} else {}
    got, head = http.get(path, headers=headers), http.head(path, headers=headers)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers.get("content-type") == got.headers.get("content-type")


@pytest.mark.parametrize("path", ["/api/auth/session", "/verify", "/healthz", "/readyz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_can_only_be_read_is_405_with_allow(http: httpx.Client, ring: Ring, method: str, path: str) -> None:
    answer = http.request(method, path, headers={"Authorization": f"Bearer {ring.api_key}"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
