"""Signing out: on the server first, then here, and the truth about what stays valid (promise V6)."""

import time
from collections.abc import Callable

from keystead.client._credentials import StoredCredential
from keystead.client._errors import ApiError, KeysteadError, NetworkError, StoreError, UsageError
from keystead.client._models import SignedOut
from keystead.client._oauth import revoke as over_the_network
from keystead.client._renewing import TokenCredential
from keystead.client._store.contexts import Context
from keystead.client._store.store import Store
from keystead.kernel.secrets import Secret

Revoke = Callable[[str, Secret], None]
"""Takes a refresh token back: ``revoke(server, refresh_token)`` (RFC 7009). Raises NetworkError, ApiError."""


def end(credential: object, *, force: bool = False) -> SignedOut:
    """Sign out of whatever a client acts with. Raises UsageError for an API key or a token that no sign-in gave."""
    if isinstance(credential, StoredCredential):
        return sign_out(credential.store, credential.name, over_the_network, force=force)
    if isinstance(credential, TokenCredential) and credential.tokens.refresh_token is not None:
        over_the_network(credential.server, credential.tokens.refresh_token)
        ends = credential.tokens.expires_at
        sentence = f"Signed out of {credential.server}. Copies of the access token end at {shown(ends)}."
        return SignedOut("", credential.server, True, ends, None, sentence)
    raise UsageError(
        "This client acts with a key or a token that no sign-in gave.",
        hint="End it where it was made: account.keys.delete, account.tokens.revoke.",
    )


def sign_out(store: Store, name: str | None, revoke: Revoke, *, force: bool = False) -> SignedOut:
    """Revoke a sign-in at its server, then delete it from the store, the keyring and the files of other programs.

    When the server cannot be asked nothing is deleted, and the error says what stays valid until when; with ``force``
    it is deleted here all the same. Raises SignInRequired, NetworkError, ApiError and StoreError.
    """
    name = store.context(name).name
    with store.refreshing(name):  # a refresh on its way ends first, so that its successor is revoked too
        context = store.context(name)
        try:
            for token in _tokens(store, context):
                revoke(context.server, token)
        except (NetworkError, ApiError, StoreError) as error:
            if not force:
                raise _explained(error, context) from error
            store.forget(name)
            return _not_revoked(context, error)
        store.forget(name)
    now = store.clock.now()
    sentence = f"Signed out of {context.server} as {context.username or name}."
    if context.is_valid(now):
        sentence += (
            f" Copies of the access token that programs still hold end at {shown(context.access_token_expires_at)}."
        )
    return SignedOut(name, context.server, True, context.access_token_expires_at, None, sentence)


def _tokens(store: Store, context: Context) -> list[Secret]:
    """Return every refresh token of the sign-in, the store's own first; each ends the same family."""
    own = store.refresh_token(context)
    found = [] if own is None else [own]
    for token in store.also.tokens(context):
        if token not in found:
            found.append(token)
    return found


def _explained(error: KeysteadError, context: Context) -> KeysteadError:
    """Return the error with the truth in it: what is still there, and until when it works."""
    told = f"{error} You are still signed in: nothing was revoked, and nothing was deleted here. {_until(context)}"
    hint = "Sign out again later, or delete it here at once and let it run out on the server: keystead logout --local"
    if isinstance(error, StoreError):
        return type(error)(told, hint=hint)
    if isinstance(error, NetworkError):
        return type(error)(told, hint=hint)
    return NetworkError(told, hint=hint)


def _not_revoked(context: Context, error: KeysteadError) -> SignedOut:
    sentence = f"Deleted here, but not revoked on the server: {error} {_until(context)}"
    return SignedOut(
        context.name, context.server, False, context.access_token_expires_at, context.valid_until, sentence
    )


def _until(context: Context) -> str:
    access = f"the access token until {shown(context.access_token_expires_at)}"
    if not context.valid_until:
        return f"What stays valid: {access}."
    return f"What stays valid: the refresh token until {shown(context.valid_until)}, {access}."


def shown(seconds: int) -> str:
    """Return a Unix time as people read it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
