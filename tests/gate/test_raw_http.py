"""Requests that no HTTP library would send: each is refused or understood in one way only, and the server lives on."""

import re
import socket
import time

import httpx
import pytest

from tests.gate.conftest import Ring
from tests.gate.serving import dump, raw, status_of
from tests.support.server import KeysteadServer

CLOSE = b"Host: x\r\nConnection: close\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def token(*lines: bytes, body: bytes = b"") -> bytes:
    """Return a request to the token endpoint with these header lines."""
    head = b"".join(line + b"\r\n" for line in lines)
    return b"POST /getServiceKeys/token HTTP/1.1\r\n" + CLOSE + FORM + head + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
AMBIGUOUS: dict[str, bytes] = {
    "length and chunks": token(CHUNKED, b"Content-Length: 3", body=b"0\r\n\r\n"),
    "chunked twice": token(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunked in two headers": token(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked and something": token(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "an unknown coding": token(b"Transfer-Encoding: gzip", body=b"abc"),
    "identity": token(b"Transfer-Encoding: identity", body=b"abc"),
    "nearly chunked": token(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "quoted chunked": token(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "a space before the colon": token(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "a tab before the colon": token(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"),
    "two lengths": token(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
    "a list of lengths": token(b"Content-Length: 3, 4", body=b"abcd"),
    "a negative length": token(b"Content-Length: -3", body=b"abc"),
    "a signed length": token(b"Content-Length: +3", body=b"abc"),
    "a hexadecimal length": token(b"Content-Length: 0x3", body=b"abc"),
    "a length beyond 64 bits": token(b"Content-Length: 99999999999999999999999", body=b"abc"),
    "a length in other digits": token("Content-Length: ٣".encode(), body=b"abc"),
    "a chunk beyond 64 bits": token(CHUNKED, body=b"ffffffffffffffffffff\r\nabc"),
    "a chunk of no length": token(CHUNKED, body=b"xyz\r\nabc"),
    "a folded header": token(b"X: a\r\n b"),
    "a NUL in a header": token(b"X: a\x00b"),
    "bare line feeds": b"POST /getServiceKeys/token HTTP/1.1\nHost: x\nConnection: close\n\n",
    "a header without a name": token(b": x"),
    "a header without a colon": token(b"nonsense"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "letters beyond ASCII in the address": b"GET /\xff\xfe HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "a space in the address": b"GET /a b HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_400_and_the_connection_ends(
    gate: KeysteadServer, ring: Ring, request_bytes: bytes
) -> None:
    before = dump(gate.data)
    answer = raw(gate.url, request_bytes)
    assert status_of(answer) == 400
    assert b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert dump(gate.data) == before


def test_nothing_behind_a_refused_request_is_taken_for_a_second_one(gate: KeysteadServer, ring: Ring) -> None:
    smuggled = (
        b"GET /api/auth/session HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + ring.api_key.encode() + b"\r\n\r\n"
    )
    for request in AMBIGUOUS.values():
        answer = raw(gate.url, request.replace(b"Connection: close\r\n", b"") + smuggled)
        assert b"ada@example.com" not in answer


def test_the_length_of_a_body_that_never_comes_is_judged_before_it_is_awaited(gate: KeysteadServer) -> None:
    answer = raw(gate.url, token(b"Content-Length: 999999999999"))
    assert status_of(answer) == 413
    assert b'"error":"invalid_request"' in answer


@pytest.mark.parametrize(
    "size",
    [b"Content-Length: 20000000", CHUNKED],
    ids=["declared", "chunked"],
)
def test_a_body_without_end_is_cut_off(gate: KeysteadServer, size: bytes) -> None:
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n" if size == CHUNKED else b"a" * 65_536
    answer = raw(gate.url, [token(size), *[chunk] * 400])
    assert status_of(answer) in {0, 413}  # 0 when the end of the connection overtakes the answer


ENDLESS: dict[str, bytes] = {
    "header": b"GET /account/x HTTP/1.1\r\n" + CLOSE + b"X: ",
    "address": b"GET /",
    "trailer": b"POST /account/x HTTP/1.1\r\n" + CLOSE + CHUNKED + b"\r\n\r\n0\r\nX: ",
    "chunk extension": b"POST /account/x HTTP/1.1\r\n" + CLOSE + CHUNKED + b"\r\n\r\n1;x=",
    "method": b"",
}


@pytest.mark.parametrize("head", ENDLESS.values(), ids=ENDLESS)
def test_a_head_without_end_is_cut_off_before_it_fills_the_memory(gate: KeysteadServer, head: bytes) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(head)
        try:
            for _ in range(400):
                sent += connection.send(b"a" * 65_536)
        except ConnectionError:
            pass
        assert sent < 400 * 65_536


def test_a_head_that_is_only_too_long_is_told_so(gate: KeysteadServer) -> None:
    answer = raw(gate.url, b"GET /account/x HTTP/1.1\r\n" + CLOSE + b"X: " + b"a" * 40_000 + b"\r\n\r\n")
    assert status_of(answer) == 431
    assert b'{"detail":' in answer


def test_many_small_headers_are_too_long_together(gate: KeysteadServer) -> None:
    lines = b"".join(b"X-%d: a\r\n" % number for number in range(9_000))
    assert status_of(raw(gate.url, b"GET /verify HTTP/1.1\r\n" + CLOSE + lines + b"\r\n")) == 431


def test_an_old_client_without_a_host_is_answered_and_the_connection_closed(gate: KeysteadServer) -> None:
    answer = raw(gate.url, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert status_of(answer) == 200
    assert answer.endswith(b'{"status":"ok"}')


def test_an_absolute_address_names_only_its_path_here(gate: KeysteadServer) -> None:
    answer = raw(gate.url, b"GET http://evil.example/getServiceKeys/device HTTP/1.1\r\n" + CLOSE + b"\r\n")
    location = re.search(rb"\r\nlocation: ([^\r]*)", answer)
    assert location is not None
    assert location[1].startswith(b"/sign-in?")


@pytest.mark.parametrize("claim", [b"Host: ", b"Host: x\r\nX-Forwarded-Host: ", b"Host: x\r\nForwarded: host="])
def test_a_strange_host_appears_nowhere(gate: KeysteadServer, claim: bytes) -> None:
    for path in (b"/", b"/sign-in", b"/nothing", b"/openapi.json", b"/getServiceKeys/device", b"/problems"):
        request = b"GET " + path + b" HTTP/1.1\r\n" + claim + b"evil.example\r\nConnection: close\r\n\r\n"
        assert b"evil.example" not in raw(gate.url, request), path


def test_a_device_code_names_the_configured_address_and_not_the_host(gate: KeysteadServer) -> None:
    body = b"client_id=parallel-cli"
    request = token(b"Content-Length: %d" % len(body), b"X-Forwarded-Host: evil.example", body=body)
    answer = raw(gate.url, request.replace(b"/token", b"/device/code").replace(b"Host: x", b"Host: evil.example"))
    assert status_of(answer) == 200
    assert b"evil.example" not in answer
    assert gate.url.encode() in answer


def test_an_upgrade_is_not_taken(gate: KeysteadServer) -> None:
    for protocol in (b"websocket", b"h2c"):
        lines = b"Host: x\r\nConnection: upgrade, close\r\nUpgrade: " + protocol + b"\r\nSec-WebSocket-Key: a\r\n"
        assert status_of(raw(gate.url, b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n")) == 200


def test_requests_sent_together_are_answered_in_their_order_each_as_who_it_is(gate: KeysteadServer, ring: Ring) -> None:
    one = b"GET /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + ring.api_key.encode() + b"\r\n\r\n"
    nobody = b"GET /verify HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /verify HTTP/1.1\r\n" + CLOSE + b"\r\n"
    answer = raw(gate.url, (one + nobody) * 20 + last)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"401"] * 20 + [b"401"]


def test_a_client_that_leaves_in_the_middle_of_its_body_changes_nothing(gate: KeysteadServer, ring: Ring) -> None:
    before = dump(gate.data)
    for path in (b"/getServiceKeys/device/code", b"/sign-in", b"/account/service/v1/apps"):
        head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n" + FORM
        credential = b"Authorization: Bearer " + ring.short_term_token.encode() + b"\r\n\r\n"
        with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2]))) as connection:
            connection.sendall(head + credential + b"client_id=parallel-cli")
    assert httpx.get(f"{gate.url}/healthz").status_code == 200
    assert dump(gate.data) == before


def test_slow_and_silent_clients_do_not_keep_others_waiting(gate: KeysteadServer) -> None:
    address = ("127.0.0.1", int(gate.url.rpartition(":")[2]))
    silent = [socket.create_connection(address) for _ in range(200)]
    try:
        for connection in silent:
            connection.sendall(b"GET /verify HTTP/1.1\r\nX: ")
        began = time.monotonic()
        assert httpx.get(f"{gate.url}/healthz").status_code == 200
        assert time.monotonic() - began < 2
    finally:
        for connection in silent:
            connection.close()
