"""No server outlives the process that started it, however that process ends."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.support.processes import alive, wait_for

PROGRAM = """
import json, os, signal, sys, threading
from pathlib import Path
from tests.support.nginx import NginxProxy
from tests.support.postgres import NOT_DURABLE, PostgresServer
from tests.support.valkey import ValkeyServer

place, held = Path(sys.argv[1]), sys.argv[2] == "held"
servers = [PostgresServer(place, NOT_DURABLE), ValkeyServer(place), NginxProxy(place, ["http://127.0.0.1:9"])]
for server in servers:
    starter = threading.Thread(target=server.start)  # whose end is not the end of what it started
    starter.start()
    starter.join()
    if held:
        server.pause()
data = str(servers[0].data)
print(json.dumps([data, [pid for server in servers for pid in server.processes()]]), flush=True)
sys.stdin.readline()
"""


def begun(directory: Path, state: str) -> tuple[subprocess.Popen[str], Path, list[int]]:
    """Start a process that starts one server of each kind; return it, PostgreSQL's data and the servers' processes."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(directory), state],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stdout is None:
        raise RuntimeError("The output of the process is not connected.")
    data, pids = json.loads(process.stdout.readline())
    return process, Path(data), pids


@pytest.mark.parametrize("state", ["at work", "held"])
@pytest.mark.usefixtures("needs_postgres", "needs_valkey", "needs_nginx")
def test_what_a_killed_process_started_ends_with_it(tmp_path: Path, state: str) -> None:
    process, data, pids = begun(tmp_path, state)
    try:
        assert len(pids) > 8
        assert alive(pids) == pids
        process.kill()
        process.communicate()
        wait_for(lambda: not alive(pids), "an end of all its servers")
    finally:
        subprocess.run(["rm", "-rf", str(data.parents[1])], check=True)  # which a killed process cannot do


@pytest.mark.usefixtures("needs_postgres", "needs_valkey", "needs_nginx")
def test_a_process_that_ends_and_stops_nothing_leaves_nothing(tmp_path: Path) -> None:
    process, data, pids = begun(tmp_path, "at work")
    assert data.exists()
    process.communicate("go\n")
    assert process.returncode == 0
    wait_for(lambda: not alive(pids), "an end of all its servers")
    assert not data.exists()


@pytest.mark.usefixtures("needs_postgres", "needs_valkey", "needs_nginx")
def test_a_ctrl_c_at_the_terminal_reaches_no_server(tmp_path: Path) -> None:
    process, _, pids = begun(tmp_path, "at work")
    assert {os.getsid(pid) for pid in pids}.isdisjoint({os.getsid(0)})
    process.send_signal(signal.SIGINT)
    process.communicate()
    wait_for(lambda: not alive(pids), "an end of all its servers")
