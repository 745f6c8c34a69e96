"""Everything that looks like a token and is none is refused, quietly, with the answer None (RFC 8725)."""

import asyncio
import base64
import hashlib
import hmac
import json
import string
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity
from keystead.kernel.scopes import ALL_SCOPES, Role
from keystead.tokens.models import Algorithm
from tests.support.engine import sqlite_of
from tests.tokens.desk import PUBLIC_URL, Desk, open_desk


def encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return found


async def access_token(desk: Desk, identity: Identity) -> str:
    issued = await desk.tokens.issue_access_token(
        identity=identity, client_id="c", scopes=ALL_SCOPES, grant_id=new_id()
    )
    return issued.token.reveal()


async def signed(desk: Desk, algorithm: Algorithm, claims: dict[str, Any], **header: Any) -> str:
    """Sign claims with our own key, as only we could."""
    key = await desk.signing.signer(algorithm)
    written = {"alg": algorithm.value, "kid": key.row.kid, **header}
    text = encoded(written) + "." + encoded(claims)
    compact = jws.serialize_compact(written, json.dumps(claims), key.secret, algorithms=[algorithm.value])
    assert compact.count(".") == text.count(".") + 1
    return compact


async def test_an_unsigned_token_is_refused(desk: Desk) -> None:
    token = await access_token(desk, await desk.enrol("ada", Role.OWNER))
    header, claims, signature = token.split(".")
    for alg in ("none", "None", "NONE", ""):
        forged = encoded({**decoded(header), "alg": alg})
        for tail in ("", signature, "AA"):
            assert await desk.tokens.find(f"{forged}.{claims}.{tail}") is None


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_a_token_macked_with_our_public_key_is_refused(desk: Desk, algorithm: Algorithm) -> None:
    token = await access_token(desk, await desk.enrol("ada", Role.OWNER))
    key = await desk.signing.signer(algorithm)
    header = encoded({"alg": "HS256", "kid": key.row.kid, "typ": "at+jwt"})
    signing_input = header + "." + token.split(".")[1]
    for public in (key.secret.as_pem(private=False), json.dumps(key.jwk).encode()):
        mac = encoded(hmac.digest(public, signing_input.encode(), hashlib.sha256))
        assert await desk.tokens.find(f"{signing_input}.{mac}") is None


async def test_an_es256_token_under_the_kid_of_an_rsa_key_is_refused(desk: Desk) -> None:
    token = await access_token(desk, await desk.enrol("ada", Role.OWNER))
    rsa = (await desk.signing.signer(Algorithm.SHORT_TERM)).row.kid
    for alg in ("ES256", "RS256"):
        swapped = {**decoded(token.split(".")[0]), "kid": rsa, "alg": alg}
        assert await desk.tokens.find(".".join([encoded(swapped), *token.split(".")[1:]])) is None
    assert await desk.tokens.find(token) is not None


async def test_a_token_signed_by_a_strangers_key_under_our_kid_is_refused(desk: Desk) -> None:
    claims = decoded((await access_token(desk, await desk.enrol("ada", Role.OWNER))).split(".")[1])
    for algorithm, key in ((Algorithm.ACCESS, ECKey.generate_key()), (Algorithm.SHORT_TERM, RSAKey.generate_key(2048))):
        ours = await desk.signing.signer(algorithm)
        header = {"alg": algorithm.value, "kid": ours.row.kid, "typ": "at+jwt"}
        forged = jws.serialize_compact(header, json.dumps(claims), key, algorithms=[algorithm.value])
        assert await desk.tokens.find(forged) is None


async def test_a_key_that_the_token_brings_along_is_ignored(desk: Desk) -> None:
    claims = decoded((await access_token(desk, await desk.enrol("ada", Role.OWNER))).split(".")[1])
    key = ECKey.generate_key()
    header = {"alg": "ES256", "kid": "theirs", "typ": "at+jwt", "jwk": key.as_dict(private=False)}
    forged = jws.serialize_compact(header, json.dumps(claims), key, algorithms=["ES256"])
    assert await desk.tokens.find(forged) is None


