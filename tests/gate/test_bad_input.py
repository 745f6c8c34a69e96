"""Bad input, at every address there is: the right refusal in the dialect of the place, never a 500, nothing changed."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.gate.conftest import Ring
from tests.gate.endpoints import JSON, Endpoint, endpoints, values_of
from tests.gate.serving import Furnished, ask, dump, in_process
from tests.support.browser import Browser
from tests.support.server import KeysteadServer, Person
from tests.wire.shapes import check_refusal

HOSTILE_FORMS: dict[str, tuple[str, set[int] | None]] = {
    "invalid UTF-8": ("{}=%ff%fe", {400}),
    "a surrogate": ("{}=%ed%a0%80", {400}),
    "overlong UTF-8": ("{}=%c0%ae", {400}),
    "NUL": ("{}=a%00b", {400}),
    "twice": ("{0}=a&{0}=b", {400}),
    "twice, once empty": ("{0}=a&{0}=", {400}),
    "too many": ("&".join(f"f{n}=1" for n in range(60)) + "&{}=1", {400}),
    "not percent-encoded": ("{}=\xff", {400}),
    "half an escape": ("{}=%", None),
    "no escape at all": ("{}=%zz", None),
    "an array": ("{}[]=a", None),
    "no value": ("{}", None),
    "no name": ("=a&=b", None),
    "very long": ("{}=" + "a" * 60_000, None),
    "empty": ("", None),
    "JSON": ('{{"{}": "a"}}', None),
}
HOSTILE_VALUES: dict[str, str] = {
    "array": "[]",
    "array of one": '["x"]',
    "object": '{"x": "y"}',
    "null": "null",
    "true": "true",
    "number": "-1",
    "huge number": "9" * 400,
    "huger number": "9" * 5_000,
    "infinity": "1e999",
    "not a number": "NaN",
    "fraction": "0.1",
    "lone surrogate": '"\\ud800"',
    "surrogates the wrong way round": '"\\udc00\\ud800"',
    "NUL": '"a\\u0000b"',
    "escape sequence": '"\\u001b[31m"',
    "right to left": '"\\u202e"',
    "very long": '"' + "a" * 60_000 + '"',
    "empty": '""',
}
HOSTILE_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half": b'{"a": ',
    "not JSON": b"a=b",
    "array": b"[]",
    "string": b'"x"',
    "null": b"null",
    "number": b"1",
    "invalid UTF-8": b'{"a": "\xff"}',
    "deep array": b"[" * 30_000,
    "deep object": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "two documents": b"{}{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "compressed": gzip.compress(b'{"a": 1}'),
    "single quotes": b"{'a': 1}",
}
WELL = {"amount_cents": 500, "platform": {}, "expires_in": 60, "overlap_seconds": 0}
"""Values that fit, where a text does not."""
FITS = {("expires_in", "null"), ("includeResources", "null"), ("includeResources", "true"), ("removeAll", "true")}
"""What is right after all: null says the same as leaving it out."""
MAY_BE_EMPTY = {"DELETE /api/organizations/{organization}/users/{user}/login-sessions"}
"""Where the whole body may be left out."""
PAGE_REFUSES = {400, 403, 404, 405, 422}
"""What a page answers to such a path; its forms are sent without their token."""
ROOT = Person("root", "a gardener under every hill", "root@example.com", "owner")
A_STRANGE_NAME = {
    "/api/sso/password/login": {401},  # is a wrong one
    "/api/sso/impersonate": {404},  # is nobody's
}
A_POLICY = "/policies/{name}"
"""Which bodies are right depends on the name, and a name that no policy has is 404."""
DAYS = "/policies/max-api-key-ttl"
"""Whose body is a number."""
MAKES_SOMETHING = "/api/auth/token"
"""The one GET that makes something; with a strange query as well."""
MAY_SUCCEED = {"/getServiceKeys/register", "/api/sso/password/reset"}
"""Registering stores nothing, so it may take what another endpoint has to refuse. Asking for a new password says the
same of every name."""
ALSO_READ = {("/api/sso/mfa/login", "application/octet-stream")}
"""Another media type in which a body is read: the SDK sends JSON as octets."""


@pytest.fixture(scope="module")
def everything(furnished: Furnished, tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, ...]:
    return endpoints(furnished.data, tmp_path_factory.mktemp("endpoints") / "data")


@pytest.fixture(scope="module")
def readers(everything: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Give the endpoints that read a body."""
    return tuple(one for one in everything if one.reads)


