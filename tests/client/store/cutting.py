"""A proxy that lets every request reach the server, and cuts the answer off where it is told."""

import http.client
import json
import socketserver
import threading
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

END_OF_HEAD: Final = b"\r\n\r\n"


class CuttingProxy:
    """Passes one request for each connection. ``cut`` is how many bytes of the answer pass, None for all of them.

    ``answers`` are the bodies that the server gave, whether they arrived or not.
    """

    def __init__(self, upstream: str) -> None:
        """Bind a free port. Nothing is served before the context is entered."""
        self.cut: int | None = None
        self.answers: list[dict[str, Any]] = []
        self._upstream = urlsplit(upstream).netloc
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
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

    def _handler(self) -> type[socketserver.StreamRequestHandler]:
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                method, path, _ = self.rfile.readline().decode().split(" ", 2)
                headers = http.client.parse_headers(self.rfile)
                body = self.rfile.read(int(headers.get("content-length") or 0))
                self.wfile.write(proxy._asked(method, path, dict(headers.items()), body)[: proxy.cut])

        return Handler

    def _asked(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._upstream, timeout=20)
        try:
            connection.request(method, path, body, {**headers, "Connection": "close"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        self.answers.append(json.loads(content))
        head = f"HTTP/1.1 {response.status} {response.reason}\r\nContent-Length: {len(content)}\r\nConnection: close"
        return head.encode() + END_OF_HEAD + content
