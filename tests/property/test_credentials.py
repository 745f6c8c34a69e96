"""Credential parsing: every honest form of one key is the same credential, and two are never guessed between (K11)."""

import base64
import traceback
from collections.abc import Callable

from hypothesis import assume, example, given
from hypothesis import strategies as st

from keystead.gate.credentials import LONGEST, Kind, Presented, read_credential
from keystead.kernel.problems import HeadersTooLarge, Problem, TwoCredentials
from keystead.kernel.secrets import new_api_key, new_opaque

Header = tuple[bytes, bytes]

PREFIX = "pwt"
LOCAL = "http://127.0.0.1:8080"


def _basic(user_and_password: str, *, padded: bool = True) -> Header:
    encoded = base64.b64encode(user_and_password.encode())
    return b"authorization", b"Basic " + (encoded if padded else encoded.rstrip(b"="))


def _cookie(session: str) -> Header:
    return b"cookie", f"cloud.sso={session}".encode()


HONEST: list[Callable[[str], Header]] = [
    lambda key: (b"authorization", b"Bearer " + key.encode()),
    lambda key: (b"authorization", b"bearer   " + key.encode() + b" "),
    lambda key: (b"authorization", b" BEARER " + key.encode()),
    lambda key: (b"x-api-key", key.encode()),
    lambda key: (b"x-api-key", b" " + key.encode() + b"\t"),
    lambda key: _basic(key + ":"),
    _basic,
    lambda key: _basic(key, padded=False),
    lambda key: (b"authorization", _basic(key + ":")[1].replace(b"Basic", b"bAsIC")),
]
"""The ways in which the documents and their readers send an API key."""

api_keys = st.builds(
    lambda host: new_api_key(PREFIX, host).reveal(),
    st.sampled_from([LOCAL, "https://a.example", "https://ab.example", "https://abc.example", "https://abcd.example"]),
)
others = st.sampled_from([(b"accept", b"*/*"), (b"user-agent", b"curl/8"), (b"cookie", b"theme=dark")])
tokens = st.from_regex(r"[A-Za-z0-9_-]{8,40}\.[A-Za-z0-9_-]{8,40}\.[A-Za-z0-9_-]{8,40}", fullmatch=True)
sessions = st.builds(lambda: new_opaque("kss_").reveal())

names = st.sampled_from([b"authorization", b"x-api-key", b"cookie", b"host"])
pieces = st.sampled_from(
    [b"Basic ", b"Bearer ", b"cloud.sso=", b"; ", b"pwt_", b":", b"=", b'"', b" ", b"\xff", b"QQ=="]
)
values = st.binary(max_size=64) | st.lists(pieces | st.binary(max_size=12), max_size=8).map(b"".join)


@given(api_keys, st.lists(st.sampled_from(HONEST), min_size=1, max_size=4), st.lists(others, max_size=2))
def test_every_honest_form_of_one_key_is_the_same_credential(
    key: str, forms: list[Callable[[str], Header]], around: list[Header]
) -> None:
    headers = around[:1] + [form(key) for form in forms] + around[1:]
    assert read_credential(headers, PREFIX) == Presented(Kind.API_KEY, key)


@given(api_keys, api_keys, st.sampled_from(HONEST), st.sampled_from(HONEST), st.lists(others, max_size=2))
def test_two_different_keys_are_always_refused(
    one: str, other: str, first: Callable[[str], Header], second: Callable[[str], Header], around: list[Header]
) -> None:
    assert _refusal([first(one), *around, second(other)]) is TwoCredentials


@given(st.lists(st.one_of(api_keys.map(HONEST[3]), tokens.map(HONEST[0]), sessions.map(_cookie))))
def test_two_credentials_of_different_kinds_are_always_refused(headers: list[Header]) -> None:
    expected = TwoCredentials if len(set(headers)) > 1 else None
    assert _refusal(headers) is expected


@given(sessions, sessions)
def test_two_session_cookies_are_refused_in_one_header_and_in_two(one: str, other: str) -> None:
    together = (b"cookie", f"a=b; cloud.sso={one}; cloud.sso={other}".encode())
    assert _refusal([together]) is TwoCredentials
    assert _refusal([_cookie(one), _cookie(other)]) is TwoCredentials


@given(sessions, st.lists(st.from_regex(r"[a-z]{1,8}=[a-z0-9]{0,8}", fullmatch=True), max_size=4), st.booleans())
def test_the_session_cookie_is_found_among_others(session: str, crumbs: list[str], quoted: bool) -> None:
    value = f'"{session}"' if quoted else session
    header = "; ".join([*crumbs[:2], f"cloud.sso={value}", *crumbs[2:]]).encode()
    assert read_credential([(b"cookie", header)], PREFIX) == Presented(Kind.SESSION, session)


@given(st.lists(st.tuples(names | st.binary(max_size=12), values), max_size=5))
@example([(b"authorization", b"Basic \xff")])
@example([(b"authorization", b"Basic " + base64.b64encode(b"\xff\xfe:"))])
def test_arbitrary_headers_never_raise_anything_but_a_problem(headers: list[Header]) -> None:
    refusal = _refusal(headers)
    assert refusal is None or issubclass(refusal, Problem)


@given(st.lists(st.tuples(names, values), min_size=1, max_size=3))
def test_what_cannot_be_read_does_not_pass_for_no_credential(headers: list[Header]) -> None:
    sent = [value for name, value in headers if name in {b"authorization", b"x-api-key"} and value.strip()]
    assume(sent)
    try:
        found = read_credential(headers, PREFIX)
    except (TwoCredentials, HeadersTooLarge):
        return
    assert found is not None


@given(api_keys, api_keys, st.sampled_from(HONEST), st.sampled_from(HONEST))
def test_no_refusal_and_no_traceback_shows_the_secret(
    one: str, other: str, first: Callable[[str], Header], second: Callable[[str], Header]
) -> None:
    for headers in ([first(one), second(other)], [first(one + "x" * LONGEST)]):
        try:
            read_credential(headers, PREFIX)
        except Problem as problem:
            shown = "".join(traceback.format_exception(problem)) + problem.detail + repr(problem)
        else:
            shown = "nothing was refused"
        assert shown != "nothing was refused"
        assert one not in shown
        assert other not in shown


@given(api_keys)
def test_a_presented_credential_does_not_show_itself(key: str) -> None:
    presented = read_credential([HONEST[0](key)], PREFIX)
    assert presented is not None
    assert key not in f"{presented!r} {presented}"


def _refusal(headers: list[Header]) -> type[Problem] | None:
    try:
        read_credential(headers, PREFIX)
    except Problem as problem:
        return type(problem)
    return None
