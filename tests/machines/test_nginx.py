"""nginx does what tests of ours stand on: it spreads requests, says whence they came, and takes a new list quietly."""

import http.client
import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support.nginx import NginxProxy
from tests.support.processes import alive

NewNginx = Callable[..., NginxProxy]
NewNode = Callable[[str], "Node"]


class Node:
    """A small server behind the proxy, which tells its name and what it was asked. ``/held`` waits for ``release``."""

    def __init__(self, name: str) -> None:
        self.arrived = threading.Event()
        self.release = threading.Event()
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/held":
                    node.arrived.set()
                    node.release.wait(20)
                body = json.dumps({"node": name, "headers": dict(self.headers)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet."""

            def setup(self) -> None:
                super().setup()
                node._connections.append(self.connection)

        self._connections: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in self._connections:
            with suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def new_node() -> Iterator[NewNode]:
    """Give a function that starts a server to stand behind the proxy."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Node(name))


def ask(proxy: NginxProxy, path: str = "/", *, tls: bool = False) -> dict[str, Any]:
    """Return what the node that was asked has told."""
    if tls:
        trusted = ssl.create_default_context(cafile=str(proxy.certificate))
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", proxy.tls_port, timeout=20, context=trusted
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        told: dict[str, Any] = json.loads(body)
        return told


def test_requests_are_spread_evenly(new_nginx: NewNginx, new_node: NewNode) -> None:
    proxy = new_nginx([new_node("one").url, new_node("two").url])
    assert Counter(ask(proxy)["node"] for _ in range(20)) == {"one": 10, "two": 10}


def test_the_server_hears_whence_a_request_came_and_how(new_nginx: NewNginx, new_node: NewNode) -> None:
    proxy = new_nginx([new_node("one").url])
    plain, secure = ask(proxy)["headers"], ask(proxy, tls=True)["headers"]
    assert plain["X-Forwarded-For"] == secure["X-Forwarded-For"] == "127.0.0.1"
    assert (plain["X-Forwarded-Proto"], secure["X-Forwarded-Proto"]) == ("http", "https")
    assert plain["Host"] == f"127.0.0.1:{proxy.port}"
    assert secure["Host"] == f"127.0.0.1:{proxy.tls_port}"
    assert proxy.tls_url == f"https://{secure['Host']}"


def test_a_server_that_is_away_is_passed_over_until_it_is_back(new_nginx: NewNginx, new_node: NewNode) -> None:
    one = new_node("one")
    with Node("two") as two:
        proxy = new_nginx([one.url, two.url])
        assert {ask(proxy)["node"] for _ in range(4)} == {"one", "two"}
    assert {ask(proxy)["node"] for _ in range(6)} == {"one"}


def test_a_new_list_loses_no_request_in_flight(new_nginx: NewNginx, new_node: NewNode) -> None:
    one, two = new_node("one"), new_node("two")
    proxy = new_nginx([one.url])
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, proxy, "/held")
        assert one.arrived.wait(20)
        proxy.reload([two.url])
        assert {ask(proxy)["node"] for _ in range(10)} == {"two"}
        assert not held.done()

        one.release.set()
        assert held.result(20)["node"] == "one"


def test_no_request_fails_while_the_list_changes_again_and_again(new_nginx: NewNginx, new_node: NewNode) -> None:
    one, two = new_node("one"), new_node("two")
    proxy = new_nginx([one.url, two.url])
    enough = threading.Event()

    def keep_asking() -> Counter[str]:
        answered: Counter[str] = Counter()
        while not enough.is_set():
            answered[ask(proxy)["node"]] += 1
        return answered

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(keep_asking) for _ in range(2)]
        try:
            for _ in range(3):
                proxy.reload([one.url])
                proxy.reload([two.url])
        finally:
            enough.set()
        answered = sum((each.result(20) for each in asking), Counter[str]())
    assert set(answered) == {"one", "two"}


def test_nothing_is_left_of_it_however_it_ends(new_nginx: NewNginx, new_node: NewNode) -> None:
    proxy = new_nginx([new_node("one").url])
    for end in (proxy.stop, proxy.kill, proxy.close):
        pids = proxy.processes()
        assert len(pids) > 1
        end()
        assert alive(pids) == []
        proxy.start()
        assert ask(proxy)["node"] == "one"
