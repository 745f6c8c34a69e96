"""Opaque access tokens, which the ACTIVATE API gives out: what one says, and who it belongs to.

Nothing of such a token is stored: it names its grant and carries a MAC, which is looked at first, so that a token that
is none costs no look-up (promise K10). It ends at once with its grant, unlike the signed access tokens of the other
surface, which others verify without asking: so its grant is asked for, and whoever remembers the answer hears of the
grant's end (promise V1).
"""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keystead.db import Database
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Method, Principal
from keystead.kernel.scopes import Role, Scope, Scopes, grantable
from keystead.kernel.secrets import AccessLocator, derive_access_token, new_nonce, read_access_token
from keystead.kernel.settings import Settings
from keystead.oauth import store
from keystead.oauth.models import Grant
from keystead.tokens.models import IssuedAccessToken

SCOPE_BITS: Final[Mapping[Scope, int]] = {
    Scope.KEYS_READ: 0,
    Scope.KEYS_CREATE: 1,
    Scope.KEYS_UPDATE: 2,
    Scope.KEYS_ROTATE: 3,
    Scope.KEYS_DELETE: 4,
    Scope.APPS_READ: 5,
    Scope.APPS_CREATE: 6,
    Scope.APPS_DELETE: 7,
    Scope.BALANCE_READ: 8,
    Scope.BALANCE_ADD: 9,
    Scope.TOKENS_READ: 10,
    Scope.TOKENS_CREATE: 11,
    Scope.TOKENS_DELETE: 12,
    Scope.SESSIONS_READ: 13,
    Scope.SESSIONS_DELETE: 14,
    Scope.DEVICES_READ: 15,
    Scope.DEVICES_DELETE: 16,
}
"""The bit that stands for each scope, 63 at most. Lines are added and never changed: tokens that are out say so."""


@dataclass(frozen=True, slots=True)
class FoundAccessToken:
    """A token that is good: who it belongs to, the client that it was issued to, and when, in Unix seconds."""

    principal: Principal
    client_id: str
    issued_at: int


class AccessTokens:
    """Opaque access tokens: issued, read and recognised."""

    def __init__(self, *, db: Database, clock: Clock, key: bytes, settings: Settings) -> None:
        """``key`` makes their MACs, and nothing else."""
        self._db = db
        self._clock = clock
        self._key = key
        self._settings = settings

    def issue(self, grant: Grant, scopes: Scopes) -> IssuedAccessToken:
        """Return a fresh token under a grant, which it does not outlive; nothing is stored."""
        now = self._clock.now()
        expires_at = min(now + self._settings.access_token_ttl, grant.expires_at)
        locator = AccessLocator(
            grant=uuid.UUID(grant.grant_id).bytes,
            issued_at=now,
            expires_at=expires_at,
            scopes=sum(1 << SCOPE_BITS[scope] for scope in scopes),
            nonce=new_nonce(),
        )
        return IssuedAccessToken(derive_access_token(self._key, locator), max(0, expires_at - now))

    def read(self, text: str) -> AccessLocator | None:
        """Return what a token says that this server made and that has not expired. Nothing is looked up."""
        locator = read_access_token(self._key, text)
        return locator if locator is not None and self._clock.now() < locator.expires_at else None

    async def find(self, text: str) -> Principal | None:
        """Return who a token belongs to, or None for any text that is not a token of ours whose grant is alive.

        Raises DatabaseError when it cannot be known.
        """
        found = await self.look_up(text)
        return None if found is None else found.principal

    async def look_up(self, text: str) -> FoundAccessToken | None:
        """Return the same with what else the token and its grant tell."""
        locator = self.read(text)
        if locator is None:
            return None
        grant_id = str(uuid.UUID(bytes=locator.grant))
        holder = await self._db.one(store.GRANT_HOLDER, {"grant_id": grant_id, "now": self._clock.now()})
        if holder is None:
            return None
        scopes = frozenset(scope for scope, bit in SCOPE_BITS.items() if locator.scopes >> bit & 1)
        principal = Principal(
            holder.alone(),
            Method.ACCESS_TOKEN,
            grantable(scopes, Role(holder.role)),
            base64.urlsafe_b64encode(locator.nonce).decode().rstrip("="),
            locator.expires_at,
            grant_id,
            ends_with_grant=True,
        )
        return FoundAccessToken(principal, holder.client_id, locator.issued_at)
