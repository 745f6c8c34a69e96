"""Device sign-in (RFC 8628): ask for a code, show it to a person, wait until they have decided.

``start`` and ``wait`` are apart, so that a program may show the code in its own way, or wait for it in another process.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Final, Protocol, TypeVar

from keystead.client._address import server_address
from keystead.client._calls import DEFAULT_POLICY, Manner, follow
from keystead.client._errors import ApiError, SignInCancelled
from keystead.client._http import AsyncTransport, Transport
from keystead.client._models import DeviceCode, SignedIn, TokenSet
from keystead.client._oauth import asking_for_code, registering
from keystead.client._retry import RetryPolicy
from keystead.client._steps import Conversation, block, carry_out, carry_out_async, in_thread
from keystead.client._waiting import OnWaiting, Wait, decision

T = TypeVar("T")

_LOOK_EVERY: Final = 0.05


class ClientIds(Protocol):
    """What remembers the client id of each server; the credential store does."""

    def client_id(self, server: str) -> str | None:
        """Return the id that was remembered, or None."""

    def remember_client(self, server: str, client_id: str) -> None:
        """Remember an id."""


@dataclass
class _SignIn:
    """One installation's sign-ins at one server, as conversations."""

    server: str
    client_name: str
    scopes: tuple[str, ...] | None
    ids: ClientIds | None
    policy: RetryPolicy
    known: str | None = None
    deadlines: dict[str, float] = field(default_factory=dict, repr=False)

    def start(self) -> Conversation[DeviceCode]:
        """Ask for a code as the client that is known here; register when there is none, or when it is unknown (X2)."""
        manner = Manner(self.server, policy=self.policy)
        client_id = self.known or (yield from block(self._remembered))
        code: DeviceCode | None = None
        if client_id is not None:
            try:
                code = yield from follow(asking_for_code(client_id, self.scopes), manner)
            except ApiError as error:
                if error.code != "invalid_client":
                    raise
        if code is None:
            fresh = yield from follow(registering(self.client_name), manner)
            code = yield from follow(asking_for_code(fresh, self.scopes), manner)
            yield from block(lambda: self._remember(fresh))
        self.known = code.client_id
        self.deadlines[code.user_code] = time.monotonic() + code.expires_at - time.time()
        return code

    def wait(self, code: DeviceCode, on_waiting: OnWaiting | None) -> Conversation[TokenSet]:
        """Poll until the person has decided. The code may have been asked for by another process."""
        deadline = self.deadlines.get(code.user_code)
        resumed = time.monotonic() + code.expires_at - time.time()
        wait = Wait(
            code.interval, resumed if deadline is None else deadline, exact=deadline is not None, policy=self.policy
        )
        return decision(self.server, code, wait, on_waiting)

    def _remembered(self) -> str | None:
        return None if self.ids is None else self.ids.client_id(self.server)

    def _remember(self, client_id: str) -> None:
        if self.ids is not None:
            self.ids.remember_client(self.server, client_id)


