"""``make demo``: a server of its own, and the whole life of a device sign-in through it, over real HTTP.

It uses nothing but the standard library, as a program that embeds the flow would. The server stays up afterwards, so
that a person can look around; without a terminal, or with ``DEMO_ONCE=1``, everything stops by itself.
"""

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from shlex import quote
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

DATA: Final = Path(".demo")
USUAL_PORT: Final = 8080
USERNAME: Final = "ada"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE: Final = "apps:read keys:read keys:create balance:read balance:add"
_SHOWN: Final = 28


class DemoFailed(Exception):  # noqa: N818 - reads as what happened
    """A step did not go as it should; the message says which and what came instead."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its header fields by lower-case name, and its body."""

    status: int
    headers: Mapping[str, str]
    body: str

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Site:
    """The server, as a program or a browser sees it. A browser keeps its cookies."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict[str, str])

    def send(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        """Send a request and return the answer; redirects are not followed."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            for cookie in response.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read().decode())
        finally:
            connection.close()

    def post_form(self, path: str, **fields: str) -> Reply:
        """Send a form."""
        return self.send("POST", path, urlencode(fields), Content_Type="application/x-www-form-urlencoded")


class _HiddenFields(HTMLParser):
    """Collects what a page's forms carry, as a browser would send it back."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an input's name and value."""
        attributes = dict(attrs)
        if tag == "input" and attributes.get("name"):
            self.found[attributes["name"] or ""] = attributes.get("value") or ""


class Story:
    """The steps, printed one at a time."""

    def __init__(self, site: Site, password: str) -> None:
        """Tell the story of a device sign-in at ``site``."""
        self._program = site
        self._browser = Site(site.url)
        self._password = password
        self._number = 0

    def tell(self) -> None:
        """Walk the whole life of a device sign-in. Raises DemoFailed at the first step that goes wrong."""
        client_id = self._register()
        codes = self._ask_for_codes(client_id)
        self._sign_in_and_approve(codes)
        tokens = self._poll(client_id, codes["device_code"])
        self._call_account_api(tokens["access_token"])
        fresh = self._refresh(client_id, tokens["refresh_token"])
        self._revoke(fresh["refresh_token"])
        self._refused(client_id, fresh["refresh_token"])

    def _register(self) -> str:
        self._step("A program registers itself")
        body = json.dumps({"client_name": "demo-cli", "platform": {"system": "Linux", "machine": "x86_64"}})
        reply = self._program.send("POST", "/getServiceKeys/register", body, Content_Type="application/json")
        client_id = str(self._expect(reply, 201).json()["client_id"])
        self._say("POST /getServiceKeys/register", f"client_id {_short(client_id)}")
        return client_id

    def _ask_for_codes(self, client_id: str) -> dict[str, str]:
        self._step("It asks for a device code")
        reply = self._program.post_form("/getServiceKeys/device/code", client_id=client_id, scope=SCOPE)
        codes: dict[str, str] = self._expect(reply, 200).json()
        self._say("POST /getServiceKeys/device/code", f"user_code {codes['user_code']}")
        self._say("It shows the person", codes["verification_uri_complete"])
        return codes

    def _sign_in_and_approve(self, codes: dict[str, str]) -> None:
        page = codes["verification_uri_complete"].removeprefix(self._browser.url)
        self._step("The person opens the address, signs in and approves")
        reply = self._expect(self._browser.send("GET", page), 303)
        self._say(f"GET {page}", "not signed in yet: on to the sign-in page, with the code kept")
        form = {"username": USERNAME, "password": self._password, "next": page}
        self._expect(self._browser.post_form("/sign-in", **form), 303)
        self._say("POST /sign-in", "signed in, session cookie cloud.sso")
        shown = _HiddenFields()
        shown.feed(self._expect(self._browser.send("GET", page), 200).body)
        fields = {**shown.found, "decision": "approve"}
        reply = self._expect(self._browser.post_form("/getServiceKeys/device", **fields), 303)
        self._expect(self._browser.send("GET", reply.headers["location"]), 200)
        self._say("POST /getServiceKeys/device", "approved")

    def _poll(self, client_id: str, device_code: str) -> dict[str, str]:
        self._step("The program polls and gets its tokens")
        form = {"grant_type": DEVICE_GRANT, "client_id": client_id, "device_code": device_code}
        tokens: dict[str, str] = self._expect(self._program.post_form("/getServiceKeys/token", **form), 200).json()
        self._say("POST /getServiceKeys/token", f"access_token {_short(tokens['access_token'])}")
        self._say("", f"refresh_token {_short(tokens['refresh_token'])}, organization {tokens['org_name']}")
        return tokens

    def _call_account_api(self, access_token: str) -> None:
        self._step("It calls the Account API")
        for path in ("/account/service/v1/apps", "/account/service/v1/balance"):
            reply = self._program.send("GET", path, Authorization=f"Bearer {access_token}")
            self._say(f"GET {path}", self._expect(reply, 200).body)

    def _refresh(self, client_id: str, refresh_token: str) -> dict[str, str]:
        self._step("It refreshes the access token")
        form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
        tokens: dict[str, str] = self._expect(self._program.post_form("/getServiceKeys/token", **form), 200).json()
        self._say("POST /getServiceKeys/token", f"access_token {_short(tokens['access_token'])}")
        self._say("", f"refresh_token {_short(tokens['refresh_token'])}, a new one")
        return tokens

    def _revoke(self, refresh_token: str) -> None:
        self._step("The person signs out: the program revokes its refresh token")
        self._expect(self._program.post_form("/getServiceKeys/token/revoke", refresh_token=refresh_token), 200)
        self._say("POST /getServiceKeys/token/revoke", "revoked")

    def _refused(self, client_id: str, refresh_token: str) -> None:
        self._step("The old refresh token is refused")
        form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
        reply = self._expect(self._program.post_form("/getServiceKeys/token", **form), 400)
        self._say("POST /getServiceKeys/token", reply.json()["error"])

    def _step(self, title: str) -> None:
        self._number += 1
        _print(f"\n{self._number}. {title}")

    def _say(self, what: str, result: str) -> None:
        _print(f"   {what:<36} {result}")

    def _expect(self, reply: Reply, status: int) -> Reply:
        if reply.status != status:
            raise DemoFailed(f"Step {self._number}: expected {status}, got {reply.status}: {reply.body[:400]}")
        return reply


