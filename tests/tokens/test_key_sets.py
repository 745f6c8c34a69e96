"""The published key sets, as the clients that exist read them (contract, rule 18)."""

import json
import re

import httpx
import pytest
from fastapi import FastAPI

from keystead.tokens.models import Algorithm
from keystead.tokens.routes import KeySetRoutes
from tests.tokens.desk import Desk

PATHS = ("/.well-known/jwks.json", "/api/platform/keys")


async def get(desk: Desk, path: str, headers: dict[str, str] | None = None, lead: int = 3_600) -> httpx.Response:
    app = FastAPI()
    app.include_router(KeySetRoutes(desk.tokens, signing_key_lead=lead).router())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path, headers=headers)


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


@pytest.mark.parametrize("lead", [60, 600, 3_600, 86_400])
async def test_the_key_sets_may_be_cached_for_less_than_the_lead(desk: Desk, lead: int) -> None:
    for path in PATHS:
        answer = await get(desk, path, lead=lead)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        told = dict(re.findall(r"([a-z-]+)=(\d+)", answer.headers["Cache-Control"]))
        assert int(told["max-age"]) == min(300, lead // 2)
        assert int(told["max-age"]) + int(told["stale-while-revalidate"]) <= lead * 3 / 4
        assert int(told["stale-if-error"]) == 3_600


async def test_a_key_set_that_the_caller_has_already_is_not_sent_again(desk: Desk) -> None:
    for path in PATHS:
        first = await get(desk, path)
        tag = first.headers["ETag"]
        for sent in (tag, f"W/{tag}", f'"another", {tag}', "*"):
            again = await get(desk, path, {"If-None-Match": sent})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tag
            assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
        assert (await get(desk, path, {"If-None-Match": '"another"'})).content == first.content


async def test_a_key_set_with_another_key_has_another_tag_on_every_node(desk: Desk) -> None:
    neighbour = desk.neighbour()
    try:
        for path in PATHS:
            assert (await get(neighbour, path)).headers["ETag"] == (await get(desk, path)).headers["ETag"]
        before = {path: (await get(neighbour, path)).headers["ETag"] for path in PATHS}
        await desk.signing.rotate_now()
        for path in PATHS:
            answer = await get(neighbour, path, {"If-None-Match": before[path]})
            assert answer.status_code == 200
            assert len(answer.json()["keys"]) == {PATHS[0]: 4, PATHS[1]: 2}[path]
    finally:
        neighbour.close()