class DeviceLogin:
    """A device sign-in at one server, for threads.

    ::

        login = DeviceLogin("https://auth.example.com")
        code = login.start()
        print(code.verification_uri_complete, code.user_code)
        login.keep(code, login.wait(code))

    ``scopes`` are what to ask for, None for what only reads; ``client_name`` is what the person is shown. ``ids``
    remembers the client id; without it, every program registers anew, which gives the same id.
    """

    def __init__(
        self,
        server: str,
        *,
        scopes: Iterable[str] | None = None,
        client_name: str = "keystead",
        ids: ClientIds | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> None:
        """Raises UsageError for what is no address, and InsecureAddress for plain HTTP beyond this machine."""
        self._sign_in = _SignIn(server_address(server), client_name, _tuple(scopes), ids, policy)

    @property
    def server(self) -> str:
        """The server's address."""
        return self._sign_in.server

    def start(self) -> DeviceCode:
        """Ask for a code (RFC 8628, section 3.1). Raises NetworkError and ApiError."""
        return _in_thread(self.server, self._sign_in.start())

    def wait(
        self, code: DeviceCode, *, on_waiting: OnWaiting | None = None, cancelled: Event | None = None
    ) -> TokenSet:
        """Wait until the person has decided, and return the tokens (RFC 8628, sections 3.4 and 3.5).

        A network that fails meanwhile ends nothing: the server is asked again until the code expires. With
        ``cancelled``, setting that event from any thread ends the wait at once and closes the connection, and
        ``on_waiting`` is called from another thread. Raises SignInRefused, SignInExpired, SignInCancelled, SignInEnded
        for a code that was used already, and whatever ``on_waiting`` raises.
        """
        conversation = self._sign_in.wait(code, on_waiting)
        if cancelled is None:
            return _in_thread(self.server, conversation)
        return _unless_cancelled(self.server, conversation, cancelled)

    def sign_in(
        self,
        show: Callable[[DeviceCode], None],
        *,
        on_waiting: OnWaiting | None = None,
        cancelled: Event | None = None,
    ) -> TokenSet:
        """Ask for a code, hand it to ``show``, and wait. Raises what ``start`` and ``wait`` raise."""
        code = self.start()
        show(code)
        return self.wait(code, on_waiting=on_waiting, cancelled=cancelled)

    def keep(
        self,
        code: DeviceCode,
        tokens: TokenSet,
        *,
        context: str = "",
        select: bool = True,
        also: Iterable[str] = (),
        require_keyring: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> SignedIn:
        """Store what ``wait`` gave for ``code``, where every program of this person on this machine finds it.

        It is called ``context``, by default ``user@server``, and is what programs use that name none, unless ``select``
        is False. ``also`` names other programs whose files get it too: ``parallel-cli``, ``pw``. A sign-in of the same
        name is replaced, and taken back on the server. Show ``notices`` of what is returned to the person. Raises
        NetworkError, StoreError, and KeyringUnavailable where the keyring is required: then nothing was stored, and the
        tokens are as good as before.
        """
        from keystead.client._keeping import keep

        return keep(
            self.server,
            code,
            tokens,
            context=context,
            select=select,
            also=also,
            require_keyring=require_keyring,
            environ=environ,
        )


class AsyncDeviceLogin:
    """A device sign-in at one server, for tasks of asyncio and trio. Cancel the task to give up waiting.

    The parameters are those of DeviceLogin.
    """

    def __init__(
        self,
        server: str,
        *,
        scopes: Iterable[str] | None = None,
        client_name: str = "keystead",
        ids: ClientIds | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> None:
        """Raises UsageError for what is no address, and InsecureAddress for plain HTTP beyond this machine."""
        self._sign_in = _SignIn(server_address(server), client_name, _tuple(scopes), ids, policy)

    @property
    def server(self) -> str:
        """The server's address."""
        return self._sign_in.server

    async def start(self) -> DeviceCode:
        """Ask for a code (RFC 8628, section 3.1). Raises NetworkError and ApiError."""
        return await _in_task(self.server, self._sign_in.start())

    async def wait(self, code: DeviceCode, *, on_waiting: OnWaiting | None = None) -> TokenSet:
        """Wait until the person has decided, and return the tokens (RFC 8628, sections 3.4 and 3.5).

        A network that fails meanwhile ends nothing: the server is asked again until the code expires. Raises
        SignInRefused, SignInExpired, SignInEnded for a code that was used already, and whatever ``on_waiting`` raises.
        """
        return await _in_task(self.server, self._sign_in.wait(code, on_waiting))

    async def sign_in(self, show: Callable[[DeviceCode], None], *, on_waiting: OnWaiting | None = None) -> TokenSet:
        """Ask for a code, hand it to ``show``, and wait. Raises what ``start`` and ``wait`` raise."""
        code = await self.start()
        show(code)
        return await self.wait(code, on_waiting=on_waiting)

    async def keep(
        self,
        code: DeviceCode,
        tokens: TokenSet,
        *,
        context: str = "",
        select: bool = True,
        also: Iterable[str] = (),
        require_keyring: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> SignedIn:
        """Store what ``wait`` gave for ``code``, as DeviceLogin.keep does."""
        from keystead.client._keeping import keep

        return await in_thread(
            lambda: keep(
                self.server,
                code,
                tokens,
                context=context,
                select=select,
                also=also,
                require_keyring=require_keyring,
                environ=environ,
            )
        )


def _tuple(scopes: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if scopes is None else tuple(scopes)


def _in_thread(server: str, conversation: Conversation[T]) -> T:
    transport = Transport(server)
    try:
        return carry_out(conversation, transport)
    finally:
        transport.close()


async def _in_task(server: str, conversation: Conversation[T]) -> T:
    transport = AsyncTransport(server)
    try:
        return await carry_out_async(conversation, transport)
    finally:
        await transport.aclose()


def _unless_cancelled(server: str, conversation: Conversation[T], cancelled: Event) -> T:
    """Carry a conversation out, unless the event is set.

    A thread cannot be called back from a read, but a task can: its connection is closed, so that the server knows that
    nobody waits any more and gives the tokens to nobody.
    """
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        future = portal.start_task_soon(_in_task, server, conversation)
        while not future.done():
            if cancelled.wait(_LOOK_EVERY):
                future.cancel()
                break
        if future.cancelled():
            raise SignInCancelled("The sign-in was given up before anybody decided.")
        return future.result()
