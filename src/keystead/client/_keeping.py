"""Keep what a device sign-in gave in the credential store, where every program of the person finds it.

``keystead login`` stores the same; who may renew it afterwards is ``keystead.client._credentials``.
"""

from collections.abc import Iterable, Mapping

from keystead.client._credentials import BearerCredential
from keystead.client._errors import KeysteadError
from keystead.client._keystead import Keystead
from keystead.client._models import DeviceCode, SignedIn, TokenSet
from keystead.client._oauth import revoke
from keystead.client._store.contexts import SignIn
from keystead.client._store.store import Store
from keystead.kernel.secrets import Secret

_TIDY_SECONDS = 5.0
"""How long to wait for a server that is asked to take an earlier sign-in back."""


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
    with Keystead(BearerCredential(server, tokens.access_token)) as client:
        me = client.whoami()
    sign_in = SignIn(server, code.client_id, me.username, me.user_id, context, tuple(also))
    earlier = _earlier(store, sign_in.context)
    kept = store.save(sign_in, tokens, select=select)
    if earlier is not None and earlier[1] != tokens.refresh_token:
        _take_back(*earlier)
    return SignedIn(
        name=kept.name,
        server=server,
        username=me.username,
        organization=kept.organization,
        where=store.where(kept.name),
        notices=tuple(store.notices),
    )


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


def _take_back(server: str, refresh_token: Secret) -> None:
    """Revoke a sign-in that was replaced. What cannot be taken back ends by itself."""
    try:
        revoke(server, refresh_token, timeout=_TIDY_SECONDS)
    except KeysteadError:
        return
