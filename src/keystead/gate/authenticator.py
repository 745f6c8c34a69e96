"""From credential to principal: the change feed first, then the cache, then the room that issued the credential."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from keystead.db.engine import Database
from keystead.gate.cache import CredentialCache, Entry
from keystead.gate.credentials import CARRIERS, LARGEST_HEADERS, Headers, Kind, Presented
from keystead.gate.looks import Looks
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Unauthenticated
from keystead.keys.service import Keys
from keystead.sessions.service import Sessions
from keystead.tokens.service import Tokens

REFUSED: Final = {
    Kind.API_KEY: "This API key is not valid: check that it is complete, not expired and not revoked.",
    Kind.TOKEN: "This token is not valid: check that it is complete, not expired and not revoked.",
    Kind.SESSION: "This session has ended. Sign in again.",
    Kind.UNREADABLE: "The credential cannot be read. Send 'Bearer <token>', or an API key as the user name of Basic "
    "authentication with an empty password.",
}


class Authenticator:
    """Answers who a credential is, never from knowledge that is out of date."""

    def __init__(
        self, *, db: Database, clock: Clock, key: bytes, keys: Keys, tokens: Tokens, sessions: Sessions
    ) -> None:
        """Listen to the change feed. ``key`` hashes credentials for the cache."""
        self.cache = CredentialCache()
        self._fresh: Callable[[], bool] = db.fresh
        self.looks = Looks(db.fresh)
        self._clock = clock
        self._keyed = blake2b(key=key)
        self._keyed_by_field = {name: blake2b(name + b": ", key=key) for name in CARRIERS}
        self._keys = keys
        self._tokens = tokens
        self._sessions = sessions
        db.listen(self.cache.hear)

    def recall(self, headers: Headers) -> Entry | None:
        """Return what is remembered of the only credential in these header fields, after hearing of every change.

        None for whatever needs a closer look: fields that were not seen before, several credentials, too much. Raises
        DatabaseError.
        """
        sight = self._sight(headers)
        if sight is None or not self.looks.fresh():
            return None
        return self.cache.seen(sight, self._clock.now())

    def recognize(self, headers: Headers, entry: Entry) -> None:
        """Know this entry the next time that it comes in these very fields."""
        sight = self._sight(headers)
        if sight is not None:
            self.cache.recognize(sight, entry)

    def _sight(self, headers: Headers) -> bytes | None:
        """Return the keyed hash of the one field that may carry a credential; None unless there is exactly one."""
        size, found, text = 0, b"", b""
        for name, value in headers:
            size += len(name) + len(value)
            if name in CARRIERS:
                if found:
                    return None
                found, text = name, value
        if not found or size > LARGEST_HEADERS:
            return None
        keyed = self._keyed_by_field[found].copy()
        keyed.update(text)
        return keyed.digest()

    def remembered(self, presented: Presented) -> Entry | None:
        """Return what is remembered, after hearing of every change; nothing while that may be out of date.

        Raises DatabaseError: cannot know (promise V5).
        """
        if not self._fresh():
            return None
        return self.cache.get(self._cache_key(presented), self._clock.now())

    async def entry(self, presented: Presented) -> Entry:
        """Return the entry of a credential. Raises Unauthenticated and DatabaseError."""
        found = self.remembered(presented)
        if found is not None:
            return found
        heard = self.cache.heard
        principal = await self._look_up(presented)
        if principal is None:
            raise Unauthenticated(REFUSED[presented.kind])
        return self.cache.put(self._cache_key(presented), principal, heard)

    async def _look_up(self, presented: Presented) -> Principal | None:
        if presented.kind is Kind.API_KEY:
            return await self._keys.find(presented.text)
        if presented.kind is Kind.TOKEN:
            return await self._tokens.find(presented.text)
        if presented.kind is Kind.SESSION:
            return await self._sessions.find(presented.text)
        return None

    def _cache_key(self, presented: Presented) -> bytes:
        """Tell kinds apart: what is right as a bearer token must not become right as a cookie by being remembered.

        Nobody else needs to find this hash again, so it is the quickest keyed one there is (RFC 7693).
        """
        keyed = self._keyed.copy()
        keyed.update(f"{presented.kind.value}:{presented.text}".encode())
        return keyed.digest()
