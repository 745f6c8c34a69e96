"""Everything that can happen to a secret, once: issued, used, mistyped, put in the wrong place, ended.

A recording proxy stands before the server, so every secret that passed is known and every answer was kept.
"""

import base64
import json
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from tests.support import engine
from tests.support.browser import Browser
from tests.support.device import DEVICE_GRANT, DeviceClient
from tests.support.issued import parts_of
from tests.support.parallel_cli import ParallelCli
from tests.support.proxy import Exchange, RecordingProxy
from tests.support.server import GENEROUS, KeysteadServer

TOKEN: Final = "/getServiceKeys/token"
SESSION: Final = "/api/auth/session"
SECRET_MEMBERS: Final = frozenset({"device_code", "user_code", "access_token", "refresh_token", "raw_api_key"})
SECRET_FIELDS: Final = frozenset({"form_token", "password"})
FROM_ELSEWHERE: Final = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.7"}
"""What a proxy that is listed says of a request that came over plain HTTP."""


def new_password() -> str:
    """Return a password that nobody has written down anywhere."""
    return f"{secrets.token_hex(8)} lake {secrets.token_hex(8)}"


def settings() -> dict[str, str]:
    """Return the settings of a server that says all it ever says."""
    return {
        **GENEROUS,
        "KEYSTEAD_LOG_LEVEL": "DEBUG",
        "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.0/8",
        "KEYSTEAD_DEVICE_POLL_HOLD": "0",
    }


