"""Credentials: what a request is sent with, and how a stored sign-in is renewed by one process for all of them.

A refresh is asked for once, by whoever of all threads, tasks and processes takes the context's lock first; the others
find the new tokens in the store (promises R1, R6, R9, R10, R11; docs/decisions/credential-store.md). Every refresh
presents the token that stands in the store at that moment, never one that a process remembers.
"""

import base64
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from keystead.client._errors import (
    KeyringUnavailable,
    KeysteadError,
    NetworkError,
    RateLimited,
    SignInEnded,
    SignInRequired,
    StoreError,
)
from keystead.client._models import TokenSet
from keystead.client._quick import random_share
from keystead.client._store.contexts import Context
from keystead.client._store.file import Signature
from keystead.client._store.lock import FileLock, pauses
from keystead.client._store.store import REFRESH_SECONDS, Store
from keystead.kernel.secrets import Secret

Refresh: TypeAlias = Callable[[str, Secret, str], TokenSet]
"""Asks a server for the next tokens: ``refresh(server, refresh_token, client_id)``.

It may repeat a request whose answer was lost, but not for longer than 15 seconds: later the store may hold another
token. Raises SignInEnded for ``invalid_grant``, NetworkError, ServerUnavailable and RateLimited.
"""

_MOST_TOKENS: Final = 3
"""How many refresh tokens a renewal tries, each of them found in the store after the one before was refused."""
_AFTER_FAILURE_SECONDS: Final = 15.0
_END_BELIEVED_SECONDS: Final = 60.0


class Credential(Protocol):
    """What requests to one server are sent with. Methods are safe to call from many threads at once."""

    @property
    def server(self) -> str:
        """The server's address, without a slash at the end."""

    def authorization(self) -> Secret:
        """Return the whole value of the header ``Authorization``. It may wait for a disk, a lock and the network.

        Raises SignInRequired, NetworkError, StoreError.
        """

    def ready(self) -> Secret | None:
        """Return the same without any waiting, or None when it must be asked for with ``authorization``."""

    def after_refusal(self, refused: Secret) -> Secret | None:
        """Return another value to try once after a 401 for ``refused``, or None. It may wait as ``authorization``."""


@dataclass(frozen=True, slots=True)
class ApiKeyCredential:
    """An API key, sent as the user name of HTTP Basic with an empty password (RFC 7617)."""

    server: str
    key: Secret

    def authorization(self) -> Secret:
        """Return the header's value."""
        return Secret("Basic " + base64.b64encode(f"{self.key.reveal()}:".encode()).decode())

    def ready(self) -> Secret | None:
        """Return the header's value."""
        return self.authorization()

    def after_refusal(self, refused: Secret) -> Secret | None:
        """There is no other."""
        return None


