"""The line that tells of a request: one JSON object, whole, soon, and never the reason for which one fails (W9)."""

import asyncio
import json
import logging
import os
import select
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from keystead.gate.hot import OLDER_SESSION, SESSION, VERIFY
from keystead.gate.operations import PATHS
from keystead.gate.request_log import RequestLog
from tests.gate.endpoints import endpoints
from tests.gate.serving import Furnished, Serving, furnished_server
from tests.support.clock import ManualClock

FIELDS = ["event", "level", "logger", "request_id", "method", "path", "status", "milliseconds", "address", "timestamp"]


@pytest.fixture
def informed() -> Iterator[None]:
    """Let the lines be written, as they are at the usual level."""
    log = logging.getLogger("keystead.requests")
    before = log.level
    log.setLevel(logging.INFO)
    yield
    log.setLevel(before)


def lines_of(file: Path, *asked: tuple[str, str, str]) -> list[str]:
    """Return the lines that tell of requests with these methods, paths and addresses."""
    with file.open("wb") as log:
        requests = RequestLog(ManualClock(), log.fileno())
        for method, path, address in asked:
            requests.tell(b"0" * 16, method=method, path=path, status=200, seconds=0.0123, address=address)
    return file.read_text(encoding="utf-8").splitlines()


@pytest.mark.usefixtures("informed")
def test_a_line_tells_what_happened_in_the_fields_of_every_line(tmp_path: Path) -> None:
    line = lines_of(tmp_path / "log", ("GET", "/sign-in", "192.0.2.1"))[0]
    assert list(json.loads(line)) == FIELDS
    assert json.loads(line) == {
        "event": "request",
        "level": "info",
        "logger": "keystead.requests",
        "request_id": "0" * 16,
        "method": "GET",
        "path": "/sign-in",
        "status": 200,
        "milliseconds": 12.3,
        "address": "192.0.2.1",
        "timestamp": "2025-11-22T08:26:40.000Z",
    }


@pytest.mark.usefixtures("informed")
def test_no_text_breaks_out_of_its_field_or_its_line(tmp_path: Path) -> None:
    hostile = 'a"b\\c\nd\r\u2028e\x00f{"event": 1}'
    lines_of(tmp_path / "log", ("GET", hostile, hostile), (hostile, "/", ""), ("PROPFIND", "/", ""))
    entries = [json.loads(line) for line in (tmp_path / "log").read_bytes().split(b"\n") if line]
    assert [entry["path"] for entry in entries] == [hostile, "/", "/"]
    assert [entry["method"] for entry in entries] == ["GET", "other", "other"]


def test_where_the_level_is_higher_nothing_is_written(tmp_path: Path) -> None:
    logging.getLogger("keystead.requests").setLevel(logging.WARNING)
    try:
        assert lines_of(tmp_path / "log", ("GET", "/", "192.0.2.1")) == []
    finally:
        logging.getLogger("keystead.requests").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("informed")
def test_a_log_that_cannot_be_written_fails_no_request() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    RequestLog(ManualClock(), writing).tell(b"0" * 16, method="GET", path="/", status=200, seconds=0, address="")
    os.close(writing)
    RequestLog(ManualClock(), writing).tell(b"0" * 16, method="GET", path="/", status=200, seconds=0, address="")
    assert logging.getLogger("keystead.requests").isEnabledFor(logging.INFO)