@contextmanager
def running_server() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start ``keystead serve`` on fresh data and yield its process and address; stop it in the end."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(mode=0o700)
    command = ["serve", "--dev", "--data", str(DATA), "--port", str(_free_port())]
    with (DATA / "server.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(_keystead(*command), stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603 - our own command
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("Keystead is ready at "):
            raise DemoFailed(f"The server did not start; {DATA / 'server.log'} says why.")
        yield process, line.split()[-1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def admin(*arguments: str, stdin: str = "") -> str:
    """Run an operator's command on the demo's data and return what it prints."""
    command = _keystead("admin", arguments[0], "--data", str(DATA), *arguments[1:])
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode != 0:
        raise DemoFailed(f"keystead admin {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    """Run the demo and return its exit code."""
    password = f"{secrets.token_urlsafe(9)}-demo"
    try:
        with running_server() as (process, url):
            _print(f"Keystead runs at {url}, on an empty database in {DATA}/")
            admin("create-org", "--name", "acme")
            admin(
                *("create-user", "--username", USERNAME, "--email", f"{USERNAME}@example.com"),
                *("--org", "acme", "--role", "owner", "--password-stdin"),
                stdin=password,
            )
            _print(f"Organization acme with one user, {USERNAME}, its owner")
            Story(Site(url), password).tell()
            _print("\nThat was the whole life of a device sign-in.")
            if not sys.stdout.isatty() or os.environ.get("DEMO_ONCE") == "1":
                return 0
            _stay(process, url, password)
            return 0
    except DemoFailed as failure:
        _print(f"\nThe demo failed. {failure}")
        return 1


def _stay(process: subprocess.Popen[str], url: str, password: str) -> None:
    _print("\nThe server is still running. Look around, and stop it with Ctrl-C.\n")
    _print(f"   address    {url}\n   user name  {USERNAME}\n   password   {password}")
    example = json.dumps({"username": USERNAME, "password": password})
    _print(f"\n   curl -i {url}/api/sso/password/login -H 'Content-Type: application/json' -d {quote(example)}\n")
    try:
        process.wait()
    except KeyboardInterrupt:
        _print("\nStopped.")


def _keystead(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "keystead", *arguments]


def _free_port() -> int:
    """Return the usual port when it is free, so that the address is easy to type; else 0, any free one."""
    with socket.socket() as probe:
        return 0 if probe.connect_ex(("127.0.0.1", USUAL_PORT)) == 0 else USUAL_PORT


def _short(secret: str) -> str:
    return secret[:_SHOWN] + "…" if len(secret) > _SHOWN else secret


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
