"""ID tokens: they tell a client who signed in, and open nothing (OpenID Connect Core 1.0, section 2)."""

from typing import Final

import msgspec

from keystead.kernel.clock import Clock
from keystead.kernel.principal import Identity
from keystead.kernel.secrets import Secret
from keystead.tokens.models import Algorithm
from keystead.tokens.signing_keys import SigningKeys


class IdClaims(msgspec.Struct, frozen=True):
    """The claims of an ID token. Times are in Unix seconds.

    It is for the client, ``aud``, and has neither ``jti`` nor ``platform_host``: so it passes for no short-term token,
    which the same key signs and which is for its issuer (RFC 8725, section 3.12).
    """

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    auth_time: int
    preferred_username: str
    name: str
    email: str


CLAIMS: Final = IdClaims.__struct_fields__
"""The names of the claims."""


class IdTokens:
    """ID tokens, signed with RS256 because every client reads that (OpenID Connect Core 1.0, section 15.1)."""

    def __init__(self, *, clock: Clock, signing: SigningKeys, issuer: str) -> None:
        """Issue in the name of ``issuer``, the server's address."""
        self._clock = clock
        self._signing = signing
        self._issuer = issuer

    async def issue(self, identity: Identity, *, client_id: str, authenticated_at: int, lifetime: int) -> Secret:
        """Return an ID token that tells a client who signed in, and when, for ``lifetime`` seconds; nothing is stored.

        Call it outside a unit of work. Raises Unavailable.
        """
        signer = await self._signing.signer(Algorithm.SHORT_TERM)
        now = self._clock.now()
        claims = IdClaims(
            iss=self._issuer,
            sub=identity.user_id,
            aud=client_id,
            exp=now + lifetime,
            iat=now,
            auth_time=authenticated_at,
            preferred_username=identity.username,
            name=identity.name,
            email=identity.email,
        )
        return Secret(signer.sign(claims))
