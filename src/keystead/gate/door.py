"""The door itself: one ASGI application around all others, where every request is judged, answered and counted."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from keystead.gate.authenticator import Authenticator
from keystead.gate.credentials import read_credential
from keystead.gate.entrance import READS, Entrance, check_size, only_read
from keystead.gate.hot import HSTS, NOSNIFF, SESSION, VERIFY, HotAnswers
from keystead.gate.last_use import LastUse
from keystead.gate.measures import Measures
from keystead.gate.operations import PATHS, Operations
from keystead.gate.paths import NO_ROUTE, logged_path
from keystead.gate.request_ids import RequestIds
from keystead.gate.request_log import RequestLog
from keystead.gate.transport import Arrival, Transport
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import (
    BodyTooLarge,
    Internal,
    Problem,
)
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys
from keystead.wire.answers import PageRenderer, answer, surface_of
from keystead.wire.asgi import LARGEST_BODY, App, Message, Receive, Scope, Send, header, send_answer
from keystead.wire.caller import Caller, set_caller
from keystead.wire.json_bodies import without_duplicates
from keystead.wire.limiter import Limiter
from keystead.wire.origin import check_same_site

_OWN: Final = frozenset({SESSION, VERIFY})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHARGED: Final = ("/api/", "/account/")

_log = logging.getLogger("keystead.requests")


class Gate:
    """The outer door. What it needs is handed in by ``app.py``."""

    def __init__(
        self,
        *,
        inner: App,
        direct: Mapping[str, App],
        settings: Settings,
        dev: bool,
        clock: Clock,
        authenticator: Authenticator,
        keys: Keys,
        limiter: Limiter,
        last_use: LastUse,
        operations: Operations,
        measures: Measures,
        page: PageRenderer,
    ) -> None:
        """Pass requests on to ``direct`` by exact path, else to ``inner``. ``dev`` lets loopback use plain HTTP."""
        self._inner = inner
        self._direct = dict(direct)
        self._settings = settings
        self._clock = clock
        self._authenticator = authenticator
        self._limiter = limiter
        self._last_use = last_use
        self._operations = operations
        self._measures = measures
        self._page = page
        self._ids = RequestIds()
        self._request_log = RequestLog(clock)
        self._entrance = Entrance(
            transport=Transport(settings.trusted_proxies), dev=dev, keys=keys, api_key_prefix=settings.api_key_prefix
        )
        hot = HotAnswers(
            clock=clock,
            entrance=self._entrance,
            authenticator=authenticator,
            limiter=limiter,
            last_use=last_use,
            measures=measures,
            ids=self._ids,
            api_key_prefix=settings.api_key_prefix,
        )
        self._hot = {SESSION: hot.session, VERIFY: hot.verify}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Who asks the two hottest questions is answered here when the answer is yes."""
        hot = self._hot.get(scope.get("path", ""))
        if hot is None or scope["type"] != "http":
            await self._answer(scope, receive, send)
            return
        try:
            start, body = await hot(scope)
        except Exception as refusal:
            await self._answer(scope, receive, send, refusal)
            return
        await send(start)
        await send(body)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what a server needs beyond requests, for as long as it runs."""
        # All that was loaded by now stays. The garbage collector need not walk through it again and again.
        gc.freeze()
        self._authenticator.serve(asyncio.get_running_loop())
        settling = asyncio.create_task(self._measures.settle_for_ever())
        try:
            await self._inner(scope, receive, send)
        finally:
            settling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await settling

    async def _answer(self, scope: Scope, receive: Receive, send: Send, refusal: Exception | None = None) -> None:
        """Answer any request; whatever goes wrong, or went wrong, becomes a problem in the dialect of the path."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = time.perf_counter()
        arrival = self._entrance.judge(scope)
        reply = _Reply(send, self._ids.new().decode(), secure=arrival.secure, head=scope["method"] == "HEAD")
        reply.path = scope["path"] if self._knows(scope["path"]) else NO_ROUTE
        try:
            if refusal is not None:
                raise refusal
            await self._pass(scope, receive, reply, arrival)
        except Problem as problem:
            await self._refuse(scope, reply, problem)
        except Exception:
            _log.exception("incident", extra={"request_id": reply.request_id, "path": reply.path})
            await self._refuse(
                scope, reply, Internal(f"Something went wrong on our side. Incident {reply.request_id}.")
            )
        finally:
            self._record(scope, reply, arrival, time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, reply: "_Reply", arrival: Arrival) -> None:
        path, headers = scope["path"], scope["headers"]
        check_size(headers)
        if path in PATHS:
            if scope["method"] not in READS:
                raise only_read()
            await send_answer(reply.send, await self._operations.answer(scope, arrival))
            return
        await self._entrance.check(scope, arrival)
        if _declared_length(scope) > LARGEST_BODY:
            raise BodyTooLarge()
        direct = self._direct.get(path)
        if direct is not None:
            set_caller(scope, Caller(reply.request_id, arrival.address, None, None))
            await direct(scope, receive, reply.send)
            return
        set_caller(scope, await self._caller(scope, reply, arrival))
        # HEAD is GET without the body (RFC 9110, section 9.3.2), so no route has to say so itself.
        inside = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._inner(inside, _limited(await without_duplicates(scope, receive)), reply.send)
        finally:
            reply.path = logged_path(inside)

    def _knows(self, path: str) -> bool:
        """Tell whether a path is one of the gate's own, every character of it."""
        return path in self._direct or path in _OWN or path in PATHS

    # Everything else is answered further inside

    async def _caller(self, scope: Scope, reply: "_Reply", arrival: Arrival) -> Caller:
        """Return who is calling. A credential that gives no principal matters only where one is needed."""
        principal: Principal | None = None
        refusal: Problem | None = None
        try:
            presented = read_credential(scope["headers"], self._settings.api_key_prefix)
            if presented is not None:
                principal = (await self._authenticator.entry(presented)).principal
        except Problem as problem:
            refusal = problem
        if principal is not None:
            self._last_use.note(principal, self._clock.now(), arrival.address)
            if principal.method is Method.SESSION and scope["method"] not in _SAFE:
                check_same_site(Headers(scope=scope), self._settings.public_url)
            if scope["path"].startswith(_CHARGED):
                await self._charge(principal, reply)
        return Caller(reply.request_id, arrival.address, principal, refusal)

    async def _charge(self, principal: Principal, reply: "_Reply") -> None:
        reply.add((await self._limiter.charge("api", principal.credential_id)).fields())

    async def _refuse(self, scope: Scope, reply: "_Reply", problem: Problem) -> None:
        if reply.status:
            return  # the answer is under way; nothing more can be said
        surface = surface_of(scope["path"], header(scope, b"accept"))
        found = answer(problem, surface, reply.request_id, self._page)
        await send_answer(reply.send, found)

    def _record(self, scope: Scope, reply: "_Reply", arrival: Arrival, seconds: float) -> None:
        path = scope["path"]
        if path in _OWN:
            self._measures.count(path, scope["method"], reply.status)
            return
        surface = surface_of(path, header(scope, b"accept")).value if path not in PATHS else "operations"
        self._measures.count(surface, scope["method"], reply.status)
        self._measures.observe(surface, seconds)
        if path not in PATHS:
            self._request_log.tell(
                reply.request_id,
                method=scope["method"],
                path=reply.path,
                status=reply.status,
                seconds=seconds,
                address=arrival.address,
            )


class _Reply:
    """The way back to the client: adds the headers that every answer carries, and remembers the status."""

    def __init__(self, send: Send, request_id: str, *, secure: bool, head: bool) -> None:
        self._send = send
        self._head = head
        self.request_id = request_id
        self.status = 0
        self.path = NO_ROUTE
        self._headers = [(b"x-request-id", request_id.encode())]
        if secure:
            self._headers.append(HSTS)

    def add(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Put these headers on the answer, whatever it turns out to be."""
        self._headers += headers

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers, NOSNIFF]
        elif self._head:
            message["body"] = b""
        await self._send(message)


def _declared_length(scope: Scope) -> int:
    text = header(scope, b"content-length")
    return int(text) if text.isascii() and text.isdigit() else 0


def _limited(receive: Receive) -> Receive:
    """Count what comes in, so that a body without a declared length is bounded as well.

    FastAPI turns whatever happens while it reads a body into a 400, except its own kind of exception.
    """
    size = 0

    async def limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            raise HTTPException(BodyTooLarge.status)
        return message

    return limited
