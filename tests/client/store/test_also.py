"""The files of the two clients that existed before: given the sign-in when asked, shared, and taken back (A10, B2)."""

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parallelworks_client.auth import load_credential_config, resolve_identity

from keystead.client import refresh as over_httpx2
from keystead.client._credentials import StoredCredential
from keystead.client._errors import SignInEnded, StoreError, UsageError
from keystead.client._models import TokenSet
from keystead.client._sign_out import sign_out
from keystead.client._store import SignIn, Store
from keystead.client._store.paths import pw_file
from keystead.kernel.secrets import Secret
from tests.client.store.conftest import environment
from tests.client.store.refreshing import DAY, TOKEN_PATH, force_expiry, kept, refresh
from tests.client.store.test_environment import jwt
from tests.client.store.test_file import NOW
from tests.client.store.test_sign_out import over_the_line
from tests.support.parallel_cli import ParallelCli
from tests.support.proxy import RecordingProxy
from tests.support.server import ADA, KeysteadServer

SERVER = "https://auth.example.com"
BOTH = ("parallel-cli", "pw")


def tokens(mark: str, *, grant: str = "g", later: int = 0) -> TokenSet:
    """Return tokens of one grant, the newer ones later."""
    return TokenSet(
        access_token=Secret(jwt(iss=SERVER, sub="user", grant_id=grant, jti=mark)),
        expires_at=NOW + 600 + later,
        refresh_token=Secret(f"pwr_{mark}"),
        refresh_expires_at=NOW + 7 * DAY + later,
        authorization_expires_at=NOW + 90 * DAY,
        scopes=("keys:read",),
        organization_id="org_1",
        organization="Acme",
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store of a person with an empty home directory."""
    return Store.open(tmp_path / "store", environ=environment(tmp_path))


WHO = SignIn(SERVER, "cid_1", "ada", "user", name="work", also=BOTH)


def auth_json(home: Path) -> Path:
    """Return parallel-cli's file."""
    return home / ".config" / "parallel-web-tools" / "auth.json"


def pw_credentials(home: Path) -> Path:
    """Return pw's file."""
    return home / ".config" / "pw" / "credentials"


def read(path: Path) -> dict[str, Any]:
    """Return what a file holds."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write(path: Path, content: object) -> None:
    """Put something into a file, as another program did."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def test_parallel_clis_file_is_written_as_it_writes_it(store: Store, tmp_path: Path) -> None:
    store.save(WHO, tokens("1"))
    path = auth_json(tmp_path)
    assert read(path) == {
        "version": 1,
        "selected_org_id": "org_1",
        "client_id": "cid_1",
        "orgs": {
            "org_1": {
                "api_key": None,
                "org_name": "Acme",
                "control_api": {
                    "access_token": tokens("1").access_token.reveal(),
                    "access_token_expires_at": NOW + 600,
                    "access_token_scopes": ["keys:read"],
                    "refresh_token": "pwr_1",
                    "refresh_token_expires_at": NOW + 7 * DAY,
                    "authorization_expires_at": NOW + 90 * DAY,
                },
            }
        },
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8").startswith('{\n  "')


def test_pws_file_names_no_refresh_token_and_asks_a_command_line_for_tokens(store: Store, tmp_path: Path) -> None:
    store.save(WHO, tokens("1"))
    content = read(pw_credentials(tmp_path))
    assert content["currentIdentity"] == "work"
    identity = content["identities"]["work"]
    assert (identity["server"], identity["organization"], identity["apikey"]) == ("auth.example.com", "Acme", "")
    assert identity["token"] == tokens("1").access_token.reveal()
    assert identity["oauth"]
    assert "pwr_1" not in pw_credentials(tmp_path).read_text(encoding="utf-8")
    assert stat.S_IMODE(pw_credentials(tmp_path).stat().st_mode) == 0o600
    name, found = resolve_identity(load_credential_config(str(pw_credentials(tmp_path))))
    assert (name, found.server, bool(found.oauth)) == ("work", "auth.example.com", True)


def test_pws_file_is_where_pw_looks_for_it(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert pw_file(home) == pw_credentials(tmp_path)
    assert pw_file({**home, "XDG_CONFIG_HOME": "/x"}) == Path("/x/pw/credentials")
    assert pw_file({**home, "XDG_CONFIG_HOME": "x"}) == pw_credentials(tmp_path)
    assert pw_file({**home, "XDG_CONFIG_HOME": "/x", "PW_CREDENTIALS_DIR": "/p"}) == Path("/p/.credentials")


def test_what_else_is_in_the_files_is_kept_through_sign_in_renewal_and_sign_out(store: Store, tmp_path: Path) -> None:
    other: dict[str, Any] = {"api_key": "k", "org_name": None, "control_api": {}}
    write(auth_json(tmp_path), {"version": 1, "selected_org_id": "o", "client_id": None, "orgs": {"o": other}, "x": 1})
    theirs = {"server": "host.example", "apikey": "pwt_a.b", "more": 1}
    write(pw_credentials(tmp_path), {"currentIdentity": "them", "identities": {"them": theirs}, "y": 2})
    store.save(WHO, tokens("1"))
    store.renew(store.context("work"), tokens("2", later=60))
    assert read(auth_json(tmp_path))["orgs"]["o"] == other
    assert read(auth_json(tmp_path))["orgs"]["org_1"]["control_api"]["refresh_token"] == "pwr_2"
    assert read(pw_credentials(tmp_path))["identities"]["them"] == theirs
    assert read(pw_credentials(tmp_path))["identities"]["work"]["token"] == tokens("2").access_token.reveal()
    store.forget("work")
    assert read(auth_json(tmp_path)) == {
        "version": 1, "selected_org_id": None, "client_id": "cid_1", "orgs": {"o": other}, "x": 1
    }  # fmt: skip
    assert read(pw_credentials(tmp_path)) == {"currentIdentity": "", "identities": {"them": theirs}, "y": 2}


def test_a_key_that_parallel_cli_made_outlives_the_sign_in(store: Store, tmp_path: Path) -> None:
    store.save(WHO, tokens("1"))
    content = read(auth_json(tmp_path))
    content["orgs"]["org_1"]["api_key"] = "made later"
    write(auth_json(tmp_path), content)
    store.save(WHO, tokens("2"))
    store.forget("work")
    entry = read(auth_json(tmp_path))["orgs"]["org_1"]
    assert entry["api_key"] == "made later"
    assert [value for value in entry["control_api"].values() if value] == []


@pytest.mark.parametrize(("name", "path"), [("parallel-cli", auth_json), ("pw", pw_credentials)])
@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1, "orgs": 3, "identities": 3}'])
def test_a_file_that_is_not_understood_is_refused_before_the_sign_in_and_left_alone(
    store: Store, tmp_path: Path, name: str, path: Callable[[Path], Path], content: str
) -> None:
    write(path(tmp_path), content)
    with pytest.raises(StoreError, match="is damaged"):
        store.prepare([name])
    assert path(tmp_path).read_text(encoding="utf-8") == content


def test_an_unknown_program_is_refused_before_the_sign_in(store: Store) -> None:
    with pytest.raises(UsageError, match="There are: parallel-cli, pw"):
        store.prepare(["gh"])
    assert store.contexts() == ()


def test_older_files_of_both_programs_are_carried_over(store: Store, tmp_path: Path) -> None:
    write(auth_json(tmp_path).with_name("credentials.json"), {"access_token": "old key"})
    write(tmp_path / "pw" / ".credentials", {"currentIdentity": "a", "identities": {"a": {"server": "h"}}})
    store.save(WHO, tokens("1"))
    assert read(auth_json(tmp_path))["orgs"]["legacy"]["api_key"] == "old key"
    assert set(read(pw_credentials(tmp_path))["identities"]) == {"a", "work"}


def test_another_organization_of_another_client_in_parallel_clis_file_is_not_broken(
    store: Store, tmp_path: Path
) -> None:
    other = {"api_key": None, "org_name": None, "control_api": {"refresh_token": "theirs", "access_token": "x"}}
    content = {"version": 1, "selected_org_id": "o", "client_id": "cid_9", "orgs": {"o": other}}
    write(auth_json(tmp_path), content)
    with pytest.raises(StoreError, match="room for one client") as told:
        store.save(WHO, tokens("1"))
    assert store.contexts() == (), "what cannot be done as asked is not half done"
    assert "parallel-cli logout" in told.value.hint
    assert read(auth_json(tmp_path)) == content


def test_a_context_that_pw_made_itself_is_left_alone(store: Store, tmp_path: Path) -> None:
    content = {"currentIdentity": "work", "identities": {"work": {"server": "h", "token": "t", "oauth": {"x": 1}}}}
    write(pw_credentials(tmp_path), content)
    with pytest.raises(StoreError, match="a context 'work' of its own"):
        store.save(WHO, tokens("1"))
    assert read(pw_credentials(tmp_path)) == content
    assert store.contexts() == ()


def test_a_new_sign_in_without_the_other_programs_takes_the_earlier_one_from_them(store: Store, tmp_path: Path) -> None:
    store.save(WHO, tokens("1"))
    store.save(SignIn(SERVER, "cid_1", "ada", "user", name="work"), tokens("2", grant="h"))
    assert read(auth_json(tmp_path))["orgs"] == read(pw_credentials(tmp_path))["identities"] == {}


def test_a_newer_set_that_the_other_program_stored_is_taken_over_and_an_older_one_is_not(
    store: Store, tmp_path: Path
) -> None:
    store.save(WHO, tokens("2", later=60))

    def put(theirs: TokenSet) -> None:
        content = read(auth_json(tmp_path))
        content["orgs"]["org_1"]["control_api"] |= {
            "access_token": theirs.access_token.reveal(),
            "refresh_token": (theirs.refresh_token or Secret("")).reveal(),
            "access_token_expires_at": theirs.expires_at,
            "refresh_token_expires_at": theirs.refresh_expires_at,
        }
        write(auth_json(tmp_path), content)

    put(tokens("1"))
    assert store.adopt(store.context("work")).refresh_token == Secret("pwr_2")
    put(tokens("3", later=120))
    adopted = store.adopt(store.context("work"))
    assert (adopted.refresh_token, adopted.access_token) == (Secret("pwr_3"), tokens("3").access_token)
    put(tokens("4", later=180, grant="another"))
    assert store.adopt(store.context("work")).refresh_token == Secret("pwr_3"), "another sign-in is none of ours"
    store.renew(store.context("work"), tokens("5", later=240))
    store.forget("work")
    assert read(auth_json(tmp_path))["orgs"]["org_1"]["control_api"]["refresh_token"] == "pwr_4", "and is left alone"


def test_in_the_keyring_the_other_programs_plain_text_is_announced(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", environ=environment(tmp_path, "fake_keyrings.InFile"))
    assert store.save(WHO, tokens("1")).kept_in == "keyring"
    assert store.notices == [f"parallel-cli keeps the sign-in as plain text in {auth_json(tmp_path)}."]
    assert read(auth_json(tmp_path))["orgs"]["org_1"]["control_api"]["refresh_token"] == "pwr_1"


# The programs themselves, at a real server


@pytest.fixture
def shared(
    tmp_path: Path, proxy: RecordingProxy, sign_in: Callable[[], tuple[str, TokenSet]]
) -> tuple[Store, ParallelCli]:
    """Give a store and a parallel-cli that share one sign-in."""
    client_id, got = sign_in()
    store = Store.open(tmp_path / "store", environ=environment(tmp_path))
    store.save(SignIn(proxy.url, client_id, ADA.username, "user", name="work", also=BOTH), got)
    return store, ParallelCli(tmp_path, proxy.url)


def test_parallel_cli_and_we_renew_one_sign_in_in_turns_for_a_long_time(
    shared: tuple[Store, ParallelCli], tmp_path: Path, proxy: RecordingProxy
) -> None:
    store, cli = shared
    credential = StoredCredential(store, "work", refresh)
    assert cli.run("balance", "--json", "get").returncode == 0
    for _ in range(2):
        for _ in range(3):
            cli.age_access_token()
            assert cli.run("balance", "--json", "get").returncode == 0
        force_expiry(tmp_path / "store", "work")
        credential.authorization()
        assert cli.stored_tokens()["refresh_token"] == kept(tmp_path / "store", "work")["refresh_token"]
        for _ in range(3):
            force_expiry(tmp_path / "store", "work")
            credential.authorization()
            assert cli.stored_tokens()["refresh_token"] == kept(tmp_path / "store", "work")["refresh_token"]
    answers = [exchange.answer.status for exchange in proxy.seen("POST", TOKEN_PATH)]
    assert set(answers) == {200}
    assert len(answers) >= 12


def test_a_sign_out_here_signs_parallel_cli_out_too(shared: tuple[Store, ParallelCli], tmp_path: Path) -> None:
    store, cli = shared
    sign_out(store, "work", over_the_line)
    assert json.loads(cli.run("auth", "--json").stdout)["has_control_api_tokens"] is False
    assert cli.run("balance", "--json", "get").returncode == 3
    assert read(pw_credentials(tmp_path))["identities"] == {}


def test_a_sign_out_by_parallel_cli_ends_the_sign_in_here_and_its_file_is_not_made_again(
    shared: tuple[Store, ParallelCli], tmp_path: Path, shared_server: KeysteadServer
) -> None:
    store, cli = shared
    assert cli.run("logout", "--json").returncode == 0
    force_expiry(tmp_path / "store", "work")
    with pytest.raises(SignInEnded):
        StoredCredential(store, "work", over_httpx2).authorization()
    assert not auth_json(tmp_path).exists()


def test_the_activate_sdk_asks_the_command_line_it_is_given_for_tokens(
    shared: tuple[Store, ParallelCli], tmp_path: Path
) -> None:
    command = tmp_path / "command"
    answer = {"access_token": "from-the-command-line", "token_type": "Bearer", "expires_in": 600}
    command.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n", encoding="utf-8")
    command.chmod(0o755)
    program = (
        "import sys; from parallelworks_client import Client;"
        "auth = Client.from_credential_config(cli_command=sys.argv[1])._config.auth; print(auth.context, auth.token())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(command)],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=60,
        check=True,
    )
    assert told.stdout.split() == ["work", "from-the-command-line"]
