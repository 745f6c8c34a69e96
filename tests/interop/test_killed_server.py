"""A server that is killed again and again while clients refresh loses no grant and accuses nobody (R8, O8)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.browser import Browser
from tests.support.device import DeviceClient, Tokens
from tests.support.server import ADA, KeysteadServer, add_acme

CLIENTS = 8
KILLS = 4
REFRESHES_BETWEEN = 60
"""How many refreshes are answered, all clients together, before the next kill."""


@dataclass
class Toll:
    """What the clients met, and whether they may go on."""

    refreshed: int = 0
    refused: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    counted: threading.Condition = field(default_factory=threading.Condition)

    def count(self) -> None:
        """Count a refresh that was answered."""
        with self.counted:
            self.refreshed += 1
            self.counted.notify_all()

    def await_more(self, number: int) -> None:
        """Wait until so many more were answered."""
        with self.counted:
            target = self.refreshed + number
            assert self.counted.wait_for(lambda: self.refreshed >= target, timeout=60)


def keep_refreshing(url: str, client_id: str, refresh_token: str, toll: Toll) -> str:
    """Refresh until it is enough, as a patient client does: what is no answer, or a 503, is asked again."""
    form = {"grant_type": "refresh_token", "client_id": client_id}
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
        while not toll.enough.is_set():
            try:
                answer = http.post("/getServiceKeys/token", data={**form, "refresh_token": refresh_token})
            except httpx.TransportError:
                toll.enough.wait(0.05)
                continue
            if answer.status_code == 200:
                refresh_token = answer.json()["refresh_token"]
                toll.count()
            elif answer.status_code != 503:
                toll.refused.append(answer.text)
                return refresh_token
    return refresh_token


def test_a_server_killed_amid_refreshes_loses_no_grant_no_key_and_no_session(tmp_path: Path) -> None:
    with (
        KeysteadServer(tmp_path / "keystead") as server,
        DeviceClient(server.url) as device,
        Browser(server.url) as ada,
    ):
        add_acme(server)
        ada.sign_in(ADA.username, ADA.password)
        key = server.admin("create-key", "--user", ADA.username, "--title", "nightly")
        device.register()
        granted = [sign_in(device, ada) for _ in range(CLIENTS)]

        toll = Toll()
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [
                pool.submit(keep_refreshing, server.url, device.client_id, tokens.refresh_token, toll)
                for tokens in granted
            ]
            try:
                for _ in range(KILLS):
                    toll.await_more(REFRESHES_BETWEEN)
                    server.kill()
                    server.start()
                toll.await_more(REFRESHES_BETWEEN)
            finally:
                toll.enough.set()
            newest = [client.result(timeout=60) for client in clients]

        assert toll.refused == []
        assert all(device.refresh(token).expires_in for token in newest)
        assert httpx.get(f"{server.url}/verify", headers={"x-api-key": key}).status_code == 200
        assert ada.get("/").path == "/settings"


def sign_in(device: DeviceClient, person: Browser) -> Tokens:
    authorization = device.device_code()
    person.approve(authorization.verification_uri_complete)
    return device.poll_until_decided(authorization)
