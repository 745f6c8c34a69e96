"""Many processes on one store: one refresh for each expiry, and nobody is signed out (promises R1, R2, R9)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.store.conftest import Desk

ROOT = Path(__file__).parents[3]
SECONDS = 110


def together(way: str, desk: Desk, processes: int, expiries: int) -> dict[str, Any]:
    """Let processes ask after each of so many expiries, and return what they were answered."""
    command = [sys.executable, "-m", "tests.client.store.together", way, str(desk.directory), desk.name]
    done = subprocess.run(
        [*command, str(processes), str(expiries)], capture_output=True, text=True, cwd=ROOT, timeout=SECONDS, check=True
    )
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_fifty_processes_and_two_hundred_expiries_make_one_refresh_each_and_no_error(desk: Desk) -> None:
    report = together("alone", desk, processes=50, expiries=200)
    assert report["errors"] == []
    assert report["different"] == [1] * 200, "after each expiry all processes use the same new token"
    assert desk.asked() == 200
    assert desk.credential().after_refusal(desk.credential().authorization()) is not None, "nobody was signed out"


def test_a_hundred_coroutines_ten_threads_and_three_processes_make_one_refresh(desk: Desk) -> None:
    report = together("crowded", desk, processes=3, expiries=10)
    assert (report["errors"], report["different"]) == ([], [1] * 10)
    assert desk.asked() == 10


@pytest.mark.parametrize("processes", [20])
def test_where_locks_do_not_work_everybody_gets_a_token_by_the_servers_replay(desk: Desk, processes: int) -> None:
    report = together("unlocked", desk, processes, expiries=10)
    assert report["errors"] == []
    assert 10 <= desk.asked() <= 10 * processes
    exchanges = desk.proxy.seen("POST", "/getServiceKeys/token")
    assert {exchange.answer.status for exchange in exchanges} == {200}
    successors = {json.loads(exchange.answer.body)["refresh_token"] for exchange in exchanges}
    assert len(successors) == 10, "each expiry has one successor, however many asked"
    desk.expire()
    assert desk.credential().authorization() is not None
