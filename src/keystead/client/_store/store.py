"""The credential store: every sign-in of one person on one machine, in one file that many processes share.

Nothing is remembered between calls but the file's path: each call reads, and each change reads, changes and writes
under a lock (docs/decisions/credential-store.md).
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from keystead.client import _quick
from keystead.client._errors import KeyringUnavailable, SignInRequired, StoreError, UsageError
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._store.also import PARALLEL_CLI, Also, Given
from keystead.client._store.content import Content
from keystead.client._store.contexts import (
    IN_FILE,
    IN_KEYRING,
    Context,
    PendingSignIn,
    SignIn,
    renewed,
    signed_in,
    write_pending,
)
from keystead.client._store.file import (
    Signature,
    make_directory,
    mend_modes,
    prove_room,
    signature,
)
from keystead.client._store.keyring import Keyring
from keystead.client._store.lock import FileLock, LockFunction, pauses, system_lock
from keystead.client._store.paths import Paths, default_paths
from keystead.kernel.clock import Clock, SystemClock
from keystead.kernel.secrets import Secret

REFRESH_SECONDS: Final = 30.0
"""How long to wait for another process that renews the same context."""
_OWN_FILES: Final = (_quick.FILE_NAME, f".{_quick.FILE_NAME}", "credentials.lock", "refresh-")
_PENDING_KEPT_SECONDS: Final = 86_400
_HOW_TO_INSTALL: Final = "pip install 'keystead[keyring]'"


class Store:
    """The stored sign-ins, called contexts. Safe to use from many threads and processes at once.

    ``notices`` are sentences that a person should see: where a sign-in was put when that is not the keyring, what was
    open to others. Every method raises StoreError when the files cannot be used; nothing that was stored is lost then.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        environ: Mapping[str, str],
        require_keyring: bool = False,
        clock: Clock | None = None,
        lock: LockFunction = system_lock,
    ) -> None:
        """Use the files at ``paths``; ``environ`` says where other programs have theirs."""
        self.paths = paths
        self.also = Also(environ)
        self.notices: list[str] = []
        self.clock = clock or SystemClock()
        self._keyring = Keyring(environ)
        self._require_keyring = require_keyring
        self._keyring_refusal: KeyringUnavailable | None = None
        self._keyring_probed = False
        self._lock = lock
        self._content = Content(paths, lock)

    @classmethod
    def open(
        cls,
        directory: "str | os.PathLike[str] | None" = None,
        require_keyring: bool = False,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        lock: LockFunction = system_lock,
    ) -> Self:
        """Open the store in a directory, by default the person's own (``_quick.directory``). It need not exist yet.

        With ``require_keyring`` a sign-in that the keyring cannot take is refused with KeyringUnavailable.
        """
        known = os.environ if environ is None else environ
        paths = default_paths(known) if directory is None else Paths(Path(directory))
        store = cls(paths, environ=known, require_keyring=require_keyring, clock=clock, lock=lock)
        store.notices.extend(mend_modes(paths.credentials, _OWN_FILES))
        return store

    # Looking

    def contexts(self) -> tuple[Context, ...]:
        """Return every context, in the order in which they were signed in."""
        return tuple(self._content.context(name, kept) for name, kept in self._content.read()["contexts"].items())

    def current(self) -> str | None:
        """Return the name of the context that is used when none is named."""
        content = self._content.read()
        name = content.get("current")
        return name if isinstance(name, str) and name in content["contexts"] else None

    def find(self, name: str) -> Context | None:
        """Return a context, None when there is none of that name."""
        kept = self._content.read()["contexts"].get(name)
        return None if kept is None else self._content.context(name, kept)

    def context(self, name: str | None = None) -> Context:
        """Return a context, the current one without a name. Raises SignInRequired when there is none."""
        wanted = name or self.current()
        found = None if wanted is None else self.find(wanted)
        if found is not None:
            return found
        names = ", ".join(context.name for context in self.contexts())
        if wanted is not None:
            raise SignInRequired(f"There is no sign-in '{wanted}' in {self.paths.credentials}.", hint=_choose(names))
        raise SignInRequired("Nobody is signed in." if not names else "No sign-in is chosen.", hint=_choose(names))

    def signature(self) -> Signature | None:
        """Return what changes whenever anything in the store does, None when that cannot be told at the moment."""
        return signature(self.paths.credentials)

    def where(self, name: str) -> str:
        """Say in words where a context is kept, with the path."""
        if self.context(name).kept_in == IN_KEYRING:
            return f"the keyring of this system (the short-lived access token in {self.paths.credentials})"
        return f"{self.paths.credentials}, which only you can read"

    def refresh_token(self, context: Context) -> Secret | None:
        """Return the refresh token of a context, wherever it is. Raises KeyringUnavailable, and loses nothing."""
        if context.kept_in != IN_KEYRING:
            return context.refresh_token
        try:
            return self._keyring.read(context.account)
        except KeyringUnavailable as error:
            raise KeyringUnavailable(
                f"{error} The sign-in '{context.name}' is kept there, and nothing of it is lost.",
                hint="Unlock the keyring and try again, or sign in anew: keystead login",
            ) from error

    # Signing in and out

    def prepare(self, also: Iterable[str] = ()) -> None:
        """Make sure that a sign-in could be stored, before anybody is asked to approve one.

        Raises KeyringUnavailable when the keyring is required and cannot be used, StoreError and UsageError.
        """
        self.also.check(also)
        make_directory(self.paths.directory)
        self._content.read()
        prove_room(self.paths.credentials)
        self._has_keyring()

    def save(self, sign_in: SignIn, tokens: TokenSet, *, select: bool = True) -> Context:
        """Store a sign-in in the place of an earlier one of the same name, select it, and return it.

        The refresh token goes to the keyring where there is one that works, else to the file, which ``notices`` tells.
        When an error is raised nothing of it was stored.
        """
        self.also.check(sign_in.also, sign_in, tokens.organization_id)
        make_directory(self.paths.directory)
        with self.refreshing(sign_in.context):
            before = self.find(sign_in.context)
            prove_room(self.paths.credentials)
            account = f"{sign_in.context} {sign_in.server}"
            kept_in = self._keep(account, tokens.refresh_token)
            if (
                before is not None
                and before.kept_in == IN_KEYRING
                and (before.account, IN_KEYRING) != (account, kept_in)
            ):
                self._forget_secret(before)

            def work(content: dict[str, Any]) -> None:
                kept = content["contexts"].setdefault(sign_in.context, {})
                kept.update(signed_in(sign_in))
                _update(kept, renewed(tokens, self.clock.now(), kept_in, None))
                if select:
                    content["current"] = sign_in.context

            self._content.change(work)
            context = self.context(sign_in.context)
            if before is not None:
                self._with_others(lambda: self.also.take_out(before))
            self._with_others(lambda: self.also.put(Given(context, tokens.refresh_token)))
            if PARALLEL_CLI in context.also and kept_in == IN_KEYRING:
                self._tell(f"parallel-cli keeps the sign-in as plain text in {self.also.path(PARALLEL_CLI)}.")
        return context

    def renew(self, seen: Context, tokens: TokenSet) -> Context | None:
        """Store new tokens of a context, and return it, unless it has changed since ``seen``: then None.

        So a process that was slow never puts older tokens in the place of newer ones, nor brings back what was signed
        out, even where nothing can be locked.
        """
        now = self.find(seen.name)
        if now is None or now.access_token != seen.access_token:
            return None
        if seen.kept_in == IN_KEYRING and tokens.refresh_token is not None:
            try:
                self._keyring.write(seen.account, tokens.refresh_token)
            except KeyringUnavailable as error:  # the server gives the same successor for the earlier one again
                self._tell(f"{error} It still holds the earlier refresh token, which the server accepts for a day.")

        def work(content: dict[str, Any]) -> Context | None:
            kept = content["contexts"].get(seen.name)
            if kept is None or kept.get("access_token") != seen.access_token.reveal():
                return None
            _update(kept, renewed(tokens, self.clock.now(), seen.kept_in, seen.refresh_token))
            return self._content.context(seen.name, kept)

        context = self._content.change(work)
        if context is not None:
            given = Given(context, tokens.refresh_token or seen.refresh_token)
            self._with_others(lambda: self.also.renew(given))
        return context

    def adopt(self, context: Context) -> Context:
        """Take over what another program has renewed meanwhile, and return the context as it is then."""
        if not context.also:
            return context
        given = Given(context, self.refresh_token(context))
        try:
            newer = self.also.newer(given)
        except StoreError as error:
            self._tell(str(error))
            return context
        if newer is None:
            return context
        self.renew(context, newer)
        return self.context(context.name)

    def prove_room(self, context: Context) -> None:
        """Make sure that new tokens could be stored, before the old ones are spent. Raises StoreError."""
        prove_room(self.paths.credentials)
        self.also.prove_room(context)

    def select(self, name: str) -> None:
        """Make a context the current one. Raises SignInRequired when there is none of that name."""
        self.context(name)
        self._content.change(lambda content: content.__setitem__("current", name))

    def forget(self, name: str) -> None:
        """Remove a context from the store, the keyring and the files of other programs; nothing is revoked by it."""
        context = self.context(name)
        self._with_others(lambda: self.also.take_out(context))
        if context.kept_in == IN_KEYRING:
            self._forget_secret(context)

        def work(content: dict[str, Any]) -> None:
            content["contexts"].pop(name, None)
            if content.get("current") == name:
                content["current"] = None

        self._content.change(work)

    @contextmanager
    def refreshing(self, name: str) -> Iterator[None]:
        """Keep other processes from renewing a context within the block, waiting for one that does so now.

        One that does not come to an end holds nobody up for more than ``REFRESH_SECONDS``.
        """
        lock = self.refresh_lock(name)
        if not lock.take():
            any(lock.take() for _ in pauses(REFRESH_SECONDS))
        try:
            yield
        finally:
            lock.release()

    def refresh_lock(self, name: str) -> FileLock:
        """Return the lock under which a context is renewed."""
        return FileLock(self.paths.refresh_lock(name), self._lock)

    # Clients and sign-ins that wait

    def client_id(self, server: str) -> str | None:
        """Return the client id that this machine has at a server, None when it has not registered there."""
        found = self._content.read()["clients"].get(server)
        return found if isinstance(found, str) else None

    def remember_client(self, server: str, client_id: str | None) -> None:
        """Keep the client id of a server, or forget it: None."""

        def work(content: dict[str, Any]) -> None:
            content["clients"].pop(server, None)
            if client_id is not None:
                content["clients"][server] = client_id

        self._content.change(work)

    def keep_pending(self, server: str, code: DeviceCode, *, name: str = "", also: Iterable[str] = ()) -> PendingSignIn:
        """Keep a sign-in that waits for a person, to be resumed by its id (promise D11)."""
        now = self.clock.now()

        def work(content: dict[str, Any]) -> PendingSignIn:
            waiting = content["pending"]
            for id in [id for id, kept in waiting.items() if _ended_long_ago(kept, now)]:
                del waiting[id]
            pending = PendingSignIn(secrets.token_hex(6), server, code, now, name, tuple(sorted(set(also))))
            waiting[pending.id] = write_pending(pending)
            return pending

        return self._content.change(work)

    def pending(self, id: str) -> PendingSignIn:
        """Return a sign-in that waits. Raises UsageError when there is none with this id."""
        kept = self._content.read()["pending"].get(id)
        if kept is None:
            raise UsageError(f"No sign-in with the id '{id}' waits here.", hint="Start one: keystead login --no-wait")
        return self._content.pending(id, kept)

    def drop_pending(self, id: str) -> None:
        """Forget a sign-in that waited; nothing happens when there is none."""
        self._content.change(lambda content: content["pending"].pop(id, None))

    # Inside

    def _has_keyring(self) -> bool:
        """Tell whether the keyring can be used. Raises KeyringUnavailable when it must be and cannot."""
        if not self._keyring_probed:
            try:
                self._keyring.probe()
            except KeyringUnavailable as error:
                self._keyring_refusal = error
            self._keyring_probed = True
        if self._keyring_refusal is not None and self._require_keyring:
            hint = f"Install it: {_HOW_TO_INSTALL}" if "not installed" in str(self._keyring_refusal) else None
            raise KeyringUnavailable(str(self._keyring_refusal), hint=hint)
        return self._keyring_refusal is None

    def _keep(self, account: str, refresh_token: Secret | None) -> str:
        """Put a new sign-in's refresh token into the keyring if that works, and return where it is to be."""
        if refresh_token is None:
            return IN_FILE
        if self._has_keyring():
            try:
                self._keyring.write(account, refresh_token)
            except KeyringUnavailable as error:
                if self._require_keyring:
                    raise
                self._keyring_refusal = error
            else:
                return IN_KEYRING
        self._tell(f"{self._keyring_refusal} The sign-in is kept in {self.paths.credentials}, which only you can read.")
        return IN_FILE

    def _forget_secret(self, context: Context) -> None:
        try:
            self._keyring.delete(context.account)
        except KeyringUnavailable as error:
            self._tell(f"{error} It still holds the refresh token of '{context.name}'.")

    def _with_others(self, work: Callable[[], None]) -> None:
        """Do something with the files of other programs. What goes wrong there must not spoil what is stored here."""
        try:
            work()
        except StoreError as error:
            self._tell(str(error))

    def _tell(self, sentence: str) -> None:
        if sentence not in self.notices:
            self.notices.append(sentence)


def _update(kept: dict[str, Any], members: Mapping[str, Any]) -> None:
    """Replace members of a context, keeping those that a newer version may have added."""
    kept.update(members)
    if kept["refresh_token"] is None:
        del kept["refresh_token"]


def _ended_long_ago(kept: Any, now: int) -> bool:
    ends = kept.get("expires_at") if isinstance(kept, dict) else None
    return isinstance(ends, int) and ends + _PENDING_KEPT_SECONDS < now


def _choose(names: str) -> str:
    return f"Choose one of these: {names}. Or sign in: keystead login" if names else "Sign in: keystead login"
