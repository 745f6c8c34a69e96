"""The token that ``keystead auth token`` prints, from wherever the credential comes."""

import base64
import math
from dataclasses import dataclass

from keystead.client._credentials import Credential, StoredCredential
from keystead.kernel.secrets import Secret


@dataclass(frozen=True, slots=True)
class TokenAtHand:
    """A token, and the Unix second at which it expires; None where that is not known."""

    text: Secret
    expires_at: int | None


def token_of(credential: Credential) -> TokenAtHand:
    """Return the token of a credential, renewed first when that is due.

    An API key is a bearer token too (promise K11). Raises SignInRequired, NetworkError and StoreError.
    """
    scheme, _, text = credential.authorization().reveal().partition(" ")
    if scheme == "Basic":
        return TokenAtHand(Secret(base64.b64decode(text).decode().removesuffix(":")), None)
    context = credential.store.find(credential.name) if isinstance(credential, StoredCredential) else None
    if context is None or context.access_token != Secret(text):
        return TokenAtHand(Secret(text), _end_of(Secret(text)))
    return TokenAtHand(Secret(text), context.access_token_expires_at)


def _end_of(token: Secret) -> int | None:
    """Return what a token says of its own end (RFC 7519, section 4.1.4), if it says anything."""
    from keystead.client._claims import claims_of

    ends = claims_of(token.reveal()).get("exp")
    return int(ends) if isinstance(ends, (int, float)) and math.isfinite(ends) else None