@dataclass(slots=True)
class Story:
    """The server, what stands between, the secrets that nobody else may see, and what was said over and over."""

    server: KeysteadServer
    address: str
    proxy: RecordingProxy
    http: httpx.Client
    home: Path
    ada_password: str = field(default_factory=new_password)
    bob_password: str = field(default_factory=new_password)
    wrong_password: str = field(default_factory=new_password)
    api_key: str = ""
    token: str = ""
    kept: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    metrics: bytes = b""

    # What a secret is

    def secrets(self) -> dict[str, str]:
        """Return the secret part of everything that was issued or sent, each with its kind."""
        if not self.known:
            passed = (text for seen in self.proxy.exchanges for text in _passed(seen))
            self.known.update(parts_of([*self.kept, *passed]))
        return self.known

    # The acts

    def run(self) -> None:
        """Play every act."""
        self._found()
        with Browser(self.proxy.url) as ada:
            self._sign_in(ada)
            self._parallel_cli(ada)
            self._device(ada)
            self._endings(ada)
        self._wrong_places()
        self._broken_requests()
        self._exposed()
        self._unforeseen()
        self.metrics = self.http.get("/metrics").content

    def _found(self) -> None:
        """Make the organization, its people and their first credentials on the operator's command line."""
        admin = self.server.admin
        admin("create-org", "--name", "acme")
        for name, role, password in (("ada", "owner", self.ada_password), ("bob", "member", self.bob_password)):
            admin(
                "create-user",
                *("--username", name, "--email", f"{name}@example.com", "--org", "acme", "--role", role),
                "--password-stdin",
                stdin=password,
            )
        self.api_key = admin("create-key", "--user", "ada", "--title", "nightly")
        self.token = admin("create-token", "--user", "ada")
        master = (self.server.data / "master-secret").read_text(encoding="utf-8").strip()
        self.kept += [self.ada_password, self.bob_password, self.wrong_password, self.api_key, self.token, master]
        self._use(self.api_key, self.token)

    def _use(self, api_key: str, token: str) -> None:
        """Send each credential in every way that is right, to the gate's own answers and to what is logged."""
        encoded = base64.b64encode(f"{api_key}:".encode()).decode()
        for headers, account in (
            ({"Authorization": f"Basic {encoded}"}, 403),
            ({"Authorization": f"Bearer {api_key}"}, 403),
            ({"X-Api-Key": api_key}, 403),
            ({"Authorization": f"Bearer {token}"}, 200),
        ):
            self._expect(200, self.http.get(SESSION, headers=headers))
            self._expect(200, self.http.get("/verify", headers=headers))
            self._expect(account, self.http.get("/account/service/v1/apps", headers=headers))

    def _sign_in(self, ada: Browser) -> None:
        """Sign in by page and by JSON, after mistakes of every sort."""
        for name, password in (("ada", self.wrong_password), ("nobody", self.wrong_password), (self.ada_password, "x")):
            page = ada.get("/sign-in")
            after = ada.submit(page, page.form("username", "password"), {"username": name, "password": password})
            self._expect(401, after.response)
        for body in (
            {"username": "ada", "password": self.wrong_password},
            {"username": "ada", "password": [self.ada_password]},
            {"username": {"password": self.ada_password}},
            {"password": self.ada_password, "username": "a" * 400},
            self.ada_password,
        ):
            response = ada.request("POST", "/api/sso/password/login", json=body)
            self._expect(401 if body == {"username": "ada", "password": self.wrong_password} else 422, response)
        for media, content in (
            ("application/json", '{"username": "ada", "password": "' + self.ada_password),
            ("application/json", f'{{"password": "{self.ada_password}", "password": "{self.bob_password}"}}'),
            ("application/x-www-form-urlencoded", f"username=ada&password={self.ada_password}"),
        ):
            response = self.http.post("/api/sso/password/login", content=content, headers={"Content-Type": media})
            assert response.status_code in {400, 415}
        person = {"username": "ada", "password": self.ada_password}
        self._expect(204, ada.request("POST", "/api/sso/password/login", json=person))
        self._expect(200, ada.request("POST", "/api/sso/logout", json={}))
        ada.sign_in("ada", self.ada_password)

    def _parallel_cli(self, ada: Browser) -> None:
        """Sign the published command line in, let it refresh, and sign it out."""
        cli = ParallelCli(self.home, self.proxy.url)
        with cli.login() as login:
            ada.approve(login.event("device_code")["verification_uri_complete"])
            assert login.finish() == 0, login.stderr
        cli.age_access_token()
        assert cli.run("balance", "--json", "get").returncode == 0
        assert cli.run("logout", "--json").returncode == 0

    def _device(self, ada: Browser) -> None:
        """Sign a stock device in, use its tokens, lose an answer, have a token copied, and sign out."""
        with DeviceClient(self.proxy.url) as device:
            device.register()
            denied = device.device_code()
            ada.deny(denied.verification_uri_complete)
            self._expect(400, device.poll(denied))
            codes = device.device_code()
            self._expect(400, device.poll(codes))
            ada.approve(codes.verification_uri_complete)
            first = device.poll_until_decided(codes)
            self._expect(400, device.poll(codes))
            self._account(device, first.access_token)
            second = device.refresh(first.refresh_token)
            assert device.refresh(first.refresh_token).refresh_token == second.refresh_token
            fourth = device.refresh(device.refresh(second.refresh_token).refresh_token)
            for spent in (first.refresh_token, fourth.refresh_token):
                self._expect(400, self.http.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": spent}))
            again = device.device_code()
            ada.approve(again.verification_uri_complete)
            last = device.poll_until_decided(again)
            self._expect(200, device.revoke(last.refresh_token))
            self._misplace(last.refresh_token, last.access_token, again.device_code)

    def _account(self, device: DeviceClient, access_token: str) -> None:
        """Make, see, use and delete an API key with an access token."""
        app = device.account("POST", "/v1/apps", access_token, {"app_name": "nightly"}).json()["app_id"]
        made = device.account("POST", f"/v1/apps/{app}/keys", access_token, {"api_key_name": "nightly"})
        key = made.json()
        self._use(key["raw_api_key"], self.token)
        self._expect(200, device.account("GET", f"/v1/apps/{app}/keys", access_token))
        misnamed = {"api_key": key["raw_api_key"], "api_key_name": [key["raw_api_key"]]}
        self._expect(422, device.account("POST", f"/v1/apps/{app}/keys", access_token, misnamed))
        misnamed = {"app_name": key["raw_api_key"] + "\n"}
        self._expect(422, device.account("POST", "/v1/apps", access_token, misnamed))
        self._expect(422, device.account("DELETE", f"/v1/apps/{app}/keys/{key['raw_api_key']}", access_token))
        self._expect(200, device.account("DELETE", f"/v1/apps/{app}/keys/{key['api_key_id']}", access_token))
        self._expect(401, self.http.get(SESSION, headers={"X-Api-Key": key["raw_api_key"]}))

    def _misplace(self, refresh_token: str, access_token: str, device_code: str) -> None:
        """Put each secret of a device where another belongs."""
        for form in (
            {"grant_type": refresh_token},
            {"grant_type": "refresh_token", "refresh_token": access_token},
            {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": access_token},
            {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": refresh_token},
            {"grant_type": DEVICE_GRANT, "device_code": refresh_token, "client_id": device_code},
            {"grant_type": DEVICE_GRANT, "device_code": refresh_token, "client_id": "parallel-cli"},
        ):
            assert self.http.post(TOKEN, data=form).status_code in {400, 401}
        for path, form in (
            ("/getServiceKeys/device/code", {"client_id": "parallel-cli", "scope": refresh_token}),
            ("/getServiceKeys/device/code", {"client_id": "parallel-cli", "scope": access_token}),
            ("/getServiceKeys/device/code", {"client_id": refresh_token}),
        ):
            assert self.http.post(path, data=form).status_code in {400, 401}
        twice = f"{refresh_token}=1&{refresh_token}=2"
        for content in (twice, f"refresh_token={refresh_token}&refresh_token={refresh_token}", refresh_token + "\xff"):
            response = self.http.post(
                TOKEN, content=content.encode("latin-1"), headers={"Content-Type": "application/x-www-form-urlencoded"}
            )
            self._expect(400, response)
        for body in (refresh_token, [refresh_token], {"client_name": [refresh_token]}, {refresh_token: refresh_token}):
            self._expect(400, self.http.post("/getServiceKeys/register", json=body))

    def _endings(self, ada: Browser) -> None:
        """Type wrong codes, leave by the page, and come back with a session that has ended."""
        for typed in ("BCDF-GHJK", self.token, self.api_key):
            ada.get(f"/getServiceKeys/device?user_code={typed}")
        session = ada.cookies["cloud.sso"].value
        ada.sign_out()
        self._expect(401, self.http.get(SESSION, headers={"Cookie": f"cloud.sso={session}"}))
        self.http.get("/", headers={"Cookie": f"cloud.sso={session}"})
        self.http.post("/sign-out", content=b"form_token=x", headers={"Cookie": f"cloud.sso={session}"})

    def _wrong_places(self) -> None:
        """Send each credential in addresses and headers where none belongs; none is accepted there (promise W9)."""
        for secret in (self.api_key, self.token, self.ada_password):
            for name in (
                "access_token",
                "api_key",
                "apikey",
                "key",
                "token",
                "x-api-key",
                "cloud.sso",
                "authorization",
            ):
                for path in (SESSION, "/verify", "/account/service/v1/apps"):
                    self._expect(401, self.http.get(path, params={name: secret}))
            for path in (f"/{secret}", f"/api/{secret}", f"/account/service/v1/{secret}", f"/static/{secret}"):
                self._expect(404, self.http.get(path, headers={"Accept": "text/html"}))
                self._expect(404, self.http.get(path))
            self._expect(404, self.http.get(f"/problems/{secret}", headers={"Accept": "text/html"}))
            self.http.get("/sign-in", params={"username": "ada", "password": secret})
            for headers in (
                {"Authorization": f"Token {secret}"},
                {"Authorization": secret},
                {"Authorization": f"Basic {secret}"},
                {"Authorization": "Basic " + base64.b64encode(f"ada:{secret}".encode()).decode()},
                {"Authorization": f"Bearer {secret} {secret}"},
                {"Cookie": f"cloud.sso={secret}"},
                {"X-Request-Id": secret, "Referer": f"https://example.com/{secret}", "User-Agent": secret},
                {"X-Forwarded-For": secret, "Origin": f"https://{secret}.example.com"},
            ):
                self._expect(401, self.http.get(SESSION, headers=headers))
                self._expect(401, self.http.get("/account/service/v1/apps", headers=headers))
        both = {"X-Api-Key": self.api_key, "Authorization": f"Bearer {self.token}"}
        self._expect(400, self.http.get(SESSION, headers=both))
        self._expect(400, self.http.get("/account/service/v1/apps", headers=both))
        bearer = {"Authorization": f"Bearer {self.token}"}
        self._expect(403, self.http.get("/verify", params={"scope": self.api_key}, headers=bearer))
        self._expect(403, self.http.get("/verify", params={"scope": self.token}, headers=bearer))
        self._expect(403, self.http.get("/account/service/v1/apps", headers={"X-Api-Key": self.api_key}))

    def _broken_requests(self) -> None:
        """Send what is not HTTP at all, and methods and lengths that make no sense."""
        for line in (
            f"GET /{self.api_key}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
            f"{self.api_key} / HTTP/1.1\r\nHost: x\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization {self.api_key}\r\n\r\n",
            f"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: {self.api_key}\r\n\r\n",
            f"POST {TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\ndevice_code={self.api_key}",
        ):
            self._raw(line)

    def _raw(self, text: str) -> None:
        place = urlsplit(self.address)
        with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
            connection.sendall(text.encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass

    def _exposed(self) -> None:
        """Let an API key and a token come over plain HTTP from somewhere else."""
        for headers in ({"X-Api-Key": self.api_key}, {"Authorization": f"Bearer {self.token}"}):
            self._expect(403, self.http.get(SESSION, headers=headers | FROM_ELSEWHERE))
            self._expect(403, self.http.get("/account/service/v1/apps", headers=headers | FROM_ELSEWHERE))

    def _unforeseen(self) -> None:
        """Make the server meet what its own code never writes: a role that there is not."""
        token = self.server.admin("create-token", "--user", "bob")
        key = self.server.admin("create-key", "--user", "bob", "--title", "unforeseen")
        self.kept += [token, key]
        strange = "UPDATE membership SET role = 'stranger' WHERE role = 'member'"
        engine.execute(
            self.server.data,
            sqlite=["PRAGMA ignore_check_constraints = ON", strange],
            postgres=["ALTER TABLE membership DROP CONSTRAINT ck_membership_role", strange],
        )
        person = {"username": "bob", "password": self.bob_password}
        answers = [
            self.http.get(SESSION, headers={"Authorization": f"Bearer {token}"}),
            self.http.get(SESSION, headers={"X-Api-Key": key}),
            self.http.get("/account/service/v1/apps", headers={"Authorization": f"Bearer {token}"}),
            self.http.get(f"/static/{self.bob_password}", headers={"X-Api-Key": key}),
            self.http.post("/api/sso/password/login", json=person),
        ]
        assert 500 in {answer.status_code for answer in answers}

    def _expect(self, status: int, response: httpx.Response) -> None:
        """Raise AssertionError when the story goes another way."""
        assert response.status_code == status, f"{response.request.url}: {response.status_code} {response.text[:300]}"


def _passed(seen: Exchange) -> Iterator[str]:
    """Yield every secret of an exchange: issued in JSON or as a cookie, or sent in a form."""
    for name, value in seen.answer.headers:
        if name.lower() == "set-cookie":
            cookie: SimpleCookie = SimpleCookie(value)
            yield from (morsel.value for morsel in cookie.values() if morsel.value)
    if any(name.lower() == "content-type" and "json" in value for name, value in seen.answer.headers):
        answer: Any = json.loads(seen.answer.body)
        if isinstance(answer, dict):
            yield from (str(value) for name, value in answer.items() if name in SECRET_MEMBERS)
    if seen.answer.status < 400:
        for name, value in parse_qsl(seen.body.decode("latin-1")):
            if name in SECRET_FIELDS:
                yield value
