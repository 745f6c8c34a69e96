"""The processes of one node are replaced, or stop, under load: nobody is told of it (O8)."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from keystead.kernel.settings import Settings
from keystead.operate.serve import _config
from tests.scale.traffic import begin
from tests.support.calls import NO_ANSWER, Line, tell
from tests.support.cluster import Cluster
from tests.support.device import DeviceClient
from tests.support.nginx import NginxProxy
from tests.support.processes import wait_for
from tests.support.server import KeysteadServer

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"


def workers_of(node: KeysteadServer) -> set[int]:
    """Return the process ids of a node's workers, without the process that multiprocessing keeps for itself."""
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text(encoding="ascii").split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def held(metrics: str) -> float:
    """Return how many polls all workers hold."""
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("keystead_polls_held"))


@pytest.fixture
def proxy(new_nginx: Callable[..., NginxProxy]) -> NginxProxy:
    return new_nginx(["http://127.0.0.1:9"])  # its list comes when the node is there


def test_workers_replaced_one_after_the_other_behind_nginx_fail_no_request_and_lose_nothing(
    proxy: NginxProxy, furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    settings = {"KEYSTEAD_PUBLIC_URL": proxy.url, "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    nodes = new_cluster(furnished_url, 1, settings, 2)
    proxy.reload(nodes.urls)
    traffic = begin(nodes, [proxy.url])
    (node,) = nodes.nodes
    before = workers_of(node)
    with traffic.flowing():
        os.kill(node.pid, signal.SIGHUP)
        wait_for(lambda: len(workers_of(node)) == 2 and not workers_of(node) & before, "two other workers", 60)
        traffic.await_more(20)
    tell(str(dict(traffic.met)))
    assert traffic.met.keys() == {("check", 200), ("refresh", 200), ("sign in", 204), ("create", 200)}
    assert traffic.lost(nodes.urls[0]) == ([], [], [])


def test_a_worker_has_half_a_minute_to_begin_because_a_busy_machine_takes_longer_than_usual() -> None:
    config = _config("nowhere:worker", Settings(public_url="https://auth.example.com"), factory=True, workers=2)
    assert config.timeout_worker_healthcheck >= 30


class HeldPolls:
    """Eight polls that a node holds, and what they were told; NO_ANSWER's name for one that was cut off."""

    def __init__(self, node: KeysteadServer) -> None:
        self.told: list[str] = []
        self._node = node
        with DeviceClient(node.url) as device:
            self._client_id = device.register()
            codes = [device.device_code() for _ in range(8)]
        self._polls = [threading.Thread(target=self._poll, args=(one.device_code,)) for one in codes]
        for one in self._polls:
            one.start()
        self.await_held(8)

    def _poll(self, device_code: str) -> None:
        form = {"grant_type": DEVICE_GRANT, "device_code": device_code, "client_id": self._client_id}
        with Line(self._node.url) as line:
            try:
                told = line.ask("POST", "/getServiceKeys/token", form=form, headers={"Prefer": "wait=25"})
            except NO_ANSWER:
                self.told.append("cut off")
            else:
                self.told.append(told.error)

    def await_held(self, number: int) -> None:
        """Wait until the node says that it holds so many."""
        with Line(self._node.url) as line:
            wait_for(lambda: held(line.get("/metrics").text) == number, f"{number} polls that are held")

    def await_end(self) -> None:
        """Wait until all of them were told something."""
        for one in self._polls:
            one.join()


def test_a_node_of_two_workers_that_stops_answers_every_poll_that_it_holds(
    furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(furnished_url, 1, {}, 2)
    (node,) = nodes.nodes
    polls = HeldPolls(node)
    node.stop()
    polls.await_end()
    assert polls.told == ["authorization_pending"] * 8


def test_what_killed_workers_held_is_counted_no_longer_and_others_take_their_place(
    furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(furnished_url, 1, {}, 2)
    (node,) = nodes.nodes
    polls, before = HeldPolls(node), workers_of(node)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    polls.await_end()
    wait_for(lambda: len(workers_of(node)) == 2 and not workers_of(node) & before, "two other workers", 60)
    wait_for(lambda: answers(node), "an answer")
    polls.await_held(0)
    assert polls.told == ["cut off"] * 8


def answers(node: KeysteadServer) -> bool:
    """Tell whether a worker answers yet."""
    with Line(node.url) as line:
        try:
            return line.get("/healthz").status == 200
        except NO_ANSWER:
            return False
