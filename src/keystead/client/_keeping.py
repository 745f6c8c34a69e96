"""Keep what a device sign-in gave in the credential store, where every program of the person finds it.

``keystead login`` does the same; who may renew it afterwards is ``keystead.client._credentials``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from keystead.client._credentials import BearerCredential
from keystead.client._errors import KeysteadError
from keystead.client._keystead import Keystead
from keystead.client._models import DeviceCode, SignedIn, TokenSet
from keystead.client._oauth import revoke
from keystead.client._store.contexts import Context, SignIn
from keystead.client._store.store import Store
from keystead.kernel.secrets import Secret

_TIDY_SECONDS = 5.0
"""How long to wait for a server that is asked to take a sign-in back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was stored, and the server and refresh token of the sign-in that it replaced."""

    context: Context
    replaced: tuple[str, Secret] | None

    def take_back_replaced(self) -> None:
        """Revoke the sign-in that was replaced: nobody holds it any more."""
        if self.replaced is not None:
            take_back(*self.replaced)


def keep(
    server: str,
    code: DeviceCode,
    tokens: TokenSet,
    *,
    context: str,
    select: bool,
    also: Iterable[str],
    require_keyring: bool,
    environ: Mapping[str, str] | None,
) -> SignedIn:
    """Ask whose the tokens are, store them, and take back the sign-in of the same name that they replace.

    Raises NetworkError, SignInRequired, StoreError and UsageError; then nothing was stored, and the tokens are as good
    as before.
    """
    store = Store.open(require_keyring=require_keyring, environ=environ)
    kept = store_sign_in(store, server, code, tokens, name=context, also=also, select=select)
    kept.take_back_replaced()
    return SignedIn(
        name=kept.context.name,
        server=server,
        username=kept.context.username,
        organization=kept.context.organization,
        where=store.where(kept.context.name),
        notices=tuple(store.notices),
    )


def store_sign_in(
    store: Store,
    server: str,
    code: DeviceCode,
    tokens: TokenSet,
    *,
    name: str,
    also: Iterable[str],
    select: bool = True,
) -> Kept:
    """Ask whose the tokens are, and store them under ``name``, or ``user@server`` where that is empty.

    Raises NetworkError, SignInRequired, StoreError and UsageError; then nothing was stored.
    """
    with Keystead(BearerCredential(server, tokens.access_token)) as client:
        me = client.whoami()
    sign_in = SignIn(server, code.client_id, me.username, me.user_id, name, tuple(also))
    earlier = _earlier(store, sign_in.context)
    context = store.save(sign_in, tokens, select=select)
    return Kept(context, None if earlier is not None and earlier[1] == tokens.refresh_token else earlier)


def _earlier(store: Store, name: str) -> tuple[str, Secret] | None:
    """Return the sign-in that is about to be replaced, and which nobody would hold any more."""
    found = store.find(name)
    if found is None:
        return None
    try:
        token = store.refresh_token(found)
    except KeysteadError:  # its keyring is locked; it ends by itself
        return None
    return None if token is None else (found.server, token)


def take_back(server: str, refresh_token: Secret | None) -> None:
    """Revoke a sign-in that nobody holds any more. What cannot be taken back ends by itself."""
    if refresh_token is None:
        return
    try:
        revoke(server, refresh_token, timeout=_TIDY_SECONDS)
    except KeysteadError:
        return