@pytest.fixture(scope="module")
def ids(gate: KeysteadServer, ring: Ring, furnished: Furnished, everything: tuple[Endpoint, ...]) -> dict[str, str]:
    """Give values for the parameters of paths: an app and a key of acme, and ids of nothing."""
    app_id = ask(gate.data, "SELECT app_id FROM api_key ORDER BY id LIMIT 1")[0]
    key_id = ask(gate.data, "SELECT id FROM api_key ORDER BY id LIMIT 1")[0]
    known = {"app_id": app_id, "api_key_id": key_id, "app": app_id, "key": key_id, "user": furnished.bob}
    return values_of(everything, {**known, "code": "internal", "name": "keystead.css"})


@pytest.fixture(autouse=True)
def nothing_changes(gate: KeysteadServer, ring: Ring) -> Iterator[Path]:
    """Hold of every test here that it changes nothing."""
    before = dump(gate.data)
    yield gate.data
    assert dump(gate.data) == before


@pytest.fixture(scope="module")
def ring(ring: Ring, gate: KeysteadServer) -> Ring:
    """Give ada's credentials, but the session of an owner who also operates the installation and sees every page."""

    async def work(services: Services) -> None:
        await services.accounts.create_user(
            username=ROOT.username,
            email=ROOT.email,
            organization="acme",
            role=Role.OWNER,
            password=Secret(ROOT.password),
            platform_admin=True,
        )

    in_process(gate.data, gate.url, work)
    with Browser(gate.url) as browser:
        browser.sign_in(ROOT.username, ROOT.password)
        return replace(ring, session=browser.cookies["cloud.sso"].value)


def credential(one: Endpoint, ring: Ring) -> dict[str, str]:
    """Return the header that lets somebody in there who may do everything."""
    if one.path.startswith("/account/"):
        return {"Authorization": f"Bearer {ring.short_term_token}"}
    if one.path.startswith("/getServiceKeys/") and one.path != "/getServiceKeys/device":
        return {}
    if one.path.endswith("/introspect"):
        return {"x-api-key": ring.api_key}
    return {"Cookie": f"cloud.sso={ring.session}"}


def send(
    http: httpx.Client, one: Endpoint, ids: dict[str, str], content: bytes | Iterator[bytes], headers: dict[str, str]
) -> httpx.Response:
    return http.request(one.method, one.at(ids), content=content, headers=headers)


def check(answer: httpx.Response, one: Endpoint, what: str, allowed: set[int] | None = None) -> None:
    """Assert that an answer is no fault of ours, told as the place tells it, and one of ``allowed``."""
    assert answer.status_code < 500, (str(one), what, answer.text)
    if answer.status_code >= 400:
        check_refusal(answer)
    if allowed is not None:
        assert answer.status_code in allowed, (str(one), what, answer.text[:300])


# Size