@dataclass(frozen=True, slots=True)
class BearerCredential:
    """A bearer token that is sent as it is and never renewed (RFC 6750)."""

    server: str
    token: Secret

    def authorization(self) -> Secret:
        """Return the header's value."""
        return _bearer(self.token)

    def ready(self) -> Secret | None:
        """Return the header's value."""
        return self.authorization()

    def after_refusal(self, refused: Secret) -> Secret | None:
        """There is no other."""
        return None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A context as it was read last, and from which state of the file.

    ``share`` is the last part of this token's life in which this process renews it.
    """

    context: Context
    signature: Signature | None
    share: float = field(default_factory=random_share)


class StoredCredential:
    """A context of a store, renewed when it is due.

    What is remembered between calls is dropped as soon as the file changes, so that a sign-out, a new sign-in or
    another process's refresh is noticed at once.
    """

    def __init__(
        self,
        store: Store,
        name: str | None,
        refresh: Refresh,
        *,
        at_least: float = 0,
        patience: float = REFRESH_SECONDS,
    ) -> None:
        """Use the context of this name, or the current one. Raises SignInRequired when there is none.

        A token is renewed as well when it has less than ``at_least`` seconds left and half of its life is over.
        ``patience`` is for how many seconds another thread or process that renews it is waited for.
        """
        context = store.context(name)
        self.server = context.server
        self.name = context.name
        self._store = store
        self._refresh = refresh
        self._at_least = at_least
        self._patience = patience
        self._seen: _Seen | None = None
        self._ended: tuple[Secret, float] | None = None
        self._forced: Secret | None = None
        self._failure: tuple[float, KeysteadError] | None = None
        self._not_before = 0.0
        self._turn = threading.Lock()
        self._process = os.getpid()

    @property
    def store(self) -> Store:
        """Where it is stored."""
        return self._store

    def ready(self) -> Secret | None:
        """Return the header's value if the stored token needs no renewal: one look at the file, no waiting."""
        try:
            seen = self._look()
        except KeysteadError:
            return None  # ``authorization`` raises it
        return None if self._is_due(seen) else _bearer(seen.context.access_token)

    def authorization(self) -> Secret:
        """Return the header's value, after a renewal if one is due.

        While the token is valid nothing holds a request up: a renewal that fails, or that another process is at, leaves
        the present token in use. Raises SignInEnded when the server refuses the sign-in, NetworkError, StoreError.
        """
        seen = self._look()
        if not self._is_due(seen):
            return _bearer(seen.context.access_token)
        valid = seen.context.is_valid(self._store.clock.now())
        if valid and time.monotonic() < self._not_before:
            return _bearer(seen.context.access_token)
        try:
            return _bearer(self._renewed(seen.context, urgent=not valid).access_token)
        except (NetworkError, RateLimited, StoreError) as error:
            if not valid:
                raise
            self._not_before = time.monotonic() + _pause_after(error)
            return _bearer(seen.context.access_token)

    def after_refusal(self, refused: Secret) -> Secret | None:
        """Return the header's value that another process has stored meanwhile, or of one forced renewal; else None.

        A clock that was set back makes a token look valid that is not (promise J5), and a server may end a token early.
        A token that came from a forced renewal and is refused as well is not renewed again.
        """
        seen = self._look()
        if _bearer(seen.context.access_token) != refused and seen.context.is_valid(self._store.clock.now()):
            return _bearer(seen.context.access_token)
        if refused == self._forced:
            return None
        found = _bearer(self._renewed(seen.context, urgent=True, forced=True).access_token)
        self._forced = found
        return found

    # Looking

    def _look(self) -> _Seen:
        """Return the context as it stands in the file. Raises SignInRequired when it is no longer there."""
        seen, now = self._seen, self._store.signature()
        if seen is not None and now is not None and seen.signature == now:
            return seen
        context = self._store.context(self.name)
        if context.server != self.server:
            raise SignInRequired(f"The sign-in '{self.name}' is now one at {context.server}, not at {self.server}.")
        if seen is not None and seen.context.access_token == context.access_token:
            found = _Seen(context, now, seen.share)
        else:
            found = _Seen(context, now)
        self._seen = found
        return found

    def _is_due(self, seen: _Seen) -> bool:
        return seen.context.is_due(self._store.clock.now(), seen.share, self._at_least)

    # Renewing

    def _renewed(self, stale: Context, *, urgent: bool, forced: bool = False) -> Context:
        """Return a context whose access token is another than that of ``stale``, or not due any more.

        Without ``urgent`` nothing is waited for: when others are at it, ``stale`` itself is returned.
        """
        began = time.monotonic()
        with self._own_turn(urgent) as mine:
            if not mine:
                return stale
            if self._failure is not None and self._failure[0] > began:
                raise self._failure[1]  # the one that was waited for has just found out
            news = self._news(stale, forced)
            if news is not None:
                return news
            try:
                return self._renewed_by_one(stale, urgent, forced)
            except KeysteadError as error:
                self._failure = time.monotonic(), error
                raise

    def _renewed_by_one(self, stale: Context, urgent: bool, forced: bool) -> Context:
        """Renew the context, or wait for the process that does so."""
        lock = self._store.refresh_lock(self.name)
        try:
            if not lock.take():
                if not urgent:
                    return stale
                found = self._waited_for(lock, stale, forced)
                if found is not None:
                    return found
            return self._refreshed(stale, forced)
        finally:
            lock.release()

    @contextmanager
    def _own_turn(self, urgent: bool) -> Iterator[bool]:
        """Let one thread of this process in at a time; without ``urgent`` only if no other is there."""
        if self._process != os.getpid():  # forked: whoever held it is in the other process
            self._turn, self._process = threading.Lock(), os.getpid()
        turn = self._turn
        mine = turn.acquire(timeout=self._patience) if urgent else turn.acquire(blocking=False)
        try:
            yield mine or urgent
        finally:
            if mine:
                turn.release()

    def _news(self, stale: Context, forced: bool) -> Context | None:
        """Return the stored context if somebody has renewed it since ``stale``."""
        seen = self._look()
        changed = seen.context.access_token != stale.access_token
        if forced:
            return seen.context if changed and seen.context.is_valid(self._store.clock.now()) else None
        return None if self._is_due(seen) else seen.context

    def _waited_for(self, lock: FileLock, stale: Context, forced: bool) -> Context | None:
        """Wait until another process has put new tokens into the store, and return them; None when the lock is free.

        When patience ends the lock does not count any more: a process that was stopped would hold up all others,
        and a second refresh is answered with the same successor (promise R2).
        """
        for _ in pauses(self._patience):
            found = self._news(stale, forced)
            if found is not None or lock.take():
                return found
        return None

    def _refreshed(self, stale: Context, forced: bool) -> Context:
        """Ask the server for the next tokens, having read again what is stored, and store them."""
        refused: Secret | None = None
        for _ in range(_MOST_TOKENS):
            context = self._store.adopt(self._store.context(self.name))
            news = self._news(stale, forced)
            if news is not None:
                return news
            presented = self._presentable(context, refused)
            self._store.prove_room(context)
            try:
                tokens = self._refresh(context.server, presented, context.client_id)
            except SignInRequired:
                refused = presented  # believed only if the store still holds the same token (promise R6)
                continue
            renewed = self._store.renew(context, tokens)
            if renewed is not None:
                return renewed
            # Somebody signed in or renewed meanwhile, or signed out: the store is right, and what we got is not kept.
            newest = self._store.context(self.name)
            if newest.is_valid(self._store.clock.now()):
                return newest
        if refused is None:
            raise StoreError(f"The sign-in '{self.name}' is changed faster than it can be renewed.", hint="Try again.")
        raise self._remember_end(refused)

    def _presentable(self, context: Context, refused: Secret | None) -> Secret:
        """Return the stored refresh token. Raises SignInEnded when there is none that was not refused already."""
        token = self._store.refresh_token(context)
        if token is None:
            raise SignInRequired(f"The sign-in '{self.name}' cannot be renewed: there is no refresh token with it.")
        if token == refused:
            raise self._remember_end(token)
        if self._ended is not None and self._ended[0] == token and time.monotonic() < self._ended[1]:
            raise _ended(self.name)
        return token

    def _remember_end(self, token: Secret | None) -> SignInEnded:
        """Remember for a while that the server refused a token, so that it is not asked with every request."""
        if token is not None:
            self._ended = token, time.monotonic() + _END_BELIEVED_SECONDS
        return _ended(self.name)


def _bearer(token: Secret) -> Secret:
    return Secret("Bearer " + token.reveal())


def _ended(name: str) -> SignInEnded:
    return SignInEnded(
        f"The server no longer knows the sign-in '{name}': it was signed out, has expired or was revoked."
    )


def _pause_after(error: KeysteadError) -> float:
    """Return for how many seconds a valid token is used without trying again."""
    asked = getattr(error, "retry_after", None) or 0.0
    return max(_AFTER_FAILURE_SECONDS, float(asked)) if not isinstance(error, KeyringUnavailable) else 60.0
