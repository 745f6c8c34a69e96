"""Requests of the Account API and readings of its answers: values in, values out (contract A8)."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from keystead.client._answers import Fields, json_of
from keystead.client._calls import Call, headers_of
from keystead.client._http import Answer, Request
from keystead.client._models import (
    ApiKey,
    App,
    Balance,
    Device,
    NewApiKey,
    NewShortTermToken,
    RotatedApiKey,
    Session,
    ShortTermToken,
    Whoami,
)
from keystead.kernel.secrets import Secret

T = TypeVar("T")

PREFIX: Final = "/account/service/v1"
WHOAMI: Final = "/api/auth/session"


def place(*steps: str) -> str:
    """Return a path below the Account API. Each step is one, whatever it holds."""
    return PREFIX + "".join(f"/{quote(step, safe='')}" for step in steps)


def get(path: str, read: Callable[[Fields], T]) -> Call[T]:
    """Describe a call that only reads."""
    return Call(Request("GET", path), _reading(read), repeatable=True)


def send(
    method: str, path: str, body: Mapping[str, Any], read: Callable[[Fields], T], *, repeatable: bool = False
) -> Call[T]:
    """Describe a call that changes something."""
    content = json.dumps(body).encode()
    request = Request(method, path, headers_of("application/json"), content)
    return Call(request, _reading(read), repeatable=repeatable)


def delete(path: str) -> Call[None]:
    """Describe a deletion: it may be repeated, and then 404 is success."""
    return Call(Request("DELETE", path), lambda _: None, repeatable=True, gone_is_done=True)


def _reading(read: Callable[[Fields], T]) -> Callable[[Answer], T]:
    return lambda answer: read(Fields(json_of(answer)))


def app_of(said: Fields) -> App:
    """Read an app."""
    return App(said.text("app_id"), said.text("app_name"), said.text_or("org_id", ""), said.text_or_none("org_name"))


def key_of(said: Fields) -> ApiKey:
    """Read an API key."""
    return ApiKey(
        id=said.text("api_key_id"),
        title=said.text("api_key_name"),
        app_id=said.text("app_id"),
        app=said.text("app_name"),
        created_by=said.text_or("created_by_user_email", "") or said.text_or("created_by_user_id", ""),
        created_at=said.whole_or("created_at", 0),
        expires_at=said.whole_or_none("expires_at"),
        last_used_at=said.whole_or_none("last_used_at"),
        hint=said.text_or("display_value", ""),
    )


def new_key_of(said: Fields) -> NewApiKey:
    """Read a key that was just made."""
    return NewApiKey(key_of(said), Secret(said.text("raw_api_key")))


def rotated_key_of(said: Fields) -> RotatedApiKey:
    """Read the successor of a key."""
    return RotatedApiKey(key_of(said), Secret(said.text("raw_api_key")), said.whole("predecessor_expires_at"))


def balance_of(said: Fields) -> Balance:
    """Read a balance."""
    return Balance(
        organization_id=said.text("org_id"),
        credit_cents=said.number("credit_balance_cents"),
        pending_debit_cents=said.number("pending_debit_balance_cents"),
        will_invoice=said.truth("will_invoice"),
    )


def token_of(said: Fields) -> ShortTermToken:
    """Read a short-term token."""
    return ShortTermToken(said.text("token_id"), said.whole("created_at"), said.whole("expires_at"))


def new_token_of(said: Fields) -> NewShortTermToken:
    """Read a short-term token that was just made."""
    return NewShortTermToken(token_of(said), Secret(said.text("raw_token")))


def session_of(said: Fields) -> Session:
    """Read a browser's session."""
    return Session(
        id=said.text("session_id"),
        created_at=said.whole("created_at"),
        last_used_at=said.whole_or("last_used_at", 0),
        expires_at=said.whole("expires_at"),
        address=said.text_or("address", ""),
        user_agent=said.text_or("user_agent", ""),
    )


def device_of(said: Fields) -> Device:
    """Read a device."""
    return Device(
        id=said.text("device_id"),
        client=said.text("client_name"),
        platform=said.text_or("platform", ""),
        address=said.text_or("address", ""),
        organization=said.text_or("org_name", ""),
        scopes=said.texts("scopes"),
        created_at=said.whole("created_at"),
        last_used_at=said.whole_or("last_used_at", 0),
        expires_at=said.whole("expires_at"),
        current=said.truth("current"),
    )


def whoami_of(said: Fields) -> Whoami:
    """Read who a credential is."""
    return Whoami(
        user_id=said.text("id"),
        username=said.text("username"),
        name=said.text_or("name", ""),
        email=said.text_or("email", ""),
        organization=said.text_or("organizationDisplayName", "") or said.text_or("organization", ""),
        roles=said.texts("organizationRoles"),
        platform_admin=said.truth("admin"),
    )
