"""From credential to principal: the change feed first, then the cache, then the room that issued the credential."""

import asyncio
from hashlib import blake2b
from typing import Final

from keystead.db.engine import Database
from keystead.gate.cache import CredentialCache, Entry
from keystead.gate.credentials import CARRIERS, Headers, Kind, Presented
from keystead.gate.entrance import LARGEST_HEADERS
from keystead.gate.looks import Looks
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Identity, Principal
from keystead.kernel.problems import HeadersTooLarge, Unauthenticated
from keystead.kernel.secrets import ACCESS_TOKEN_PREFIX
from keystead.keys.service import Keys
from keystead.oauth.access_tokens import AccessTokens
from keystead.sessions.service import Sessions
from keystead.tokens.service import Tokens

REFUSED: Final = {
    Kind.API_KEY: "This API key is not valid: check that it is complete, not expired and not revoked.",
    Kind.TOKEN: "This token is not valid: check that it is complete, not expired and not revoked.",
    Kind.SESSION: "This session has ended. Sign in again.",
    Kind.UNREADABLE: "The credential cannot be read. Send 'Bearer <token>', or an API key as the user name of Basic "
    "authentication with an empty password.",
}
NOTHING_SENT: Final = "No credential was sent. Send a bearer token or an API key, or sign in."


class Authenticator:
    """Answers who a credential is, never from knowledge that is out of date."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        key: bytes,
        keys: Keys,
        tokens: Tokens,
        access: AccessTokens,
        sessions: Sessions,
    ) -> None:
        """Listen to the change feed. ``key`` hashes credentials for the cache; ``access`` knows opaque tokens."""
        self.cache = CredentialCache()
        self._looks = Looks(db.fresh)
        self._looks_are_dear = not db.hears_by_itself
        self._now = clock.now
        # One keyed hash for each kind, so that what is right as a bearer token does not become right as a cookie by
        # being remembered. Nobody else needs to find these hashes again, so it is the quickest there is (RFC 7693).
        self._keyed = {kind: blake2b(f"{kind.value}:".encode(), key=key) for kind in Kind}
        self._keyed_by_field = {name: blake2b(name + b": ", key=key) for name in CARRIERS}
        self._keys = keys
        self._tokens = tokens
        self._access = access
        self._sessions = sessions
        db.listen(self.cache.hear)

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Share looks at the feed among the requests of a server, where a look is more than a glance at the clock."""
        if self._looks_are_dear:
            self._looks.share(loop)

    def sight(self, headers: Headers) -> bytes | None:
        """Return the keyed hash of the one header field that may carry a credential; None unless there is exactly one.

        Raises HeadersTooLarge.
        """
        size, found, text, several = 0, b"", b"", False
        for name, value in headers:
            size += len(name) + len(value)
            if name in CARRIERS:
                several = found != b""
                found, text = name, value
        if size > LARGEST_HEADERS:
            raise HeadersTooLarge()
        if several or not found:
            return None
        keyed = self._keyed_by_field[found].copy()
        keyed.update(text)
        return keyed.digest()

    def recall(self, sight: bytes | None) -> Entry | None:
        """Return what is remembered of a credential by sight, after hearing of every change. Raises DatabaseError."""
        if sight is None or not self._looks.fresh():
            return None
        return self.cache.seen(sight, self._now())

    def remembered(self, presented: Presented) -> Entry | None:
        """Return what is remembered, after hearing of every change; nothing while that may be out of date.

        Raises DatabaseError: cannot know (promise V5).
        """
        if not self._looks.fresh():
            return None
        return self.cache.get(self._cache_key(presented), self._now())

    async def entry(self, presented: Presented, sight: bytes | None = None) -> Entry:
        """Return the entry of a credential, and know it by ``sight`` the next time.

        Raises Unauthenticated and DatabaseError.
        """
        key = self._cache_key(presented)
        trusted = self._looks.fresh()
        entry = self.cache.get(key, self._now()) if trusted else None
        if entry is None:
            heard = self.cache.heard
            principal = await self._look_up(presented, trusted=trusted)
            if principal is None:
                raise Unauthenticated(REFUSED[presented.kind])
            entry = self.cache.put(key, principal, heard)
        if sight is not None:
            self.cache.recognize(sight, entry)
        return entry

    async def _look_up(self, presented: Presented, *, trusted: bool) -> Principal | None:
        if presented.kind is Kind.API_KEY:
            return await self._keys.find(presented.text, self._identity if trusted else None)
        if presented.kind is Kind.TOKEN and presented.text.startswith(ACCESS_TOKEN_PREFIX):
            return await self._access.find(presented.text)
        if presented.kind is Kind.TOKEN:
            return await self._tokens.find(presented.text)
        if presented.kind is Kind.SESSION:
            return await self._sessions.find(presented.text)
        return None

    def _identity(self, user_id: str, organization_id: str) -> Identity | None:
        """Return who somebody is, if that is remembered and may still be trusted after a pause for the database."""
        return self.cache.identity(user_id, organization_id) if self._looks.fresh() else None

    def _cache_key(self, presented: Presented) -> bytes:
        keyed = self._keyed[presented.kind].copy()
        keyed.update(presented.text.encode())
        return keyed.digest()
