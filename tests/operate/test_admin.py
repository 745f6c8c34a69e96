"""The operator's commands, as processes: beside a running server or alone."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.server import ADA, KeysteadServer

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOGIN = "/api/sso/password/login"


def admin(data: Path, command: str, *arguments: str, stdin: str = "", **variables: str) -> "Finished":
    """Run ``keystead admin`` without a server."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    return subprocess.run(
        [sys.executable, "-m", "keystead", "admin", command, "--data", str(data), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**ours, **variables},
    )


Finished = subprocess.CompletedProcess[str]

ADD_ADA = ("--username", "ada", "--email", "ada@example.com", "--org", "acme", "--role", "owner", "--password-stdin")


@pytest.fixture(scope="session")
def _acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("acme") / "data"
    assert admin(directory, "create-org", "--name", "acme").returncode == 0
    assert admin(directory, "create-user", *ADD_ADA, stdin=ADA.password + "\n").returncode == 0
    return directory


@pytest.fixture
def data(tmp_path: Path, _acme: Path) -> Path:
    """Give a data directory with the organization acme and ada in it, for which no server has run yet."""
    return shutil.copytree(_acme, tmp_path / "data")


def test_what_was_made_stands_alone_on_standard_output(tmp_path: Path) -> None:
    organization = admin(tmp_path / "data", "create-org", "--name", "acme", "--display-name", "Acme Ltd")
    user = admin(tmp_path / "data", "create-user", *ADD_ADA, stdin=ADA.password)
    for found in (organization, user):
        assert (found.returncode, found.stderr) == (0, "")
        assert ID.fullmatch(found.stdout.removesuffix("\n"))


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        (
            "create-org",
            ("--name", "acme"),
            "There is already an organization called 'acme'. Choose another name.",
        ),
        ("create-user", ADD_ADA, "There is already a user called 'ada'."),
        ("set-password", ("--user", "bob", "--password-stdin"), "There is no user called 'bob'."),
        ("create-token", ("--user", "bob"), "There is no user called 'bob'."),
        ("create-key", ("--user", "bob", "--title", "t"), "There is no user called 'bob'."),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence_with_exit_code_1(
    data: Path, command: str, arguments: tuple[str, ...], sentence: str
) -> None:
    address = {"KEYSTEAD_PUBLIC_URL": "https://auth.example.com"}
    found = admin(data, command, *arguments, stdin="a quiet lake at dawn\n", **address)
    assert (found.returncode, found.stdout, found.stderr) == (1, "", sentence + "\n")


def test_an_unknown_setting_and_a_short_password_are_refused_in_a_sentence(data: Path) -> None:
    unknown = admin(data, "create-org", "--name", "b", KEYSTEAD_PUBLIK_URL="x")
    assert unknown.returncode == 1
    assert "did you mean KEYSTEAD_PUBLIC_URL?" in unknown.stderr
    short = admin(data, "set-password", "--user", "ada", "--password-stdin", stdin="short")
    assert (short.returncode, short.stderr) == (1, "A password has 8 to 1024 characters.\n")


def test_a_password_comes_by_standard_input_or_a_prompt_and_never_as_an_argument(data: Path) -> None:
    refused = admin(data, "set-password", "--user", "ada", stdin="a quiet lake at dawn")
    assert refused.returncode == 2
    assert "--password-stdin" in refused.stderr
    assert admin(data, "set-password", "--user", "ada", "--password", "x").returncode == 2
    empty = admin(data, "set-password", "--user", "ada", "--password-stdin", stdin="\n")
    assert (empty.returncode, "holds no password" in empty.stderr) == (2, True)


def test_on_a_terminal_a_password_is_asked_for_twice_and_not_shown(data: Path) -> None:
    command = [sys.executable, "-m", "keystead", "admin", "set-password", "--data", str(data), "--user", "ada"]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)  # noqa: S606 - the child of the terminal becomes the command
    shown = b""
    for prompt in (b"Password: ", b"The same again: "):
        while not shown.endswith(prompt):
            shown += os.read(terminal, 1024)
        os.write(terminal, b"a quiet lake at dawn\n")
    try:
        while part := os.read(terminal, 1024):
            shown += part
    except OSError:  # the terminal has closed
        pass
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    assert b"quiet" not in shown


def test_keys_and_tokens_are_made_for_the_address_that_is_configured(data: Path) -> None:
    for command in (("create-key", "--user", "ada", "--title", "t"), ("create-token", "--user", "ada")):
        found = admin(data, *command)
        assert (found.returncode, found.stdout.count("\n")) == (0, 1)
        assert "The server's address is not set, so this names http://127.0.0.1:8080." in found.stderr
        made = admin(data, *command, KEYSTEAD_PUBLIC_URL="https://auth.example.com")
        assert (made.returncode, made.stdout.count("\n")) == (0, 1), made.stderr
    (data / "keystead.toml").write_text('public_url = "https://auth.example.com"\n', encoding="utf-8")
    assert admin(data, "create-key", "--user", "ada", "--title", "t").stdout.startswith("pwt_")


