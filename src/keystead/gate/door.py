"""The door itself: one ASGI application around all others, where every request is judged, answered and counted."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from keystead.gate.acting import check_acting
from keystead.gate.authenticator import Authenticator
from keystead.gate.credentials import read_credential
from keystead.gate.entrance import READS, Entrance, check_head, only_read
from keystead.gate.hot import HSTS, NOSNIFF, OLDER_SESSION, SESSION, VERIFY, Finished, HotAnswers
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
from keystead.wire.asgi import (
    LARGEST_BODY,
    App,
    Endpoint,
    Message,
    Ready,
    Receive,
    Scope,
    Send,
    header,
    ready,
    send_answer,
)
from keystead.wire.caller import Caller, set_caller
from keystead.wire.json_bodies import without_duplicates
from keystead.wire.limiter import Limiter
from keystead.wire.origin import check_same_site

_OWN: Final = {SESSION: SESSION, OLDER_SESSION: SESSION, VERIFY: VERIFY}
"""The paths of the two hottest questions, and under which of them each is counted."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHARGED: Final = ("/api/", "/account/")
COLLECT_AFTER: Final = (10_000, 10, 10)
"""New objects after which the youngest are collected, and how often that is done before older ones are too."""

Hot = Callable[[Scope], Coroutine[Any, Any, Finished]]

_log = logging.getLogger("keystead.requests")


class Gate:
    """The outer door. What it needs is handed in by ``app.py``."""

    def __init__(
        self,
        *,
        inner: App,
        direct: Mapping[str, Endpoint],
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
        """Ask ``direct`` by exact path, else pass on to ``inner``. ``dev`` lets loopback use plain HTTP."""
        self._inner = inner
        self._direct = dict(direct)
        # What these speak goes by their path alone: none of them is a page.
        self._surfaces = {path: surface_of(path, "").value for path in direct}
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
        self._hot = {SESSION: hot.session, OLDER_SESSION: hot.session, VERIFY: hot.verify}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Answer one request, when awaited. It is no coroutine itself, because thousands of requests may be held."""
        if scope["type"] == "http":
            path = scope["path"]
            hot = self._hot.get(path)
            if hot is not None:
                return self._answer_hot(hot, scope, receive, send)
            endpoint = self._direct.get(path)
            if endpoint is not None:
                return self._answer_direct(endpoint, scope, receive, send)
        return self._answer(scope, receive, send)

    async def _answer_hot(self, hot: Hot, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one of the two hottest questions here when the answer is yes."""
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
        # What is remembered of credentials holds no cycles, so it finds nothing there, however often it looks.
        gc.set_threshold(*COLLECT_AFTER)
        loop = asyncio.get_running_loop()
        self._authenticator.serve(loop)
        self._request_log.gather(loop)
        settling = asyncio.create_task(self._measures.settle_for_ever())
        try:
            await self._inner(scope, receive, send)
        finally:
            self._request_log.let_go()
            settling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await settling

    async def _answer_direct(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by its endpoint, which gives a finished answer and needs no principal.

        The same steps as for any other request, in one coroutine and without what these endpoints do not need.
        """
        started = time.perf_counter()
        arrival, request_id, found = self._entrance.judge(scope), self._ids.new(), None
        try:
            try:
                declared = check_head(scope["headers"])
                if not (arrival.secure or self._entrance.may_pass(arrival)):
                    await self._entrance.refuse(scope, arrival)
                if declared > LARGEST_BODY:
                    raise BodyTooLarge()
                found = await endpoint(scope, receive, arrival.address)
            except Problem as problem:
                found = self._told(scope, problem, request_id.decode())
            except Exception:
                found = self._incident(scope, request_id.decode(), scope["path"])
            headers = [*found.fields, (b"x-request-id", request_id)]
            if arrival.secure:
                headers.append(HSTS)
            headers.append(NOSNIFF)
            await send({"type": "http.response.start", "status": found.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.body})
        except Exception:
            self._incident(
                scope, request_id.decode(), scope["path"]
            )  # the answer is under way, nothing more can be said
        finally:
            seconds = time.perf_counter() - started
            status = 0 if found is None else found.status
            self._record(scope, (request_id, scope["path"], status), arrival.address, seconds)

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
            await reply.finish(self._told(scope, problem, reply.request_id))
        except Exception:
            await reply.finish(self._incident(scope, reply.request_id, reply.path))
        finally:
            seconds = time.perf_counter() - started
            self._record(scope, (reply.request_id.encode(), reply.path, reply.status), arrival.address, seconds)

    async def _pass(self, scope: Scope, receive: Receive, reply: "_Reply", arrival: Arrival) -> None:
        path = scope["path"]
        declared = check_head(scope["headers"])
        if path in PATHS:
            if scope["method"] not in READS:
                raise only_read()
            await send_answer(reply.send, await self._operations.answer(scope, arrival))
            return
        await self._entrance.check(scope, arrival)
        if declared > LARGEST_BODY:
            raise BodyTooLarge()
        set_caller(scope, await self._caller(scope, reply, arrival))
        # HEAD is GET without the body (RFC 9110, section 9.3.2), so no route has to say so itself.
        inside = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._inner(inside, _limited(await without_duplicates(scope, receive)), reply.send)
        finally:
            reply.path = logged_path(inside)

    def _knows(self, path: str) -> bool:
        """Tell whether a path is one of the gate's own, every character of it."""
        return path in _OWN or path in PATHS

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
            check_acting(principal, scope["method"], scope["path"])
            if scope["path"].startswith(_CHARGED):
                await self._charge(principal, reply)
        return Caller(reply.request_id, arrival.address, principal, refusal)

    async def _charge(self, principal: Principal, reply: "_Reply") -> None:
        reply.add((await self._limiter.charge("api", principal.credential_id)).fields())

    def _told(self, scope: Scope, problem: Problem, request_id: str) -> Ready:
        """Return the answer that tells of a problem in the dialect of the path."""
        surface = surface_of(scope["path"], header(scope, b"accept"))
        return ready(answer(problem, surface, request_id, self._page))

    def _incident(self, scope: Scope, request_id: str, path: str) -> Ready:
        """Log the exception that is being handled, and return the answer that tells of it without its details."""
        _log.exception("incident", extra={"request_id": request_id, "path": path})
        return self._told(scope, Internal(f"Something went wrong on our side. Incident {request_id}."), request_id)

    def _record(self, scope: Scope, told: tuple[bytes, str, int], address: str, seconds: float) -> None:
        """Count an answer and log it: its request's id, its path in the words of its route, and its status."""
        request_id, shown, status = told
        path, method = scope["path"], scope["method"]
        if path in _OWN:
            self._measures.count(_OWN[path], method, status)
            return
        surface = self._surfaces.get(path)
        if surface is None:
            surface = surface_of(path, header(scope, b"accept")).value if path not in PATHS else "operations"
        self._measures.count(surface, method, status)
        self._measures.observe(surface, seconds)
        if path not in PATHS:
            self._request_log.tell(
                request_id, method=method, path=shown, status=status, seconds=seconds, address=address
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

    async def finish(self, found: Ready) -> None:
        """Send a refusal, unless the answer is under way: then nothing more can be said."""
        if not self.status:
            await self.send({"type": "http.response.start", "status": found.status, "headers": [*found.fields]})
            await self.send({"type": "http.response.body", "body": found.body})


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
