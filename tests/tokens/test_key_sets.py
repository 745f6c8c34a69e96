"""The published key sets, as the clients that exist read them (contract, rule 18)."""

import json

import httpx
from fastapi import FastAPI

from keystead.tokens.models import Algorithm
from keystead.tokens.routes import KeySetRoutes
from tests.tokens.desk import Desk


async def get(desk: Desk, path: str, lead: int = 3_600) -> httpx.Response:
    app = FastAPI()
    app.include_router(KeySetRoutes(desk.tokens, signing_key_lead=lead).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path)


async def test_every_published_key_is_in_the_jwks(desk: Desk) -> None:
    await desk.signing.rotate_now()
    keys = json.loads(await desk.tokens.jwks())["keys"]
    assert sorted(key["alg"] for key in keys) == ["ES256", "ES256", "RS256", "RS256"]
    assert {key["kid"] for key in keys} == {key.row.kid for key in await desk.signing.published()}


async def test_the_platform_keys_are_rsa_with_exactly_the_six_members(desk: Desk) -> None:
    keys = json.loads(await desk.tokens.platform_keys())["keys"]
    assert [sorted(key) for key in keys] == [["alg", "e", "kid", "kty", "n", "use"]]
    assert [(key["kty"], key["alg"], key["use"]) for key in keys] == [("RSA", "RS256", "sig")]
    signer = await desk.signing.signer(Algorithm.SHORT_TERM)
    assert [key["kid"] for key in keys] == [signer.row.kid]


async def test_no_published_key_holds_a_private_member(desk: Desk) -> None:
    for key in json.loads(await desk.tokens.jwks())["keys"]:
        assert set(key) <= {"kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"}


async def test_the_key_sets_may_be_cached_for_less_than_the_lead(desk: Desk) -> None:
    for path in ("/.well-known/jwks.json", "/api/platform/keys"):
        answer = await get(desk, path)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        assert (await get(desk, path, lead=60)).headers["Cache-Control"] == "public, max-age=30"
