"""How a stored sign-in is told: to a person in sentences, to a program in its shape."""

from typing import Any

from keystead.cli.screen import Screen, printable
from keystead.cli.times import both
from keystead.client._store import Context, Store


def sign_in_as_json(context: Context, store: Store) -> dict[str, Any]:
    """Return a sign-in in the shape SIGN_IN. No token is in it."""
    return {
        "context": context.name,
        "server": context.server,
        "username": context.username,
        "user_id": context.user_id,
        "organization_id": context.organization_id,
        "organization": context.organization,
        "scopes": list(context.scopes),
        "access_token_expires_at": context.access_token_expires_at,
        "refresh_token_expires_at": context.refresh_token_expires_at,
        "authorization_expires_at": context.authorization_expires_at,
        "also": list(context.also),
        "store": {"kind": context.kept_in, "path": str(store.paths.credentials)},
    }


def who(context: Context) -> str:
    """Return who a sign-in is, and where: ``ada (Acme) at https://auth.example.com``."""
    organization = f" ({printable(context.organization)})" if context.organization else ""
    return f"{printable(context.username)}{organization} at {context.server}"


def tell_sign_in(screen: Screen, context: Context, store: Store) -> None:
    """Say who is signed in now, until when, and where that is kept (promise C2)."""
    screen.tell(f"Signed in as {who(context)}.")
    if context.valid_until:
        screen.tell(f"It renews itself as you use it. Left unused, it ends at {both(context.valid_until, screen.now)}.")
    if not any(str(store.paths.credentials) in notice for notice in store.notices):
        screen.tell(f"Kept in {store.where(context.name)}.")
    screen.tell(f"Its name here is '{printable(context.name)}'.")
    for program in context.also:
        screen.tell(f"Also given to {program}, in {store.also.path(program)}.")


def tell_notices(screen: Screen, store: Store) -> None:
    """Say what the store wants a person to know, to whoever reads standard error."""
    for notice in store.notices:
        screen.warn(notice)
    store.notices.clear()
