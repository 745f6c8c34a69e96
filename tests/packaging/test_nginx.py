"""deploy/nginx.conf, as it is but for its places, in a real nginx in front of real servers."""

import re
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.gate.serving import Furnished, Serving, furnish
from tests.packaging.deployed import text
from tests.support import issued
from tests.support.device import DEVICE_GRANT
from tests.support.nginx import HOST, TEMPORARY, NginxProxy
from tests.support.processes import wait_for
from tests.support.programs import NGINX, need, program
from tests.support.server import ADA

HOLD = 20
"""Seconds for which a poll is held: longer than a person of these tests takes, shorter than nginx waits."""
SECONDS = 30


def placed(configuration: str, proxy: "DeployedNginx", directory: Path) -> str:
    """Return our configuration with the places of a test. Each place has to be there once."""
    changes = {
        "user nginx;\n": "daemon off;\nuser root;\n",
        "pid /run/nginx.pid;\n": f"pid {directory}/nginx.pid;\n",
        "http {\n": "http {\n" + "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in TEMPORARY),
        "listen 443 ssl ": f"listen {HOST}:{proxy.tls_port} ssl ",
        "listen 80 ": f"listen {HOST}:{proxy.port} ",
        "/etc/nginx/tls/fullchain.pem": str(proxy.certificate),
        "/etc/nginx/tls/privkey.pem": str(directory / "key.pem"),
        "/dev/stdout": str(directory / "access.log"),
        "server keystead-1:8080 ": f"server {proxy.upstreams[0]} ",
        "server keystead-2:8080 ": f"server {proxy.upstreams[1]} ",
    }
    for here, there in changes.items():
        if configuration.count(here) != 1:
            raise ValueError(f"nginx.conf says {here!r} {configuration.count(here)} times")
        configuration = configuration.replace(here, there)
    return configuration


