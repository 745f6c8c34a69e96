"""The client: one credential, the server that it belongs to, and all that can be done there."""

import json as json_format
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from keystead.client import _requests as wire
from keystead.client._account import AccountApi, AsyncAccountApi
from keystead.client._address import check_own, server_address
from keystead.client._answers import Foreign, foreign, json_of, refusal
from keystead.client._auth import httpx_auth, requests_auth
from keystead.client._calls import DEFAULT_POLICY, Manner, Presenting, exchange, follow
from keystead.client._errors import UsageError
from keystead.client._http import TIMEOUT, Answer, AsyncTransport, Request, Transport
from keystead.client._models import SignedOut, TokenSet, Whoami
from keystead.client._retry import RetryPolicy
from keystead.client._steps import Conversation, carry_out, carry_out_async, in_thread
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    from requests.auth import AuthBase

    from keystead.client._renewing import OnRenewed
    from keystead.client._store.store import Store

T = TypeVar("T")

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class Response:
    """What ``request`` answers. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    _request: Request = field(repr=False)
    _server: str = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return what the body says. Raises ServerUnavailable when it is not JSON."""
        answer = Answer(self.status, self.headers, self.content)
        try:
            return json_of(answer)
        except Foreign:
            raise foreign(answer, self._server) from None

    def raise_for_status(self) -> Self:
        """Return the response, or raise the error that it stands for: ApiError, SignInRequired, ServerUnavailable."""
        if self.is_success:
            return self
        raise refusal(Answer(self.status, self.headers, self.content), self._request, self._server, time.time())


def _request(
    manner: Manner,
    method: str,
    path: str,
    *,
    json: object,
    content: bytes | None,
    params: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
) -> Conversation[Response]:
    """Send any request, signed in. What may be done twice is repeated as the methods' definitions allow."""
    method = method.upper()
    if not method.isascii() or not method.isalpha():
        raise UsageError("A method is a word, such as GET.")
    sent = {name.lower(): value for name, value in (headers or {}).items() if name.lower() != "authorization"}
    if json is not None:
        if content is not None:
            raise UsageError("Give the body as json or as content, not both.")
        content = json_format.dumps(json).encode()
        sent = {"content-type": "application/json", **sent}
    request = Request(method, _path(path, manner.server, params), sent, content)
    answer = yield from exchange(request, manner, repeatable=method in _IDEMPOTENT)
    return Response(answer.status, answer.headers, answer.body, request, manner.server)


def _path(path: str, server: str, params: Mapping[str, str] | None) -> str:
    """Return the path and query of an address at this server. Raises InsecureAddress for another server's."""
    if not path.startswith("/"):
        check_own(path, server)
        parts = urlsplit(path)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path = path.partition("#")[0]
    return f"{path}{'&' if '?' in path else '?'}{urlencode(params)}" if params else path


