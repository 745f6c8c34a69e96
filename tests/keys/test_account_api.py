"""Apps and API keys over HTTP: the bodies that clients rely on, and who is let in."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from keystead.kernel.principal import Method
from keystead.kernel.scopes import Scope
from tests.keys.house import House

APP, KEY = "01a200a2-5d13-7907-b688-1eb139dfedf5", "01a200a2-5d13-7907-b688-1eb139dfedf6"
ROUTES = {
    ("GET", "/apps"): Scope.APPS_READ,
    ("POST", "/apps"): Scope.APPS_CREATE,
    ("DELETE", f"/apps/{APP}"): Scope.APPS_DELETE,
    ("GET", f"/apps/{APP}/keys"): Scope.KEYS_READ,
    ("POST", f"/apps/{APP}/keys"): Scope.KEYS_CREATE,
    ("GET", "/keys"): Scope.KEYS_READ,
    ("PATCH", f"/apps/{APP}/keys/{KEY}"): Scope.KEYS_UPDATE,
    ("POST", f"/apps/{APP}/keys/{KEY}/rotate"): Scope.KEYS_ROTATE,
    ("DELETE", f"/apps/{APP}/keys/{KEY}"): Scope.KEYS_DELETE,
    ("GET", "/balance"): Scope.BALANCE_READ,
    ("POST", "/balance/add"): Scope.BALANCE_ADD,
}
BODY = {"app_name": "a", "api_key_name": "k", "amount_cents": 1, "idempotency_key": "12345678", "overlap_seconds": 60}


async def send(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await client.request(method, path, json=BODY if method in {"POST", "PATCH"} else None)


async def test_an_app_and_a_key_live_and_die_over_http(house: House) -> None:
    ada = await house.principal("ada")
    async with house.client(ada) as client:
        app = (await client.post("/apps", json={"app_name": "parallel-cli Users"})).json()
        listed = await client.get("/apps")
        made = await client.post(f"/apps/{app['app_id']}/keys", json={"api_key_name": "laptop", "unknown": 1})
        key = made.json()
        principal = await house.keys.find(key["raw_api_key"])
        keys = await client.get(f"/apps/{app['app_id']}/keys")
        gone = await client.delete(f"/apps/{app['app_id']}/keys/{key['api_key_id']}")
        gone_again = await client.delete(f"/apps/{app['app_id']}/keys/{key['api_key_id']}")
        app_gone = await client.delete(f"/apps/{app['app_id']}")
        apps = await client.get("/apps")
    assert listed.json() == {
        "apps": [
            {
                "app_name": "parallel-cli Users",
                "org_name": "acme",
                "app_id": app["app_id"],
                "org_id": ada.identity.organization_id,
            }
        ]
    }
    secret = key.pop("raw_api_key")
    assert key == {
        "api_key_id": principal.credential_id if principal else None,
        "api_key_name": "laptop",
        "app_id": app["app_id"],
        "app_name": "parallel-cli Users",
        "created_by_user_id": ada.identity.user_id,
        "created_by_user_email": "ada@example.com",
        "created_at": house.clock.now(),
        "expires_at": None,
        "display_value": f"{secret.rpartition('.')[2][:4]}…{secret[-4:]}",
    }
    assert keys.json() == {"keys": [{**key, "last_used_at": None, "successor_id": None}]}
    assert secret not in keys.text
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    assert (gone.status_code, gone.json()) == (app_gone.status_code, app_gone.json()) == (200, {"deleted": True})
    assert (gone_again.status_code, list(gone_again.json())) == (404, ["detail"])
    assert apps.json() == {"apps": []}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nobody_is_let_in_without_a_bearer_token(house: House, method: str, path: str) -> None:
    async with house.client(None) as client:
        nobody = await send(client, method, path)
    assert (nobody.status_code, list(nobody.json())) == (401, ["detail"])
    assert "Bearer" in nobody.headers["www-authenticate"]
    for kind in (Method.API_KEY, Method.SESSION):
        async with house.client(await house.principal("ada", kind)) as client:
            refused = await send(client, method, path)
        assert (refused.status_code, list(refused.json())) == (403, ["detail"])
    assert await house.events("app:create", "key:create", "balance:add") == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_each_route_needs_its_own_scope(house: House, method: str, path: str) -> None:
    needed = ROUTES[method, path]
    ada = await house.principal("ada")
    async with house.client(replace(ada, scopes=ada.scopes - {needed})) as client:
        refused = await send(client, method, path)
    async with house.client(replace(ada, scopes=frozenset({needed}))) as client:
        allowed = await send(client, method, path)
    assert refused.status_code == 403
    assert needed.value in refused.json()["detail"]
    assert allowed.status_code in {200, 404}


@pytest.mark.parametrize("method", [Method.ACCESS_TOKEN, Method.SHORT_TERM_TOKEN])
async def test_both_kinds_of_bearer_token_are_welcome(house: House, method: Method) -> None:
    async with house.client(await house.principal("bob", method)) as client:
        assert (await client.get("/apps")).status_code == 200
        assert (await client.post("/apps", json={"app_name": "a"})).status_code == 403


@pytest.mark.parametrize("text", ["1", "not-a-uuid", "..%2f..", "%00", APP + "0", "'; DROP TABLE app; --"])
async def test_an_id_that_is_none_is_refused_in_fastapis_shape(house: House, text: str) -> None:
    async with house.client(await house.principal("ada")) as client:
        answers = [
            await client.delete(f"/apps/{text}"),
            await client.get(f"/apps/{text}/keys"),
            await client.delete(f"/apps/{APP}/keys/{text}"),
        ]
    for found in answers:
        assert found.status_code in {404, 422}
        if found.status_code == 422:
            assert {"loc", "msg", "type"} == set(found.json()["detail"][0])


BAD_NAMES: list[Any] = [None, 1, True, [], {}, "", " ", "a" * 129, "a\n", "\x00", " a"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
async def test_a_name_that_does_not_fit_is_refused_and_named(house: House, name: Any) -> None:
    app = await house.app()
    async with house.client(await house.principal("ada")) as client:
        answers = [
            await client.post("/apps", json={"app_name": name}),
            await client.post(f"/apps/{app.id}/keys", json={"api_key_name": name}),
        ]
    for found, field in zip(answers, ("app_name", "api_key_name"), strict=True):
        assert found.status_code == 422
        assert found.json()["detail"][0]["loc"] == ["body", field]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"app_name": "\\ud800"}', "application/json"),
        (b"{", "application/json"),
        (b"", "application/json"),
        (b'{"app_name": "a"}', "text/plain"),
        (b"app_name=a", "application/x-www-form-urlencoded"),
        (b"[]", ""),
    ],
)
async def test_a_body_that_is_not_what_is_documented_is_422(house: House, content: bytes, kind: str) -> None:
    async with house.client(await house.principal("ada")) as client:
        found = await client.post("/apps", content=content, headers={"Content-Type": kind})
    assert found.status_code == 422
    assert isinstance(found.json()["detail"], list)


async def test_the_acting_person_comes_from_the_credential_alone(house: House) -> None:
    app = await house.app()
    eve = await house.principal("eve")
    claims = {"org_id": eve.identity.organization_id, "user_id": eve.identity.user_id, "role": "owner"}
    async with house.client(await house.principal("bob")) as client:
        made = await client.post(
            f"/apps/{app.id}/keys", json={"api_key_name": "k", **claims}, params=claims, headers={"X-User": "eve"}
        )
    found = await house.keys.find(made.json()["raw_api_key"])
    assert found is not None
    assert (found.identity.username, found.identity.organization) == ("bob", "acme")


async def test_the_second_app_of_a_name_is_a_conflict(house: House) -> None:
    async with house.client(await house.principal("ada")) as client:
        first, second = [await client.post("/apps", json={"app_name": "a"}) for _ in range(2)]
    assert (first.status_code, second.status_code, list(second.json())) == (200, 409, ["detail"])


async def test_a_wrong_method_names_every_right_one(house: House) -> None:
    async with house.client(await house.principal("ada")) as client:
        found = {
            path: (await client.request("PUT", path)).headers["allow"]
            for path in ("/apps", f"/apps/{APP}", f"/apps/{APP}/keys", f"/apps/{APP}/keys/{KEY}", "/balance/add")
        }
    assert list(found.values()) == ["GET, HEAD, POST", "DELETE", "GET, HEAD, POST", "PATCH, DELETE", "POST"]