@pytest.mark.sqlite
async def test_an_unknown_kid_is_refused_without_a_query(desk: Desk) -> None:
    token = await access_token(desk, await desk.enrol("ada", Role.OWNER))
    statements: list[str] = []
    sqlite_of(desk.db)._reads.set_trace_callback(statements.append)
    for kid in ("unknown", "", "../../etc/passwd", "' OR 1=1 --"):
        renamed = {**decoded(token.split(".")[0]), "kid": kid}
        assert await desk.tokens.find(".".join([encoded(renamed), *token.split(".")[1:]])) is None
    assert statements == []


async def test_neither_kind_of_token_passes_for_the_other(desk: Desk) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    access = decoded((await access_token(desk, ada)).split(".")[1])
    short_term = decoded((await desk.tokens.issue_short_term(ada)).token.reveal().split(".")[1])
    both = {**access, **short_term}
    for claims in (access, short_term, both):
        assert await desk.tokens.find(await signed(desk, Algorithm.ACCESS, claims, typ="JWT")) is None
        assert await desk.tokens.find(await signed(desk, Algorithm.SHORT_TERM, claims, typ="at+jwt")) is None
        assert await desk.tokens.find(await signed(desk, Algorithm.ACCESS, claims)) is None
    assert await desk.tokens.find(await signed(desk, Algorithm.ACCESS, short_term, typ="at+jwt")) is None
    assert await desk.tokens.find(await signed(desk, Algorithm.SHORT_TERM, access, typ="JWT")) is None
    assert await desk.tokens.find(await signed(desk, Algorithm.ACCESS, both, typ="at+jwt")) is None


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://other.example.com"},
        {"iss": PUBLIC_URL + "/"},
        {"aud": "https://other.example.com/account"},
        {"aud": [PUBLIC_URL, PUBLIC_URL + "/account"]},
        {"aud": None},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": 9999999999.5},
        {"exp": True},
        {"sub": ""},
        {"sub": 7},
        {"sub": {"$ne": None}},
        {"jti": ""},
        {"iat": "yesterday"},
    ],
    ids=str,
)
async def test_a_token_of_ours_with_another_claim_is_refused(
    desk: Desk, algorithm: Algorithm, change: dict[str, Any]
) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    if algorithm is Algorithm.ACCESS:
        token, typ = await access_token(desk, ada), "at+jwt"
        if change == {"jti": ""}:
            change = {"org_id": ""}  # an access token has no row that its jti would have to name
    else:
        token, typ = (await desk.tokens.issue_short_term(ada)).token.reveal(), "JWT"
    claims = decoded(token.split(".")[1])
    assert await desk.tokens.find(await signed(desk, algorithm, claims, typ=typ)) is not None
    assert await desk.tokens.find(await signed(desk, algorithm, {**claims, **change}, typ=typ)) is None
    absent = {name: value for name, value in claims.items() if name not in change}
    assert await desk.tokens.find(await signed(desk, algorithm, absent, typ=typ)) is None


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_a_token_that_expired_a_second_ago_is_refused(desk: Desk, algorithm: Algorithm) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    kinds = {
        Algorithm.ACCESS: (await access_token(desk, ada), "at+jwt"),
        Algorithm.SHORT_TERM: ((await desk.tokens.issue_short_term(ada)).token.reveal(), "JWT"),
    }
    token, typ = kinds[algorithm]
    claims = {**decoded(token.split(".")[1]), "exp": desk.clock.now()}
    assert await desk.tokens.find(await signed(desk, algorithm, claims, typ=typ)) is None
    claims["exp"] += 1
    assert await desk.tokens.find(await signed(desk, algorithm, claims, typ=typ)) is not None


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_any_change_to_the_signature_refuses_the_token(desk: Desk, algorithm: Algorithm) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    if algorithm is Algorithm.ACCESS:
        token = await access_token(desk, ada)
    else:
        token = (await desk.tokens.issue_short_term(ada)).token.reveal()
    head, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    unused_bits = [head + "." + signature[:-1] + last for last in string.ascii_letters if last != signature[-1]]
    changed = [
        *unused_bits,
        f"{head}.{encoded(raw + bytes(1))}",
        f"{head}.{encoded(bytes(1) + raw)}",
        f"{head}.{encoded(raw[:-1])}",
        f"{head}.{encoded(bytes(len(raw)))}",
        f"{head}.{encoded(raw[32:] + raw[:32])}",
        f"{head}.{signature}=",
        f"{head}.{signature}==",
        f"{head}.{signature}\n",
        f"{token} ",
        f" {token}",
        f"{token}.",
        f"{token}.{signature}",
        head,
        f"{head}.",
    ]
    answers = [await desk.tokens.find(text) for text in changed]
    assert answers == [None] * len(changed)
    assert await desk.tokens.find(token) is not None