class _Client:
    """What both clients share: a credential, its server, and authentication for other people's clients."""

    def __init__(
        self,
        credential: Presenting,
        *,
        apis: Iterable[str] = (),
        timeout: float = TIMEOUT,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> None:
        """Act with a credential at its own server; ``timeout`` is in seconds.

        ``apis`` are addresses of other servers that take the credential: ``httpx_auth`` and ``requests_auth`` send it
        there too. Raises InsecureAddress for a server that is reached over plain HTTP beyond this machine.
        """
        self._credential = credential
        self._apis = tuple(server_address(api) for api in apis)
        self._timeout = timeout
        self._manner = Manner(server_address(credential.server), credential, policy)

    @classmethod
    def from_env_or_store(
        cls,
        *,
        server: str | None = None,
        context: str | None = None,
        token: str | Secret | None = None,
        api_key: str | Secret | None = None,
        environ: Mapping[str, str] | None = None,
        store: "Store | None" = None,
        apis: Iterable[str] = (),
        timeout: float = TIMEOUT,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> Self:
        """Find a credential and act with it.

        The order is: an argument, a ``context`` that is named among them; ``KEYSTEAD_TOKEN``; ``KEYSTEAD_API_KEY``;
        ``PW_API_KEY``; the stored sign-in that ``KEYSTEAD_CONTEXT`` or ``keystead login`` chose. ``server`` is needed
        only where the credential does not name it. ``apis`` are other servers that take the credential. Raises
        SignInRequired when there is none, StoreError, and UsageError.
        """
        from keystead.client._environment import find_credential

        found = find_credential(
            server=server, context=context, token=token, api_key=api_key, environ=environ, store=store
        )
        return cls(found, apis=apis, timeout=timeout, policy=policy)

    @classmethod
    def from_tokens(
        cls,
        server: str,
        tokens: TokenSet,
        *,
        client_id: str,
        on_renewed: "OnRenewed | None" = None,
        apis: Iterable[str] = (),
        timeout: float = TIMEOUT,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> Self:
        """Act with the tokens that a DeviceLogin gave, without storing them; they are renewed in memory.

        ``client_id`` is the one of the DeviceCode. ``on_renewed`` is told of the next tokens, for a program that keeps
        them in a place of its own. Raises UsageError.
        """
        from keystead.client._renewing import TokenCredential

        found = TokenCredential(server, tokens, client_id, on_renewed=on_renewed, policy=policy)
        return cls(found, apis=apis, timeout=timeout, policy=policy)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.server}>"

    @property
    def server(self) -> str:
        """The server's address, without a slash at the end."""
        return self._manner.server

    @property
    def manner(self) -> Manner:
        """How calls are made."""
        return self._manner

    @property
    def httpx_auth(self) -> Any:
        """Authentication for clients of httpx2, and of httpx where that is installed, sync and async.

        It renews tokens by itself. A request to a server that is neither this one nor one of ``apis`` raises
        InsecureAddress.
        """
        return httpx_auth(self._credential, self._apis)

    @property
    def requests_auth(self) -> "AuthBase":
        """Authentication for requests; it renews tokens by itself.

        A request to a server that is neither this one nor one of ``apis`` raises InsecureAddress. Raises UsageError
        when requests is not installed.
        """
        return requests_auth(self._credential, self._apis)


class Keystead(_Client):
    """A client for threads. It may be used from several at once.

    ::

        with Keystead.from_env_or_store() as client:
            made = client.account.keys.create(app="ci", title="deploy", expires_in=timedelta(days=30))

    ``account`` is the Account API. Connections are kept open until ``close``.
    """

    def __init__(
        self,
        credential: Presenting,
        *,
        apis: Iterable[str] = (),
        timeout: float = TIMEOUT,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> None:
        """Act with a credential at its own server; ``timeout`` is in seconds. Raises InsecureAddress."""
        super().__init__(credential, apis=apis, timeout=timeout, policy=policy)
        self._transport = Transport(self.server, timeout=timeout)
        self.account = AccountApi(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def whoami(self) -> Whoami:
        """Return who the credential is. Raises SignInRequired when it is not valid any more, and NetworkError."""
        return self.run(follow(wire.get(wire.WHOAMI, wire.whoami_of), self._manner))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send any request, signed in, and return its response, whatever its status.

        ``path`` begins with a slash, or is a whole address at this server. GET, PUT and DELETE are repeated where that
        is of use, POST and PATCH are not (RFC 9110, section 9.2.2). Raises NetworkError, InsecureAddress, and
        SignInRequired when there is no token left to renew.
        """
        return self.run(
            _request(self._manner, method, path, json=json, content=content, params=params, headers=headers)
        )

    def sign_out(self, *, force: bool = False) -> SignedOut:
        """End the sign-in on the server, then delete it from the store (promise V6), and say what stays valid.

        When the server cannot be asked nothing is deleted, and the error says what stays valid until when; with
        ``force`` it is deleted here all the same. Raises NetworkError, ApiError, StoreError, and UsageError when the
        client acts with a key or a token that no sign-in gave.
        """
        from keystead.client._sign_out import end

        return end(self._credential, force=force)

    def run(self, conversation: Conversation[T]) -> T:
        """Carry a conversation out; the calls of ``account`` are made of them."""
        return carry_out(conversation, self._transport)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class AsyncKeystead(_Client):
    """A client for tasks of asyncio and trio, of one event loop. The calls are those of Keystead, awaited.

    ::

        async with AsyncKeystead.from_env_or_store() as client:
            apps = await client.account.apps.list()
    """

    def __init__(
        self,
        credential: Presenting,
        *,
        apis: Iterable[str] = (),
        timeout: float = TIMEOUT,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> None:
        """Act with a credential at its own server; ``timeout`` is in seconds. Raises InsecureAddress."""
        super().__init__(credential, apis=apis, timeout=timeout, policy=policy)
        self._transport = AsyncTransport(self.server, timeout=timeout)
        self.account = AsyncAccountApi(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def whoami(self) -> Whoami:
        """Return who the credential is. Raises SignInRequired when it is not valid any more, and NetworkError."""
        return await self.run(follow(wire.get(wire.WHOAMI, wire.whoami_of), self._manner))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send any request, signed in, and return its response, whatever its status, as Keystead.request does."""
        return await self.run(
            _request(self._manner, method, path, json=json, content=content, params=params, headers=headers)
        )

    async def sign_out(self, *, force: bool = False) -> SignedOut:
        """End the sign-in on the server, then delete it from the store, as Keystead.sign_out does."""
        from keystead.client._sign_out import end

        return await in_thread(lambda: end(self._credential, force=force))

    async def run(self, conversation: Conversation[T]) -> T:
        """Carry a conversation out; the calls of ``account`` are made of them."""
        return await carry_out_async(conversation, self._transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
