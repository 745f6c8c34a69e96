"""The two OpenAPI documents: valid, complete, and true to the contract of the clients that exist (promise O9)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import jsonschema_rs
import pytest
import schemathesis
from starlette.routing import BaseRoute, Mount, Route

from keystead.app import build_application
from keystead.gate.hot import OLDER_SESSION, SESSION, VERIFY
from keystead.gate.operations import PATHS
from keystead.kernel.settings import Settings
from keystead.services import open_services
from keystead.tokens.openapi import REVOCATIONS
from tests.gate.endpoints import is_page
from tests.openapi.conftest import Opened
from tests.openapi.documents import PLACES, fetch, operations
from tests.support.clock import ManualClock

ACCOUNT: Final = "/account/service/openapi.json"
TEXT, TEXT_OR_NULL, WHOLE, TRUTH = "string", "string|null", "integer", "boolean"
WHOLE_OR_NULL, MAY_BE_LEFT_OUT = "integer|null", "?"
AN_APP: Final = {"app_name": TEXT, "org_name": TEXT_OR_NULL, "app_id": TEXT, "org_id": TEXT}
A_KEY: Final = {
    "api_key_id": TEXT, "api_key_name": TEXT, "app_id": TEXT, "app_name": TEXT, "created_by_user_id": TEXT,
    "created_by_user_email": TEXT, "display_value": TEXT, "created_at": WHOLE, "expires_at": WHOLE_OR_NULL,
}  # fmt: skip
A_TOKEN: Final = {"token_id": TEXT, "created_at": WHOLE, "expires_at": WHOLE}
LISTED: Final = {
    "GET /service/v1/apps": ("apps", AN_APP),
    "GET /service/v1/apps/{app_id}/keys": (
        "keys", {**A_KEY, "last_used_at": WHOLE_OR_NULL, "successor_id": TEXT_OR_NULL}
    ),
    "GET /service/v1/keys": ("keys", {**A_KEY, "last_used_at": WHOLE_OR_NULL, "successor_id": TEXT_OR_NULL}),
    "GET /service/v1/tokens": ("tokens", A_TOKEN),
    "GET /service/v1/sessions": (
        "sessions",
        {
            "session_id": TEXT, "created_at": WHOLE, "last_used_at": WHOLE, "expires_at": WHOLE, "address": TEXT,
            "user_agent": TEXT,
        },
    ),
    "GET /service/v1/devices": (
        "devices",
        {
            "device_id": TEXT, "client_name": TEXT, "platform": TEXT, "address": TEXT, "org_name": TEXT,
            "scopes": "array", "created_at": WHOLE, "last_used_at": WHOLE, "expires_at": WHOLE, "current": TRUTH,
        },
    ),
}  # fmt: skip
"""What each list is called, and the members of what is in it."""
OWN: Final = ("session", "device")
CONTRACT: Final[dict[str, tuple[dict[str, str] | None, dict[str, str]]]] = {
    "GET /service/v1/apps": (None, {"apps": "array"}),
    "POST /service/v1/apps": ({"app_name": TEXT}, {"app_id": TEXT}),
    "DELETE /service/v1/apps/{app_id}": (None, {"deleted": TRUTH}),
    "POST /service/v1/apps/{app_id}/keys": (
        {"api_key_name": TEXT, "expires_in": WHOLE_OR_NULL + MAY_BE_LEFT_OUT},
        {**A_KEY, "raw_api_key": TEXT},
    ),
    "GET /service/v1/apps/{app_id}/keys": (None, {"keys": "array"}),
    "GET /service/v1/keys": (None, {"keys": "array"}),
    "PATCH /service/v1/apps/{app_id}/keys/{api_key_id}": (
        {"api_key_name": TEXT}, {**A_KEY, "last_used_at": WHOLE_OR_NULL, "successor_id": TEXT_OR_NULL},
    ),
    "POST /service/v1/apps/{app_id}/keys/{api_key_id}/rotate": (
        {"overlap_seconds": WHOLE}, {**A_KEY, "raw_api_key": TEXT, "predecessor_expires_at": WHOLE},
    ),
    "DELETE /service/v1/apps/{app_id}/keys/{api_key_id}": (None, {"deleted": TRUTH}),
    "GET /service/v1/tokens": (None, {"tokens": "array"}),
    "POST /service/v1/tokens": (None, {**A_TOKEN, "raw_token": TEXT}),
    "DELETE /service/v1/tokens/{token_id}": (None, {"deleted": TRUTH}),
    "GET /service/v1/sessions": (None, {"sessions": "array"}),
    "DELETE /service/v1/sessions/{session_id}": (None, {"deleted": TRUTH}),
    "GET /service/v1/devices": (None, {"devices": "array"}),
    "DELETE /service/v1/devices/{device_id}": (None, {"deleted": TRUTH}),
    "GET /service/v1/balance": (
        None,
        {
            "org_id": TEXT, "credit_balance_cents": WHOLE, "pending_debit_balance_cents": WHOLE, "will_invoice": TRUTH,
        },
    ),
    "POST /service/v1/balance/add": (
        {"amount_cents": WHOLE, "idempotency_key": TEXT},
        {
            "org_id": TEXT, "credit_balance_cents": WHOLE, "pending_debit_balance_cents": WHOLE, "will_invoice": TRUTH,
        },
    ),
}  # fmt: skip
"""What the published client and ours send and read: request members and the members of the 200."""


@pytest.fixture(scope="module")
def documents(opened: Opened) -> dict[str, Any]:
    return fetch(opened.http)


def resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def kind(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return "|".join(kind(one) for one in schema["anyOf"])
    return str(schema["type"])


def members(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the members of an object's schema and their types, with a mark at what may be left out."""
    found = resolved(document, schema)
    return {
        name: kind(member) + ("" if name in found["required"] else MAY_BE_LEFT_OUT)
        for name, member in found["properties"].items()
    }


