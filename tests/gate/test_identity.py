"""The two answers that the gate writes itself: who a credential is, for clients and for proxies."""

from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from keystead.gate.identity import safe_username, session_body, verify_headers
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope, format_scopes
from tests.gate.conftest import Ring

REQUIRED: dict[str, type] = {
    "admin": bool,
    "billingAdmin": bool,
    "email": str,
    "id": str,
    "name": str,
    "organization": str,
    "organizationAdmin": bool,
    "organizationOwner": bool,
    "partner": bool,
    "safeUsername": str,
    "username": str,
    "allocationSystem": str,
    "organizationRoles": list,
    "previews": list,
    "sidebarOptions": list,
}
"""The required members of an AuthSession, as existing clients read it."""
OPTIONAL: dict[str, type] = {"organizationDisplayName": str, "passwordUpdatedAt": str}
FORWARDED = ("x-keystead-user", "x-keystead-organization", "x-keystead-scopes", "x-keystead-method")
ADA = Identity("u1", "ada", "ada@example.com", "Ada", 0, 1_763_800_000, "o1", "acme", "Acme", "owner")


def principal(**changes: Any) -> Principal:
    identity = replace(ADA, **changes)
    return Principal(identity, Method.SESSION, ROLE_SCOPES[Role(identity.role)], "c1", None)


def check_auth_session(body: dict[str, Any]) -> None:
    """Assert that a client that reads AuthSession can read this."""
    assert set(REQUIRED) <= set(body) <= set(REQUIRED) | set(OPTIONAL)
    for name, value in body.items():
        assert type(value) is {**REQUIRED, **OPTIONAL}[name], name
    assert body["allocationSystem"] in {"flexible", "legacy"}


@pytest.mark.parametrize("role", ["owner", "admin", "member"])
@pytest.mark.parametrize("password_updated_at", [None, 0, 1_763_800_000])
def test_a_session_body_has_every_required_member_and_no_null(role: str, password_updated_at: int | None) -> None:
    body = msgspec.json.decode(session_body(principal(role=role, password_updated_at=password_updated_at)))
    check_auth_session(body)
    assert ("passwordUpdatedAt" in body) == (password_updated_at is not None)
    assert body["organizationOwner"] == (role == "owner")
    assert body["organizationAdmin"] == (role != "member")


def test_a_time_is_written_in_utc_with_a_z() -> None:
    body = msgspec.json.decode(session_body(principal(password_updated_at=1_763_800_000)))
    assert body["passwordUpdatedAt"] == "2025-11-22T08:26:40Z"


@pytest.mark.parametrize(
    ("username", "safe"), [("ada", "ada"), ("0x", "u0x"), ("ada.love-lace", "ada_love_lace"), ("a" * 63, "a" * 32)]
)
def test_the_safe_user_name_begins_with_a_letter_and_is_short(username: str, safe: str) -> None:
    assert safe_username(username) == safe


def test_a_name_cannot_break_out_of_a_forwarded_header() -> None:
    headers = verify_headers(principal(username="åda\r\nx"))
    assert [name.decode() for name, _ in headers] == list(FORWARDED)
    assert all(value.isascii() for _, value in headers)


@pytest.mark.parametrize("kind", ["session", "api_key", "short_term_token", "access_token"])
def test_every_kind_of_credential_gets_the_same_auth_session(http: httpx.Client, ring: Ring, kind: str) -> None:
    answer = http.get("/api/auth/session", headers=sent(ring, kind))
    check_auth_session(answer.json())
    assert (answer.json()["username"], answer.json()["organization"]) == ("ada", "acme")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("kind", ["session", "api_key", "short_term_token", "access_token"])
def test_a_proxy_is_told_user_organization_scopes_and_method(http: httpx.Client, ring: Ring, kind: str) -> None:
    answer = http.get("/verify", headers=sent(ring, kind))
    assert answer.status_code == 200
    assert answer.content == b""
    told = {name: answer.headers[name] for name in FORWARDED}
    fewer = {"api_key": ALL_SCOPES, "short_term_token": {Scope.TOKENS_CREATE}}
    scopes = format_scopes(ALL_SCOPES - fewer.get(kind, set()))
    assert told == {
        "x-keystead-user": "ada",
        "x-keystead-organization": "acme",
        "x-keystead-scopes": scopes,
        "x-keystead-method": kind,
    }


def test_a_refused_proxy_is_told_nothing_of_anybody(http: httpx.Client) -> None:
    answer = http.get("/verify", headers={"Authorization": "Bearer garbage", "X-Keystead-User": "ada"})
    assert answer.status_code == 401
    assert not any(name.startswith("x-keystead") for name in answer.headers)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("scope=keys:read", 200),
        ("scope=keys:read%20balance:add", 200),
        ("scope=keys:read&unknown=1", 200),
        ("scope=", 403),
        ("scop=keys:read", 403),
        ("scope=keys:write", 403),
        ("scope=keys:read%20admin", 403),
        ("scope=%ff", 403),
        ("scope=%00", 403),
        ("scope=keys:read&scope=balance:add", 403),
        ("scope=%22", 403),
        ("&".join(f"a{n}=1" for n in range(50)), 403),
    ],
)
def test_a_proxy_that_asks_for_a_scope_gets_yes_or_403_and_no_third_answer(
    http: httpx.Client, ring: Ring, query: str, status: int
) -> None:
    assert http.get(f"/verify?{query}", headers=sent(ring, "short_term_token")).status_code == status


def test_a_credential_without_the_scope_is_403_for_a_proxy(http: httpx.Client, ring: Ring) -> None:
    answer = http.get("/verify?scope=keys:read", headers=sent(ring, "api_key"))
    assert answer.status_code == 403
    assert answer.json()["code"] == "insufficient_scope"
    assert not any(name.startswith("x-keystead") for name in answer.headers)


def test_a_credential_too_long_to_be_one_is_401_for_a_proxy(http: httpx.Client) -> None:
    assert http.get("/verify", headers={"Authorization": "Bearer " + "a" * 9_000}).status_code == 401


def sent(ring: Ring, kind: str) -> dict[str, str]:
    """Return the header that carries a credential of this kind."""
    if kind == "session":
        return {"Cookie": f"cloud.sso={ring.session}"}
    return {"Authorization": f"Bearer {getattr(ring, kind)}"}
