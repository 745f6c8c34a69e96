"""The keyring: absent, locked, hung, and one that works; asked within a limit of time (promises C1, C2, C3)."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.client._credentials import StoredCredential
from keystead.client._errors import KeyringUnavailable
from keystead.client._models import TokenSet
from keystead.client._store import SignIn, Store
from keystead.kernel.secrets import Secret
from tests.client.store.conftest import KEYRINGS, environment
from tests.client.store.refreshing import force_expiry, kept, refresh, rewrite
from tests.client.store.test_file import NAME, WHO, tokens
from tests.support.proxy import RecordingProxy
from tests.support.server import ADA

MOST_SECONDS = 5.0
FAILING = {
    "absent": "the package 'keyring' is not installed",
    "keyring.backends.fail.Keyring": "there is none",
    "keyring.backends.null.Keyring": "keeps nothing",
    "fake_keyrings.Forgetful": "keeps nothing",
    "fake_keyrings.Locked": "it is locked",
    "fake_keyrings.Hanging": "did not answer within 2 seconds",
    "fake_keyrings.Talkative": "it failed (RuntimeError)",
    "fake_keyrings.NoSuchThing": "it failed (AttributeError)",
}
WORKING = "fake_keyrings.InFile"


def with_keyring(home: Path, keyring: str) -> dict[str, str]:
    """Return the environment of a program with this keyring."""
    if keyring == "absent":
        return environment(home, PYTHONPATH=f"{KEYRINGS / 'absent'}")
    return environment(home, keyring)


def in_keyring(home: Path) -> dict[str, str]:
    """Return what the working keyring holds."""
    found: dict[str, str] = json.loads((home / "keyring.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(("keyring", "why"), FAILING.items())
def test_a_keyring_that_cannot_be_used_is_told_and_the_file_takes_its_place_within_five_seconds(
    tmp_path: Path, keyring: str, why: str
) -> None:
    store = Store.open(tmp_path / "store", environ=with_keyring(tmp_path, keyring))
    began = time.monotonic()
    store.prepare()
    context = store.save(WHO, tokens())
    assert time.monotonic() - began < MOST_SECONDS
    assert context.kept_in == "file"
    [notice] = store.notices
    assert why in notice
    assert str(tmp_path / "store" / "credentials.json") in notice
    assert "pwr_1" not in notice
    assert kept(tmp_path / "store", NAME)["refresh_token"] == "pwr_1"


@pytest.mark.parametrize(("keyring", "why"), FAILING.items())
def test_a_keyring_that_is_required_and_cannot_be_used_is_an_error_before_anybody_approves_anything(
    tmp_path: Path, keyring: str, why: str
) -> None:
    store = Store.open(tmp_path / "store", require_keyring=True, environ=with_keyring(tmp_path, keyring))
    began = time.monotonic()
    with pytest.raises(KeyringUnavailable) as told:
        store.prepare()
    with pytest.raises(KeyringUnavailable):
        store.save(WHO, tokens())
    assert time.monotonic() - began < MOST_SECONDS
    assert why in str(told.value)
    assert ("pip install" in told.value.hint) == (keyring == "absent")
    assert not (tmp_path / "store" / "credentials.json").exists()


def test_a_keyring_that_hangs_after_the_probe_holds_a_sign_in_up_for_five_seconds_at_most(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", environ=environment(tmp_path, "fake_keyrings.HangingAtWrite"))
    began = time.monotonic()
    assert store.save(WHO, tokens()).kept_in == "file"
    assert time.monotonic() - began < MOST_SECONDS
    assert "did not answer within 3 seconds" in store.notices[0]


def test_a_keyring_that_works_holds_the_refresh_token_and_nothing_else(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", require_keyring=True, environ=environment(tmp_path, WORKING))
    context = store.save(WHO, tokens())
    assert in_keyring(tmp_path) == {f"keystead {NAME} https://auth.example.com": "pwr_1"}
    stored = kept(tmp_path / "store", NAME)
    assert (stored["store"], "refresh_token" in stored) == ("keyring", False)
    assert store.notices == []
    assert store.refresh_token(context) == Secret("pwr_1")
    assert store.where(NAME).startswith("the keyring of this system")


def test_older_tokens_never_replace_newer_ones_in_the_keyring(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", environ=environment(tmp_path, WORKING))
    seen = store.save(WHO, tokens())
    assert store.renew(seen, tokens("2")) is not None
    assert store.renew(seen, tokens("late")) is None
    assert list(in_keyring(tmp_path).values()) == ["pwr_2"]


def test_an_earlier_sign_in_leaves_nothing_in_the_keyring(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", environ=environment(tmp_path, WORKING))
    store.save(SignIn("https://old.example", "c", "ada", "u", name=NAME), tokens("old"))
    store.save(WHO, tokens())
    assert list(in_keyring(tmp_path).values()) == ["pwr_1"]
    store.forget(NAME)
    assert in_keyring(tmp_path) == {}
    assert store.contexts() == ()


@pytest.fixture
def keyring_store(
    tmp_path: Path, proxy: RecordingProxy, sign_in: Callable[[], tuple[str, TokenSet]]
) -> Callable[[str], Store]:
    """Give a function that opens a store with any keyring; ada is signed in, with her token in the one that works."""
    client_id, got = sign_in()
    Store.open(tmp_path / "store", environ=environment(tmp_path, WORKING)).save(
        SignIn(proxy.url, client_id, ADA.username, "user", name="work"), got
    )
    return lambda keyring: Store.open(tmp_path / "store", environ=environment(tmp_path, keyring))


def test_a_sign_in_in_the_keyring_is_renewed_by_one_program_and_used_by_another(
    tmp_path: Path, keyring_store: Callable[[str], Store], proxy: RecordingProxy
) -> None:
    one = StoredCredential(keyring_store(WORKING), "work", refresh)
    other = StoredCredential(keyring_store(WORKING), "work", refresh)
    seen = set()
    for number in range(1, 4):
        force_expiry(tmp_path / "store", "work")
        assert one.authorization() == other.authorization()
        assert len(proxy.exchanges) == number
        [token] = in_keyring(tmp_path).values()
        assert token == json.loads(proxy.exchanges[-1].answer.body)["refresh_token"]
        assert len(token) <= 64
        seen.add(token)
    assert len(seen) == 3
    assert "pwr_" not in (tmp_path / "store" / "credentials.json").read_text(encoding="utf-8")


def test_a_keyring_that_hangs_when_the_token_is_wanted_is_a_clear_error_and_loses_nothing(
    tmp_path: Path, keyring_store: Callable[[str], Store], proxy: RecordingProxy
) -> None:
    force_expiry(tmp_path / "store", "work")
    before = in_keyring(tmp_path)
    began = time.monotonic()
    with pytest.raises(KeyringUnavailable, match="did not answer within 10 seconds") as told:
        StoredCredential(keyring_store("fake_keyrings.HangingAtRead"), "work", refresh).authorization()
    assert time.monotonic() - began < 12
    assert "nothing of it is lost" in str(told.value)
    assert (in_keyring(tmp_path), proxy.exchanges) == (before, [])
    assert StoredCredential(keyring_store(WORKING), "work", refresh).authorization() is not None


def test_while_the_access_token_is_valid_a_keyring_that_is_locked_disturbs_nobody(
    tmp_path: Path, keyring_store: Callable[[str], Store]
) -> None:
    now = int(time.time())
    rewrite(tmp_path / "store", "work", access_token_issued_at=now - 990, access_token_expires_at=now + 10)
    credential = StoredCredential(keyring_store("fake_keyrings.Locked"), "work", refresh)
    assert credential.authorization().reveal() == f"Bearer {kept(tmp_path / 'store', 'work')['access_token']}"


def test_a_keyring_that_cannot_take_the_successor_loses_nothing(
    tmp_path: Path, keyring_store: Callable[[str], Store], proxy: RecordingProxy
) -> None:
    force_expiry(tmp_path / "store", "work")
    store = keyring_store("fake_keyrings.HangingAtWrite")
    assert StoredCredential(store, "work", refresh).authorization() is not None
    assert "still holds the earlier refresh token" in store.notices[0]
    force_expiry(tmp_path / "store", "work")
    assert StoredCredential(keyring_store(WORKING), "work", refresh).authorization() is not None
    lost, repeated = (json.loads(one.answer.body)["refresh_token"] for one in proxy.exchanges)
    assert list(in_keyring(tmp_path).values()) == [repeated] == [lost]


def test_the_secret_reaches_the_keyring_through_a_pipe_and_no_child_is_left(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", environ=environment(tmp_path, "fake_keyrings.HangingAtWrite"))
    store.save(WHO, tokens())
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [command for command in commands if b"keyring_child" in command and str(tmp_path).encode() in command] == []
    assert not [command for command in commands if b"pwr_1" in command]