def sent_json(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = holder["content"]["application/json"]["schema"]
    return schema


def schemas(found: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what stands under every member called ``schema``, and every component."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "schema" and isinstance(value, dict):
                yield value
            elif name == "schemas":
                yield from value.values()
            else:
                yield from schemas(value)
    elif isinstance(found, list):
        for value in found:
            yield from schemas(value)


@pytest.mark.parametrize("place", PLACES)
def test_a_document_is_valid_openapi_3_1(documents: dict[str, Any], place: str) -> None:
    document = documents[place]
    schemathesis.openapi.from_dict(document).validate()
    assert document["openapi"].startswith("3.1.")


@pytest.mark.parametrize("place", PLACES)
def test_every_schema_is_valid_json_schema_and_every_reference_leads_somewhere(
    documents: dict[str, Any], place: str
) -> None:
    document = documents[place]
    found = list(schemas(document))
    for schema in found:
        whole = {**schema, "components": document.get("components", {})}
        jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    assert len(found) > 20


@pytest.mark.parametrize("place", PLACES)
def test_operation_ids_are_names_that_a_generator_can_use(documents: dict[str, Any], place: str) -> None:
    ids = [one.definition["operationId"] for one in operations({place: documents[place]})]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids), ids


def test_every_operation_names_a_security_scheme_that_exists(documents: dict[str, Any]) -> None:
    for document in documents.values():
        known = set(document["components"]["securitySchemes"])
        used = {
            scheme
            for item in document["paths"].values()
            for definition in item.values()
            for alternative in definition.get("security", [])
            for scheme in alternative
        }
        assert used == known


def test_the_account_api_is_exactly_what_its_clients_were_made_for(documents: dict[str, Any]) -> None:
    document = documents[ACCOUNT]
    described = {
        label: (
            members(document, sent_json(one.definition["requestBody"])) if "requestBody" in one.definition else None,
            members(document, sent_json(one.definition["responses"]["200"])),
        )
        for one in operations({ACCOUNT: document})
        if (label := one.label)
    }
    assert described == CONTRACT
    for label, (name, listed) in LISTED.items():
        answer = document["paths"][label.removeprefix("GET ")]["get"]["responses"]["200"]
        items = resolved(document, sent_json(answer))["properties"][name]["items"]
        assert members(document, items) == listed


def test_the_limits_of_the_account_api_are_those_that_its_clients_check(documents: dict[str, Any]) -> None:
    document = documents[ACCOUNT]
    add = document["paths"]["/service/v1/balance/add"]["post"]
    request = resolved(document, sent_json(add["requestBody"]))["properties"]
    amount, key = request["amount_cents"], request["idempotency_key"]
    assert (amount["exclusiveMinimum"], amount["maximum"]) == (0, 10_000)
    assert (key["minLength"], key["maxLength"]) == (8, 128)
    scheme = document["components"]["securitySchemes"]["HTTPBearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")


def test_what_the_account_api_answers_has_no_member_that_its_document_lacks(opened: Opened) -> None:
    access_token = opened.device().access_token
    opened.session()
    http = httpx.Client(
        base_url=f"{opened.server.url}/account/service/v1", headers={"Authorization": f"Bearer {access_token}"}
    )
    payment = {"amount_cents": 5, "idempotency_key": "every member"}
    with http:
        app = http.post("/apps", json={"app_name": "every member"}).json()
        keys = f"/apps/{app['app_id']}/keys"
        key = http.post(keys, json={"api_key_name": "every member"}).json()
        one = f"{keys}/{key['api_key_id']}"
        token = http.post("/tokens").json()
        lists = {label: http.get(path(label, app_id=app["app_id"])).json() for label in LISTED}
        session_id, device_id = (lists[f"GET /service/v1/{kind}s"][f"{kind}s"][-1][f"{kind}_id"] for kind in OWN)
        answers = {
            **lists,
            "POST /service/v1/apps": app,
            "POST /service/v1/apps/{app_id}/keys": key,
            "PATCH /service/v1/apps/{app_id}/keys/{api_key_id}": http.patch(one, json={"api_key_name": "x"}).json(),
            "POST /service/v1/apps/{app_id}/keys/{api_key_id}/rotate": http.post(
                f"{one}/rotate", json={"overlap_seconds": 60}
            ).json(),
            "DELETE /service/v1/apps/{app_id}/keys/{api_key_id}": http.delete(one).json(),
            "DELETE /service/v1/apps/{app_id}": http.delete(f"/apps/{app['app_id']}").json(),
            "GET /service/v1/balance": http.get("/balance").json(),
            "POST /service/v1/balance/add": http.post("/balance/add", json=payment).json(),
            "POST /service/v1/tokens": token,
            "DELETE /service/v1/tokens/{token_id}": http.delete(f"/tokens/{token['token_id']}").json(),
            "DELETE /service/v1/sessions/{session_id}": http.delete(f"/sessions/{session_id}").json(),
            "DELETE /service/v1/devices/{device_id}": http.delete(f"/devices/{device_id}").json(),
        }
    assert {label: set(body) for label, body in answers.items()} == {
        label: set(response) for label, (_, response) in CONTRACT.items()
    }
    for label, (name, listed) in LISTED.items():
        assert [item for item in lists[label][name] if set(item) != set(listed)] == []
        assert lists[label][name], label


def path(label: str, **ids: str) -> str:
    """Return the path of an operation below the Account API's."""
    return label.partition("/service/v1")[2].format(**ids)


def routes(found: Iterable[BaseRoute], before: str = "") -> Iterator[str]:
    """Yield every method at every address, but for pages and what they are made of, which no document describes."""
    for route in found:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes(included.routes, before)
        elif isinstance(route, Mount):
            yield from routes(route.routes, before + route.path)
        else:
            assert isinstance(route, Route), f"a kind of route that this test does not know: {route}"
            if not is_page(route):
                yield from (f"{method} {before}{route.path_format}" for method in (route.methods or set()) - {"HEAD"})


def test_every_route_is_in_a_document_or_is_a_page_for_people(documents: dict[str, Any], tmp_path: Path) -> None:
    settings = Settings(public_url="https://auth.example.com")
    services = open_services(tmp_path, settings, ManualClock())
    try:
        gate = build_application(services, dev=False).asgi
        inside: Any = gate._inner
        reachable = set(routes(inside.routes)) | {f"POST {path}" for path in gate._direct if path != REVOCATIONS}
    finally:
        services.close()
    reachable |= {f"GET {path}" for path in (SESSION, OLDER_SESSION, VERIFY, REVOCATIONS, *PATHS)}
    documented = {f"{one.method} {one.path}" for one in operations(documents)}
    assert reachable == documented | {f"GET {place}" for place in PLACES}