def gathering(file: Path) -> tuple[RequestLog, Callable[[bytes], None]]:
    """Return a log that writes a turn's lines together into a file, and what tells it of a request with this id."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    log = RequestLog(ManualClock(), descriptor)
    log.gather(asyncio.get_running_loop())

    def tell(request_id: bytes) -> None:
        log.tell(request_id, method="POST", path="/", status=200, seconds=0, address="192.0.2.1")

    return log, tell


def ids_in(file: Path) -> list[str]:
    return [json.loads(line)["request_id"] for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("informed")
async def test_the_lines_of_one_turn_are_written_when_it_is_over_before_what_is_read_later_runs(
    tmp_path: Path,
) -> None:
    _, tell = gathering(tmp_path / "log")
    loop, seen = asyncio.get_running_loop(), []

    async def request(request_id: bytes) -> None:
        tell(request_id)
        if request_id == b"1":  # what is scheduled now was read later
            loop.call_soon(lambda: seen.append(ids_in(tmp_path / "log")))
        assert ids_in(tmp_path / "log") == []

    await asyncio.gather(*(request(b"%d" % number) for number in range(3)))
    await asyncio.sleep(0)
    assert seen == [["0", "1", "2"]]


@pytest.mark.usefixtures("informed")
async def test_what_was_gathered_is_written_when_the_server_stops_and_each_line_at_once_from_then_on(
    tmp_path: Path,
) -> None:
    log, tell = gathering(tmp_path / "log")
    tell(b"1")
    log.let_go()
    assert ids_in(tmp_path / "log") == ["1"]
    tell(b"2")
    assert ids_in(tmp_path / "log") == ["1", "2"]


@pytest.mark.usefixtures("informed")
async def test_many_lines_are_written_in_pieces_that_a_pipe_takes_whole_and_that_end_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    real = os.write

    def write(descriptor: int, piece: bytes) -> int:
        pieces.append(piece)
        return real(descriptor, piece)

    monkeypatch.setattr(os, "write", write)
    _, tell = gathering(tmp_path / "log")
    for number in range(100):
        tell(b"%d" % number)
    await asyncio.sleep(0)
    assert ids_in(tmp_path / "log") == [str(number) for number in range(100)]
    assert max(map(len, pieces)) <= select.PIPE_BUF
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) < 20


def test_no_line_is_lost_when_a_busy_server_stops(furnished: Furnished, tmp_path: Path) -> None:
    with furnished_server(furnished, tmp_path, {}) as server:

        def ask(_: int) -> list[str]:
            with httpx.Client(base_url=server.url) as client:
                return [client.post("/getServiceKeys/token").headers["x-request-id"] for _ in range(50)]

        with ThreadPoolExecutor(8) as pool:
            ids = [one for many in pool.map(ask, range(8)) for one in many]
        server.stop()
        told = [json.loads(line) for line in server.log_text().splitlines()]
    assert sorted(entry["request_id"] for entry in told if entry.get("path") == "/getServiceKeys/token") == sorted(ids)


def test_every_address_is_told_by_its_template_and_never_with_what_stands_in_its_place(
    furnished: Furnished, tmp_path: Path
) -> None:
    typed = "kss_typed_into_an_address"
    asked: dict[str, str] = {}
    with furnished_server(furnished, tmp_path, {}) as server:
        for one in endpoints(furnished.data, tmp_path / "endpoints"):
            if one.path not in {SESSION, OLDER_SESSION, VERIFY, *PATHS}:  # which are counted and not told of
                address = server.url + one.at(dict.fromkeys(one.parameters, typed))
                asked[httpx.request(one.method, address).headers["x-request-id"]] = one.path
        server.stop()
        assert typed not in server.log_text()
        entries = [json.loads(line) for line in server.log_text().splitlines()]
    told = {entry["request_id"]: entry["path"] for entry in entries if entry["event"] == "request"}
    assert {path: told.get(request_id) for request_id, path in asked.items()} == {path: path for path in asked.values()}
    assert len(set(asked.values())) > 80


def test_the_setting_log_level_silences_the_lines(furnished: Furnished, tmp_path: Path) -> None:
    with furnished_server(furnished, tmp_path, {"KEYSTEAD_LOG_LEVEL": "WARNING"}) as server:
        assert httpx.get(f"{server.url}/sign-in").status_code == 200
        server.stop()
        assert '"request"' not in server.log_text()


def test_no_line_is_lost_when_the_process_is_killed(furnished: Furnished, tmp_path: Path) -> None:
    with furnished_server(furnished, tmp_path, {}) as server, httpx.Client(base_url=server.url) as client:
        ids = [client.get("/sign-in").headers["x-request-id"] for _ in range(20)]
        client.get("/healthz")  # lines are written before whatever is read later is answered
        server.kill()
        told = [json.loads(line) for line in server.log_text().splitlines()]
    assert [entry["request_id"] for entry in told if entry.get("path") == "/sign-in"] == ids


def test_the_lines_of_two_workers_do_not_mix(furnished: Furnished, tmp_path: Path) -> None:
    with Serving(tmp_path, furnished, "--dev", "--workers", "2", settings={}) as server:

        def ask(_: int) -> str:
            with httpx.Client(base_url=server.address) as client:
                return [client.get("/sign-in").headers["x-request-id"] for _ in range(10)][-1]

        with ThreadPoolExecutor(8) as pool:
            last = set(pool.map(ask, range(16)))
        server.stop()
        entries = [json.loads(line) for line in server.log_text().splitlines()]
    assert len([entry for entry in entries if entry.get("path") == "/sign-in"]) == 160
    assert last <= {entry.get("request_id") for entry in entries}
