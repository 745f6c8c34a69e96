"""A small reverse proxy between a client and the server: it records what passes and can change it.

It stands in for the network, never for the server: what a test does not ask to be changed passes as it came.
"""

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

_NOT_FORWARDED: Final = frozenset(
    {"connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding"}
)
TIMEOUT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is to get."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as the client saw it."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    answer: Answer

    def form(self) -> dict[str, str]:
        """Return the request's form fields."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}


Ask = Callable[[], Answer]
"""Sends the request on to the server and returns the server's answer."""

Rule = Callable[[Ask, bytes], Answer]
"""Gets ``Ask`` and the request's body, and returns what the client is to see."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # many processes connect at one moment

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client went away: the test sees that from the client."""


class RecordingProxy:
    """Forwards 127.0.0.1:``port`` to ``upstream``, keeps every exchange, and follows rules."""

    def __init__(self, upstream: str) -> None:
        """Bind a free port. Nothing is served before the context is entered."""
        self.exchanges: list[Exchange] = []
        self.rules: dict[tuple[str, str], Rule] = {}
        self._upstream = urlsplit(upstream)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def on(self, method: str, path: str, rule: Rule) -> None:
        """Let ``rule`` answer requests with this method and path from now on."""
        self.rules[method, path] = rule

    def seen(self, method: str, path: str) -> list[Exchange]:
        """Return the exchanges with this method and path, oldest first."""
        return [exchange for exchange in self.exchanges if (exchange.method, exchange.path) == (method, path)]

    def paths(self) -> list[tuple[str, str, int]]:
        """Return method, path and status of every exchange, oldest first."""
        return [(exchange.method, exchange.path, exchange.answer.status) for exchange in self.exchanges]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def _pass(self) -> None:
                proxy._exchange(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - the names http.server looks for

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet: the exchanges are the record."""

        return Handler

    def _exchange(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = tuple(handler.headers.items())

        def ask() -> Answer:
            return self._ask(handler.command, handler.path, headers, body)

        rule = self.rules.get((handler.command, urlsplit(handler.path).path))
        answer = ask() if rule is None else rule(ask, body)
        self.exchanges.append(Exchange(handler.command, handler.path, headers, body, answer))
        handler.send_response(answer.status)
        for name, value in answer.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _ask(self, method: str, path: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self._upstream.netloc, timeout=TIMEOUT_SECONDS)
        try:
            kept = {name: value for name, value in headers if name.lower() not in _NOT_FORWARDED}
            connection.request(method, path, body=body if body or method != "GET" else None, headers=kept)
            response = connection.getresponse()
            kept_back = tuple(pair for pair in response.getheaders() if pair[0].lower() not in _NOT_FORWARDED)
            return Answer(response.status, kept_back, response.read())
        finally:
            connection.close()
