"""Approving on one node what a client waits for on another."""

import threading
import time

from tests.support.browser import Browser
from tests.support.calls import Line
from tests.support.cluster import Cluster, page_of
from tests.support.device import DeviceClient
from tests.support.processes import wait_for
from tests.support.server import ADA


def approve_held_polls(nodes: Cluster, number: int) -> list[float]:
    """Return how long, after the answer to ada's click on the first node, a poll took that the second one held.

    The times are in seconds, and below zero where the poll was answered first.
    """
    with DeviceClient(nodes.urls[1]) as device, Browser(nodes.urls[0]) as ada:
        device.register()
        ada.sign_in(ADA.username, ADA.password)
        return [_approve(nodes, device, ada) for _ in range(number)]


def _approve(nodes: Cluster, device: DeviceClient, ada: Browser) -> float:
    authorization = device.device_code()
    page = ada.get(page_of(authorization))
    form = page.form("decision", "user_code", "form_token").filled({"decision": "approve"})
    answered: list[float] = []

    def poll() -> None:
        assert device.poll(authorization).status_code == 200
        answered.append(time.monotonic())

    polling = threading.Thread(target=poll)
    with Line(nodes.urls[1]) as metrics:
        polling.start()
        wait_for(lambda: "keystead_polls_held 1.0" in metrics.get("/metrics").text, "a poll that is held")
    clicked = ada.request("POST", "/getServiceKeys/device", form=form)
    clicked_at = time.monotonic()
    polling.join()
    assert clicked.status_code == 303
    (answered_at,) = answered
    return answered_at - clicked_at