def test_a_key_is_found_in_the_list_by_its_hint_and_revoked_by_its_id(data: Path) -> None:
    keys = [admin(data, "create-key", "--user", "ada", "--title", title).stdout.strip() for title in ("one", "two")]
    lines = [line.split(maxsplit=3) for line in admin(data, "list-keys", "--user", "ada").stdout.splitlines()]
    assert [line[3] for line in lines] == ["one", "two"]
    for key, (_, hint, _, _) in zip(keys, lines, strict=True):
        secret = key.rpartition(".")[2]
        assert hint == f"{secret[:4]}…{secret[-4:]}"
        assert secret not in hint
    assert admin(data, "revoke-key", "--id", lines[0][0]).returncode == 0
    (left,) = admin(data, "list-keys", "--user", "ada").stdout.splitlines()
    assert left.endswith("two")
    assert "There is no user called 'nobody'" in admin(data, "list-keys", "--user", "nobody").stderr


def test_a_running_server_knows_at_once_what_a_command_made_and_what_it_took_back(server: KeysteadServer) -> None:
    server.admin("create-org", "--name", "acme")
    server.admin("create-user", *ADD_ADA, stdin=ADA.password)
    key = server.admin("create-key", "--user", "ada", "--title", "nightly")
    token = server.admin("create-token", "--user", "ada")
    with httpx.Client(base_url=server.url) as http:

        def statuses() -> list[int]:
            bearer = {"Authorization": f"Bearer {token}"}
            session = "/api/auth/session"
            return [http.get(session, auth=(key, "")).status_code, http.get(session, headers=bearer).status_code]

        assert statuses() == [200, 200]
        assert http.post(LOGIN, json={"username": "ada", "password": ADA.password}).status_code == 204
        apps = http.get("/account/service/v1/apps", headers={"Authorization": f"Bearer {token}"}).json()["apps"]
        keys = http.get(
            f"/account/service/v1/apps/{apps[0]['app_id']}/keys", headers={"Authorization": f"Bearer {token}"}
        ).json()
        (key_id,) = [entry["api_key_id"] for entry in keys["keys"]]
        assert server.admin("revoke-key", "--id", key_id) == ""
        assert statuses() == [401, 200]


def test_signing_keys_are_rotated_and_old_tokens_stay_valid(server: KeysteadServer) -> None:
    server.admin("create-org", "--name", "acme")
    server.admin("create-user", *ADD_ADA, stdin=ADA.password)
    token = server.admin("create-token", "--user", "ada")
    kids = server.admin("rotate-signing-keys", "--now").splitlines()
    with httpx.Client(base_url=server.url) as http:
        answer = http.get("/api/auth/session", headers={"Authorization": f"Bearer {token}"})
        published = {key["kid"] for key in http.get("/.well-known/jwks.json").json()["keys"]}
    assert len(kids) == 2
    assert set(kids) < published
    assert answer.status_code == 200


def test_the_master_secret_is_rotated_and_no_credential_changes(server: KeysteadServer) -> None:
    server.admin("create-org", "--name", "acme")
    server.admin("create-user", *ADD_ADA, stdin=ADA.password)
    key = server.admin("create-key", "--user", "ada", "--title", "nightly")
    before = (server.data / "master-secret").read_text(encoding="utf-8")
    assert server.admin("rotate-master-secret") == ""
    assert (server.data / "master-secret").read_text(encoding="utf-8") != before
    server.restart()
    assert httpx.get(f"{server.url}/api/auth/session", auth=(key, "")).status_code == 200


def test_a_configured_master_secret_is_rotated_to_the_one_that_is_given(tmp_path: Path) -> None:
    data, old, new = tmp_path / "data", "o" * 40, "n" * 40
    assert admin(data, "create-org", "--name", "acme", KEYSTEAD_MASTER_SECRET=old).returncode == 0
    missing = admin(data, "rotate-master-secret", KEYSTEAD_MASTER_SECRET=old)
    assert (missing.returncode, "--new-secret-stdin" in missing.stderr) == (1, True)
    rotated = admin(data, "rotate-master-secret", "--new-secret-stdin", stdin=new, KEYSTEAD_MASTER_SECRET=old)
    assert (rotated.returncode, rotated.stdout) == (0, "")
    refused = admin(data, "create-org", "--name", "b", KEYSTEAD_MASTER_SECRET=old)
    assert refused.returncode == 1
    assert "The master secret is not the one" in refused.stderr
    assert admin(data, "create-org", "--name", "b", KEYSTEAD_MASTER_SECRET=new).returncode == 0


def test_an_unknown_client_cannot_be_deleted(data: Path) -> None:
    found = admin(data, "delete-client", "--id", "nobody")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("Unknown client_id.")