class DeployedNginx(NginxProxy):
    """nginx with the configuration that operators get. ``upstreams`` are two addresses without a scheme."""

    def _configure(self) -> None:
        directory = self.certificate.parent
        (directory / "nginx.conf").write_text(placed(text("nginx.conf"), self, directory), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Front:
    """Two nodes behind nginx, and how to reach them through it."""

    nginx: DeployedNginx
    nodes: list[Serving]

    def client(self) -> httpx.Client:
        """Return a client that trusts nginx's certificate."""
        trust = ssl.create_default_context(cafile=str(self.nginx.certificate))
        return httpx.Client(base_url=self.nginx.tls_url, verify=trust, timeout=SECONDS, trust_env=False)

    def held(self) -> int:
        """Return how many polls the nodes hold, as they say themselves."""
        texts = [httpx.get(f"{node.address}/metrics", trust_env=False).text for node in self.nodes]
        counts = [re.search(r"^keystead_polls_held (\d+)", one, re.MULTILINE) for one in texts]
        return sum(int(count[1]) for count in counts if count is not None)

    def access_log(self) -> str:
        """Return what nginx wrote down of its requests."""
        return (self.nginx.certificate.parent / "access.log").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    """Fill a data directory."""
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


@pytest.fixture
def front(furnished: Furnished, tmp_path: Path) -> Iterator[Front]:
    """Give two nodes over one database, behind nginx."""
    need(NGINX)
    (tmp_path / "nginx").mkdir()
    nginx = DeployedNginx(tmp_path / "nginx", [])
    settings = {
        "KEYSTEAD_PUBLIC_URL": nginx.tls_url,
        "KEYSTEAD_TRUSTED_PROXIES": HOST,
        "KEYSTEAD_DEVICE_POLL_HOLD": str(HOLD),
    }
    with ExitStack() as stack:
        nodes = [Serving(tmp_path / name, furnished, settings=settings) for name in ("first", "second")]
        nodes[1].data = nodes[0].data
        nginx.upstreams = [node.address.removeprefix("http://") for node in nodes]
        stack.enter_context(nginx)  # first, because its ports are free now
        for node in nodes:
            stack.enter_context(node)
        yield Front(nginx, nodes)


def approve(person: httpx.Client, address: str) -> None:
    """Sign ada in and click."""
    signed_in = person.post("/api/sso/password/login", json={"username": ADA.username, "password": ADA.password})
    cookie = {"Cookie": signed_in.headers["set-cookie"].partition(";")[0]}
    page = person.get(address, headers=cookie).text
    fields = dict(re.findall(r'name="(form_token|user_code|organization)"[^>]*value="([^"]+)"', page))
    issued.note(fields["form_token"], cookie["Cookie"].partition("=")[2])
    origin = {"Origin": str(person.base_url).rstrip("/")}
    clicked = person.post(
        "/getServiceKeys/device", data={**fields, "decision": "approve"}, headers={**cookie, **origin}
    )
    assert clicked.status_code == 303, clicked.text


def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    need(NGINX)
    nginx = DeployedNginx(tmp_path, ["127.0.0.1:1", "127.0.0.1:2"])
    command = [word for word in nginx.command() if word != program("nginx")]
    found = subprocess.run(
        [program("nginx"), "-t", *command], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "[warn]" not in found.stderr
    assert "[emerg]" not in found.stderr


def test_a_poll_is_held_through_nginx_and_answered_at_the_click(front: Front) -> None:
    with front.client() as device, front.client() as person, ThreadPoolExecutor() as pool:
        client_id = device.post(
            "/getServiceKeys/register", json={"client_name": "stock", "platform": {"system": "Linux"}}
        ).json()["client_id"]
        code = device.post("/getServiceKeys/device/code", data={"client_id": client_id, "scope": "keys:read"}).json()
        issued.note(code["device_code"], code["user_code"])
        form = {"grant_type": DEVICE_GRANT, "device_code": code["device_code"], "client_id": client_id}
        poll = pool.submit(device.post, "/getServiceKeys/token", data=form)
        wait_for(lambda: front.held() == 1 or poll.done(), "a held poll")
        assert not poll.done()
        approve(person, code["verification_uri_complete"])
        answer = poll.result(timeout=HOLD / 2)
    assert answer.status_code == 200, answer.text
    assert code["user_code"] not in front.access_log()
    assert "POST /getServiceKeys/token 200" in front.access_log()


def test_what_clients_say_of_themselves_is_replaced(front: Front) -> None:
    claims = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.8", "X-Forwarded-Proto": "http"}
    with front.client() as http:
        person = {"username": "nobody", "password": "a password of nobody's"}
        answer = http.post("/api/sso/password/login", json=person, headers=claims)
    logs = "".join(node.log_text() for node in front.nodes)
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_sign_in")
    assert f"sign-in refused: user unknown, address {HOST}" in logs
    assert "203.0.113" not in logs


def test_keystead_alone_says_that_https_is_to_be_used(front: Front) -> None:
    with front.client() as http:
        answer = http.get("/sign-in")
    assert answer.status_code == 200
    assert len(answer.headers.get_list("strict-transport-security")) == 1


def test_plain_http_is_refused_by_keystead_itself(front: Front) -> None:
    claims = {"X-Forwarded-Proto": "https", "Authorization": "Bearer nothing"}
    refused = httpx.get(f"{front.nginx.url}/api/auth/session", headers=claims, trust_env=False)
    assert (refused.status_code, refused.json()["code"]) == (403, "https_required")
    assert "location" not in refused.headers


def test_the_oldest_tls_that_is_spoken_is_1_2(front: Front) -> None:
    spoken = set()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        trust = ssl.create_default_context(cafile=str(front.nginx.certificate))
        trust.maximum_version = version
        with httpx.Client(verify=trust, trust_env=False) as http:
            spoken.add(http.get(f"{front.nginx.tls_url}/healthz").status_code)
    assert spoken == {200}
    assert re.findall(r"ssl_protocols ([^;]+);", text("nginx.conf")) == ["TLSv1.2 TLSv1.3"]


def test_with_one_node_gone_every_request_is_answered_by_the_other(front: Front) -> None:
    front.nodes[1].stop()
    with front.client() as http:
        for _ in range(20):
            assert http.get("/healthz").status_code == 200
            sent = http.post("/getServiceKeys/register", json={"client_name": "x", "platform": {"system": "Linux"}})
            assert sent.is_success, sent.text


def test_metrics_are_not_shown_to_the_world(front: Front) -> None:
    with front.client() as http:
        assert http.get("/metrics").status_code == 404
        assert http.get("/readyz").status_code == 200
