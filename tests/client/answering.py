"""A server that answers as a test tells it to, over real connections, and remembers what it was asked."""

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs

SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that arrived. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer. ``body`` that is not bytes is sent as JSON."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: the connection is closed after the request, or after the first ``sent`` bytes of an answer."""

    sent: bytes = b""


Reaction = Told | Lost | Callable[[Asked], "Told | Lost"]


class Answering:
    """Answers one request after the other with ``reactions``; the last one answers all that follow."""

    def __init__(self, *reactions: Reaction, tls: ssl.SSLContext | None = None) -> None:
        """Take a free port of 127.0.0.1. Nothing answers before the context is entered."""
        self.asked: list[Asked] = []
        self.reactions = list(reactions)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # so that closing waits for them
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="answering")
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(SECONDS)
        self._server.server_close()

    def close(self) -> None:
        """Accept no connection any more."""
        self._server.socket.close()

    def _react(self, asked: Asked) -> Told | Lost:
        with self._lock:
            self.asked.append(asked)
            reaction = self.reactions.pop(0) if len(self.reactions) > 1 else self.reactions[0]
        return reaction(asked) if callable(reaction) else reaction

    def _handler(outer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler's inside
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = SECONDS

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, ssl.SSLError):
                    self.close_connection = True

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reaction = outer._react(Asked(self.command, self.path, headers, body))
                if isinstance(reaction, Lost):
                    self.close_connection = True
                    self.wfile.write(reaction.sent)
                    return
                content = reaction.body if isinstance(reaction.body, bytes) else json.dumps(reaction.body).encode()
                self.send_response(reaction.status)
                for name, value in reaction.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_CONNECT = do_DELETE = do_PATCH = do_PUT = do_HEAD = _answer  # noqa: N815 - as the library names them

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        return Handler
