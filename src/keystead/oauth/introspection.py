"""Asking about a token: whether it is good now, and what it is good for (RFC 7662).

The answer comes from the database and from no memory, so what was taken back is seen at once (promise V2). Who asks is
told about tokens of their own organization; operators are told about all.
"""

import base64
from dataclasses import dataclass
from typing import Final

import msgspec

from keystead.kernel.principal import Method, Principal
from keystead.kernel.scopes import Role, Scopes, grantable, stored_scopes
from keystead.kernel.secrets import ACCESS_TOKEN_PREFIX, REFRESH_TOKEN_PREFIX
from keystead.oauth.access_tokens import AccessTokens
from keystead.oauth.grants import Grants
from keystead.tokens.service import Tokens

BEARER: Final = "Bearer"


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is true of a token that is good (RFC 7662, section 2.2). Times are in Unix seconds.

    ``token_type`` is None for a refresh token, ``client_id`` for a token that no client was given, and ``issued_at``
    where it is not known any more.
    """

    organization_id: str
    user_id: str
    issuer: str
    audience: str
    scopes: Scopes
    expires_at: int
    issued_at: int | None = None
    client_id: str | None = None
    token_type: str | None = BEARER
    opaque: bool = False


class _Claims(msgspec.Struct, frozen=True):
    """What is read of a signed token beyond what it was recognised by."""

    iss: str
    aud: str
    iat: int
    client_id: str | None = None


_claims = msgspec.json.Decoder(_Claims)


class Introspection:
    """What this server knows of a token."""

    def __init__(self, *, tokens: Tokens, access: AccessTokens, grants: Grants, issuer: str) -> None:
        """Ask whoever issued it; ``issuer`` is the server's address."""
        self._tokens = tokens
        self._access = access
        self._grants = grants
        self._issuer = issuer

    async def look(self, text: str, asker: Principal) -> TokenFacts | None:
        """Return what is true of a token; None for one that is not good, or that is not the asker's to know about.

        API keys and sessions are no tokens. Raises DatabaseError.
        """
        found = await self._facts(text)
        if found is None or asker.identity.platform_admin:
            return found
        return found if found.organization_id == asker.identity.organization_id else None

    async def _facts(self, text: str) -> TokenFacts | None:
        if text.startswith(ACCESS_TOKEN_PREFIX):
            return await self._opaque(text)
        if text.startswith(REFRESH_TOKEN_PREFIX):
            return await self._refresh(text)
        return await self._signed(text)

    async def _opaque(self, text: str) -> TokenFacts | None:
        found = await self._access.look_up(text)
        if found is None or found.principal.expires_at is None:
            return None
        return TokenFacts(
            found.principal.identity.organization_id,
            found.principal.identity.user_id,
            self._issuer,
            self._issuer,
            found.principal.scopes,
            found.principal.expires_at,
            found.issued_at,
            found.client_id,
            opaque=True,
        )

    async def _refresh(self, text: str) -> TokenFacts | None:
        found = await self._grants.find(text)
        if found is None:
            return None
        grant = found.grant
        return TokenFacts(
            grant.organization_id,
            grant.user_id,
            self._issuer,
            self._issuer,
            grantable(stored_scopes(grant.scopes), Role(grant.role)),
            found.expires_at,
            found.issued_at,
            grant.client_id,
            token_type=None,
        )

    async def _signed(self, text: str) -> TokenFacts | None:
        principal = await self._tokens.find(text)
        if principal is None or principal.expires_at is None:
            return None
        payload = text.split(".")[1]  # the signature over it was verified just now
        claims = _claims.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return TokenFacts(
            principal.identity.organization_id,
            principal.identity.user_id,
            claims.iss,
            claims.aud,
            principal.scopes,
            principal.expires_at,
            claims.iat,
            claims.client_id if principal.method is Method.ACCESS_TOKEN else None,
        )