async def test_an_es256_signature_in_der_is_refused(desk: Desk) -> None:
    token = await access_token(desk, await desk.enrol("ada", Role.OWNER))
    head, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert await desk.tokens.find(f"{head}.{encoded(der)}") is None


async def test_huge_and_deep_tokens_are_refused_before_any_work(desk: Desk) -> None:
    kid = (await desk.signing.signer(Algorithm.ACCESS)).row.kid
    deep = b'{"alg":"ES256","typ":"at+jwt","kid":' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    texts = [
        "a" * 10_000_000,
        "." * 10_000_000,
        "a." * 1_000_000,
        ".".join(["a" * 2_000_000] * 3),
        f"{encoded(deep)}.e30.AA",
        f"{encoded({'alg': 'ES256', 'kid': kid, 'typ': 'at+jwt', 'crit': ['exp']})}.e30.AA",
        f"{encoded({'alg': 'ES256', 'kid': kid, 'typ': 'at+jwt', 'b64': False})}.e30.AA",
    ]
    assert [await desk.tokens.find(text) for text in texts] == [None] * len(texts)


async def test_a_payload_that_is_no_claims_object_is_refused_even_when_we_signed_it(desk: Desk) -> None:
    key = await desk.signing.signer(Algorithm.ACCESS)
    header = {"alg": "ES256", "kid": key.row.kid, "typ": "at+jwt"}
    for payload in (b"[]", b"null", b"{", b"\xff", b"1", b"[" * 3_000, b'{"exp":1e400}', b'"text"'):
        token = jws.serialize_compact(header, payload, key.secret, algorithms=["ES256"])
        assert await desk.tokens.find(token) is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)
HEADERS = st.fixed_dictionaries(
    {
        "alg": st.sampled_from(["ES256", "RS256", "none", "HS256", "ES384", "PS256"]) | st.text() | JSON,
        "kid": st.sampled_from(["EC", "RSA", "unknown"]) | JSON,
        "typ": st.sampled_from(["at+jwt", "JWT", "application/at+jwt"]) | JSON,
    },
    optional={"crit": JSON, "b64": st.booleans(), "jwk": JSON, "jku": st.text()},
)
BASE64URL = st.text(string.ascii_letters + string.digits + "-_", max_size=400)


@given(
    text=st.text(), header=HEADERS, claims=st.binary(max_size=200), signature=st.binary(max_size=300), tail=BASE64URL
)
@example(text="..", header={}, claims=b"", signature=b"", tail="")
@example(text="\ud800.\ud800.\ud800", header={}, claims=b"{}", signature=bytes(64), tail="=")
@settings(max_examples=150, deadline=None)
def check_garbage(
    *,
    desk: Desk,
    runner: asyncio.Runner,
    text: str,
    header: dict[str, Any],
    claims: bytes,
    signature: bytes,
    tail: str,
) -> None:
    names = {key.jwk["kty"]: key.row.kid for key in runner.run(desk.signing.published())}
    kid = header.get("kid")
    named = {**header, "kid": names.get(kid, kid) if isinstance(kid, str) else kid}
    garbage = [
        text,
        f"{text}.{text}.{text}",
        f"{encoded(named)}.{encoded(claims)}.{encoded(signature)}",
        f"{encoded(named)}.{tail}.{tail}",
        f"{tail}.{tail}.{tail}",
    ]
    assert [runner.run(desk.tokens.find(one)) for one in garbage] == [None] * len(garbage)


def test_no_garbage_is_taken_for_a_token_or_raises(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "garbage")
    try:
        with asyncio.Runner() as runner:
            runner.run(desk.signing.ensure())
            check_garbage(desk=desk, runner=runner)
            assert len(runner.run(desk.signing.published())) == 2
    finally:
        desk.close()