def test_a_body_that_says_it_is_too_long_is_413(
    http: httpx.Client, ring: Ring, everything: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    for one in everything:
        if one.method == "POST":
            answer = send(http, one, ids, b"a" * 65_537, {"Content-Type": one.reads, **credential(one, ring)})
            check(answer, one, "declared", {413})
            assert answer.status_code == 413


def test_a_body_without_a_length_that_turns_out_too_long_is_413(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    for one in readers:
        for media_type, allowed in ((one.reads, {413}), ("text/plain", {413, 415})):
            parts = (b"a" * 1_024 for _ in range(80))
            answer = send(http, one, ids, parts, {"Content-Type": media_type, **credential(one, ring)})
            check(answer, one, f"chunked {media_type}", allowed)
            assert answer.status_code in allowed


def test_a_body_of_just_the_length_that_is_read_is_not_too_long(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    statuses = set()
    for one in readers:
        answer = send(http, one, ids, b"a" * 65_536, {"Content-Type": one.reads, **credential(one, ring)})
        check(answer, one, "just fits")
        statuses.add(answer.status_code)
    assert 413 not in statuses


def test_headers_beyond_measure_are_431_everywhere(
    http: httpx.Client, everything: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    many = [(f"X-{number}", "a" * 20) for number in range(1_500)]
    for one in everything:
        for headers in ([("X-Long", "a" * 40_000)], many, [("Cookie", "a=" + "b" * 40_000)]):
            answer = http.request(one.method, one.at(ids), headers=headers)
            check(answer, one, "headers", {431})
            assert answer.status_code == 431


# Type


def test_a_media_type_that_is_not_read_is_415(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    wrong = [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "",
        "nonsense",
        "*/*",
        "a/b/c",
    ]
    for one in readers:
        # FastAPI documents a body that it does not read as one whose values do not fit.
        allowed = {415, 422} if one.path.startswith("/account/") else {415}
        for media_type in [*wrong, "application/x-www-form-urlencoded" if one.reads == JSON else JSON]:
            if (one.path, media_type) in ALSO_READ:
                continue
            headers = {"Content-Type": media_type} if media_type else {}
            answer = send(http, one, ids, b"a=b", {**headers, **credential(one, ring)})
            check(answer, one, media_type, allowed)
            assert answer.status_code in allowed


# Forms


def test_no_form_however_twisted_is_more_than_refused(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    forms = [one for one in readers if one.reads != JSON]
    for one in forms:
        for field in one.members:
            for what, (pattern, allowed) in HOSTILE_FORMS.items():
                content = pattern.format(field).encode("latin-1")
                answer = send(http, one, ids, content, {"Content-Type": one.reads, **credential(one, ring)})
                check(answer, one, f"{field}: {what}", allowed)
    assert len(forms) >= 6


# JSON


def test_no_value_of_the_wrong_kind_is_taken_for_a_right_one(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    seen = 0
    for one in readers:
        if one.reads != JSON:
            continue
        allowed = None if one.path in MAY_SUCCEED else {400, 422} | A_STRANGE_NAME.get(one.path, set())
        for member in one.members:
            for what, value in HOSTILE_VALUES.items():
                if (member, what) in FITS:
                    continue
                rest = {name: WELL.get(name, "x") for name in one.members if name != member}
                content = f'{{"{member}": {value}, {json.dumps(rest)[1:]}'.replace(", }", "}").encode()
                answer = send(http, one, ids, content, {"Content-Type": JSON, **credential(one, ring)})
                check(answer, one, f"{member}: {what}", allowed)
                seen += 1
    assert seen > 100


def test_no_body_that_is_not_an_object_is_read(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    statuses = set()
    for one in readers:
        if one.reads == JSON and not one.path.endswith(A_POLICY):
            for what, content in HOSTILE_BODIES.items():
                if (not content and str(one) in MAY_BE_EMPTY) or (what == "number" and one.path.endswith(DAYS)):
                    continue
                for headers in ({}, {"Content-Encoding": "gzip"}, {"Content-Type": "application/json; charset=utf-16"}):
                    sent = {"Content-Type": JSON, **headers, **credential(one, ring)}
                    answer = send(http, one, ids, content, sent)
                    check(answer, one, what, {400, 422})
                    statuses.add(answer.status_code)
    assert statuses == {400, 422}


def test_a_member_sent_twice_is_refused_because_somebody_else_may_have_read_the_other(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    for one in readers:
        if one.reads == JSON:
            for member in one.members:
                well = json.dumps({name: WELL.get(name, "x") for name in one.members})
                twice = well.replace("{", f'{{"{member}": "y", ', 1).encode()
                answer = send(http, one, ids, twice, {"Content-Type": JSON, **credential(one, ring)})
                check(answer, one, f"{member} twice", {400})
                assert "more than once" in answer.text, str(one)


def test_a_refusal_does_not_repeat_what_was_sent(
    http: httpx.Client, ring: Ring, readers: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    canary = "canary-8d1f6c"
    for one in readers:
        for member in one.members:
            if one.reads == JSON:
                content = json.dumps({member: [canary]}).encode()
            else:
                content = f"{member}={canary}&{member}={canary}".encode()
            answer = send(http, one, ids, content, {"Content-Type": one.reads, **credential(one, ring)})
            assert canary not in answer.text, (str(one), member)
            assert canary not in str(answer.headers), (str(one), member)


# Addresses


HOSTILE_SEGMENTS = (
    "%00",
    "%ff",
    "%2e%2e",
    "%2e%2e%2f",
    "a" * 3_000,
    "0",
    "-1",
    "null",
    "'%20OR%201=1--",
    "%0d%0aX:y",
    "{}",
)


def test_no_path_however_twisted_is_more_than_refused(
    http: httpx.Client, ring: Ring, everything: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    tried = 0
    for one in everything:
        for parameter in one.parameters:
            for segment in (*HOSTILE_SEGMENTS, new_id(), new_id().upper()):
                path = one.at({**ids, parameter: segment})
                told = {name: WELL.get(name, "x") for name in one.members}
                body = json.dumps(told) if one.reads == JSON else urlencode(told)
                headers = {"Content-Type": one.reads, **credential(one, ring)} if one.reads else credential(one, ring)
                answer = http.request(one.method, path, content=body if one.members else None, headers=headers)
                check(answer, one, segment, PAGE_REFUSES if one.page else {400, 404, 405, 422})
                tried += 1
    assert tried > 50


HOSTILE_QUERIES = (
    "%ff=%fe",
    "a=%00",
    "a=1&a=2",
    "&&&===",
    "%",
    "%zz=%zz",
    "a[]=1",
    "a=" + "b" * 8_000,
    "%7f",
    "'\"<>",
)


def test_no_query_however_twisted_makes_a_fault(
    http: httpx.Client, ring: Ring, everything: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    for one in everything:
        if one.method == "GET" and one.path != MAKES_SOMETHING:
            plain = http.get(one.at(ids), headers=credential(one, ring)).status_code
            for query in HOSTILE_QUERIES:
                answer = http.get(f"{one.at(ids)}?{query}", headers=credential(one, ring))
                check(answer, one, query, {plain, 400, 403})
                assert answer.status_code < 500


def test_a_method_that_an_address_does_not_know_is_405_and_all_it_knows_are_named(
    http: httpx.Client, ring: Ring, everything: tuple[Endpoint, ...], ids: dict[str, str]
) -> None:
    known: dict[str, set[str]] = {}
    for one in everything:
        known.setdefault(one.at(ids), set()).update({one.method} | ({"HEAD"} if one.method == "GET" else set()))
    for path, methods in known.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - methods:
            answer = http.request(method, path)
            assert answer.status_code == 405, (method, path)
            assert methods <= {name.strip() for name in answer.headers["allow"].split(",")}, (method, path)
            check_refusal(answer)


def test_an_address_that_there_is_not_is_404_in_the_dialect_of_its_surroundings(http: httpx.Client) -> None:
    paths = [
        "/nothing",
        "/api/nothing",
        "/getServiceKeys/nothing",
        "/account/nothing",
        "/account",
        "/account/service/v1",
    ]
    twisted = [
        "//verify",
        "/verify/",
        "/VERIFY",
        "/api/auth/session/",
        "/getServiceKeys/token/",
        "/%00",
        "/%ff",
        "/..%2f",
    ]
    for path in paths + twisted:
        for method in ("GET", "POST"):
            answer = http.request(method, http.base_url.copy_with(raw_path=path.encode()))
            assert answer.status_code == 404, (method, path)
            check_refusal(answer)


def test_the_server_is_well_afterwards(http: httpx.Client, ring: Ring) -> None:
    answer: Any = http.get("/api/auth/session", headers={"Cookie": f"cloud.sso={ring.session}"})
    assert answer.status_code == 200
