"""The store's file: never torn, private, mended, and never replaced when nobody can make sense of it (promise R11)."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keystead.client._errors import SignInRequired, StoreError, UsageError
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._store import SignIn, Store
from keystead.client._store.file import read_object, write_object
from keystead.client._store.lock import FileLock, held, system_lock
from keystead.kernel.secrets import Secret
from tests.client.store.conftest import environment
from tests.client.store.refreshing import DAY, OffsetClock, force_expiry, no_locks

ROOT = Path(__file__).parents[3]
NOW = 1_800_000_000
WHO = SignIn("https://auth.example.com", "client", "ada", "user-1")
NAME = "ada@auth.example.com"


def tokens(mark: str = "1", expires_at: int = NOW + 600) -> TokenSet:
    """Return tokens that carry a mark."""
    return TokenSet(
        access_token=Secret(f"access-{mark}"),
        expires_at=expires_at,
        refresh_token=Secret(f"pwr_{mark}"),
        refresh_expires_at=NOW + 7 * DAY,
        authorization_expires_at=NOW + 90 * DAY,
        scopes=("keys:read", "apps:read"),
        organization_id="org-1",
        organization="Acme",
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Give the path of a store that is not there yet."""
    return tmp_path / "config" / "keystead"


@pytest.fixture
def store(directory: Path, tmp_path: Path) -> Store:
    """Give a store in which ada is signed in."""
    opened = Store.open(directory, environ=environment(tmp_path))
    opened.save(WHO, tokens())
    opened.notices.clear()
    return opened


def modes(directory: Path) -> set[str]:
    """Return the modes of all files in a directory."""
    return {oct(stat.S_IMODE(path.stat().st_mode)) for path in directory.iterdir()}


def test_thirty_two_writers_that_are_killed_at_random_never_tear_the_file_nor_lose_a_change(tmp_path: Path) -> None:
    path = tmp_path / "store" / "credentials.json"
    command = [sys.executable, "-m", "tests.client.store.writers", str(tmp_path), "32", "400", "201"]
    looks = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as writers:
        while writers.poll() is None:
            try:
                raw, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
            except FileNotFoundError:
                assert looks == 0, "the file is never missing"
                continue
            content = json.loads(raw)
            looks += 1
            assert mode == 0o600
            for context in content["contexts"].values():
                number = context["refresh_token_expires_at"]
                assert int(context["access_token"][:8]) == number == int(context["refresh_token"][:8])
        out, err = writers.communicate()
    assert err == ""
    report = json.loads(out)
    assert (report["lost"], report["contexts"]) == ([], 32)
    assert report["changes"] > 200
    assert looks > 100


def test_a_sign_in_is_kept_as_the_format_says(store: Store, directory: Path) -> None:
    content = json.loads((directory / "credentials.json").read_text(encoding="utf-8"))
    issued = content["contexts"][NAME].pop("access_token_issued_at")
    assert abs(issued - store.clock.now()) < 10
    assert content == {
        "version": 1,
        "current": NAME,
        "clients": {},
        "contexts": {
            NAME: {
                "server": "https://auth.example.com",
                "client_id": "client",
                "username": "ada",
                "user_id": "user-1",
                "organization_id": "org-1",
                "organization": "Acme",
                "scopes": ["keys:read", "apps:read"],
                "access_token": "access-1",
                "access_token_expires_at": NOW + 600,
                "refresh_token": "pwr_1",
                "store": "file",
                "refresh_token_expires_at": NOW + 7 * DAY,
                "authorization_expires_at": NOW + 90 * DAY,
                "also": [],
            }
        },
        "pending": {},
    }


def test_everything_is_for_its_owner_alone_whatever_the_umask(directory: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Store.open(directory, environ=environment(tmp_path)).save(WHO, tokens())
    finally:
        os.umask(before)
    assert modes(directory) == {"0o600"}
    assert {stat.S_IMODE(one.stat().st_mode) for one in (directory, directory.parent)} == {0o700}


def test_a_file_that_others_could_read_is_closed_and_that_is_said(
    store: Store, directory: Path, tmp_path: Path
) -> None:
    (directory / "credentials.json").chmod(0o644)
    directory.chmod(0o755)
    again = Store.open(directory, environ=environment(tmp_path))
    assert modes(directory) == {"0o600"}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [notice for notice in again.notices if "credentials.json (mode 0644)" in notice]
    assert [notice for notice in again.notices if f"{directory} (mode 0755)" in notice]
    assert Store.open(directory, environ=environment(tmp_path)).notices == []


def test_a_directory_that_holds_other_things_is_not_changed(store: Store, directory: Path, tmp_path: Path) -> None:
    (directory / "somebody-elses").touch()
    directory.chmod(0o777)
    again = Store.open(directory, environ=environment(tmp_path))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o777
    assert [notice for notice in again.notices if "Others can put files into" in notice]


@pytest.mark.parametrize(
    "content", ["", "{", '{"version": 1, "contexts"', "[]", "null", "\x00\x01", '{"version": 1, "contexts": []}', "{}"]
)
def test_a_damaged_file_is_named_and_left_as_it_is(store: Store, directory: Path, content: str) -> None:
    path = directory / "credentials.json"
    path.write_text(content, encoding="utf-8")
    for use in (store.contexts, lambda: store.save(WHO, tokens()), lambda: store.select(NAME), store.prepare):
        with pytest.raises(StoreError, match="is damaged") as told:
            use()
        assert str(path) in str(told.value)
        assert "mv " in told.value.hint
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("members", [{"server": 1}, {"access_token": None}, {"scopes": 3}, {"refresh_token": []}])
def test_a_damaged_context_is_told_and_left_as_it_is(store: Store, directory: Path, members: dict[str, Any]) -> None:
    path = directory / "credentials.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["contexts"][NAME].update(members)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(StoreError, match="is damaged"):
        store.context(NAME)
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_a_file_of_a_newer_version_is_left_as_it_is(store: Store, directory: Path) -> None:
    path = directory / "credentials.json"
    path.write_text('{"version": 2}', encoding="utf-8")
    with pytest.raises(StoreError, match="newer version"):
        store.save(WHO, tokens())
    assert path.read_text(encoding="utf-8") == '{"version": 2}'


def test_members_that_nobody_knows_are_kept(store: Store, directory: Path) -> None:
    path = directory / "credentials.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["later"] = {"a": 1}
    content["contexts"][NAME]["later"] = [1, 2]
    path.write_text(json.dumps(content), encoding="utf-8")
    store.renew(store.context(NAME), tokens("2"))
    store.save(WHO, tokens("3"))
    after = json.loads(path.read_text(encoding="utf-8"))
    assert (after["later"], after["contexts"][NAME]["later"]) == ({"a": 1}, [1, 2])
    assert after["contexts"][NAME]["refresh_token"] == "pwr_3"


def test_a_link_stays_a_link_and_the_file_behind_it_is_replaced(store: Store, directory: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (directory / "credentials.json").rename(elsewhere / "kept.json")
    (directory / "credentials.json").symlink_to(elsewhere / "kept.json")
    store.save(WHO, tokens("2"))
    assert (directory / "credentials.json").is_symlink()
    assert "pwr_2" in (elsewhere / "kept.json").read_text(encoding="utf-8")
    assert modes(elsewhere) == {"0o600"}


def test_a_link_to_nothing_is_told_and_not_followed(store: Store, directory: Path) -> None:
    path = directory / "credentials.json"
    path.unlink()
    path.symlink_to(directory / "gone")
    with pytest.raises(StoreError, match="link to a file that is not there"):
        store.save(WHO, tokens())
    assert not (directory / "gone").exists()


@pytest.mark.parametrize("place", ["file/keystead", "/proc/keystead"])
def test_a_place_where_nothing_can_be_written_is_a_clear_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / place
    store = Store.open(directory, environ=environment(tmp_path))
    with pytest.raises(StoreError, match="cannot be") as told:
        store.prepare()
    assert str(directory) in str(told.value)
    assert "KEYSTEAD_CONFIG_DIR" in told.value.hint


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Give a directory that other users can reach."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(("how", "reason"), [("full", "too large"), ("read-only", "denied")])
def test_a_directory_that_is_full_or_read_only_spends_no_token_and_loses_nothing(
    open_place: Path, how: str, reason: str
) -> None:
    directory = open_place / "store"
    store = Store.open(directory, environ=environment(open_place))
    store.save(WHO, tokens())
    force_expiry(directory, NAME)
    before = (directory / "credentials.json").read_bytes()
    command = [sys.executable, "-m", "tests.client.store.alone", str(directory), NAME, how]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    report = json.loads(done.stdout)
    assert (report["header"], report["error"], report["asked"]) == (False, "StoreError", 0)
    assert reason in report["sentence"].lower()
    assert str(directory) in report["sentence"]
    assert (directory / "credentials.json").read_bytes() == before


def test_what_a_killed_writer_left_is_removed_after_a_minute(store: Store, directory: Path) -> None:
    old, new = directory / ".credentials.json.1.aa.tmp", directory / ".credentials.json.2.bb.tmp"
    old.touch(mode=0o600)
    new.touch(mode=0o600)
    os.utime(old, (new.stat().st_mtime - 120,) * 2)
    store.save(WHO, tokens("2"))
    assert (old.exists(), new.exists()) == (False, True)


def test_a_write_that_fails_half_way_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_object(path, {"a": 1})
    with pytest.raises(TypeError):
        write_object(path, {"a": object()})
    assert read_object(path) == {"a": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["file.json"]


def test_a_lock_that_another_keeps_is_a_clear_error_in_time(tmp_path: Path) -> None:
    first = FileLock(tmp_path / "lock")
    assert first.take()
    with pytest.raises(StoreError, match=r"kept .* locked for 0\.2 seconds"), held(tmp_path / "lock", system_lock, 0.2):
        pass
    first.release()
    with held(tmp_path / "lock", system_lock, 0.2):
        assert not FileLock(tmp_path / "lock").take()


def test_where_nothing_can_be_locked_the_store_works_all_the_same(directory: Path, tmp_path: Path) -> None:
    store = Store.open(directory, environ=environment(tmp_path), lock=no_locks)
    store.save(WHO, tokens())
    store.renew(store.context(NAME), tokens("2"))
    refresh_token = store.context(NAME).refresh_token
    assert refresh_token is not None
    assert refresh_token.reveal() == "pwr_2"


def test_older_tokens_never_replace_newer_ones(store: Store) -> None:
    seen = store.context(NAME)
    assert store.renew(seen, tokens("2")) is not None
    assert store.renew(seen, tokens("late")) is None
    assert store.context(NAME).access_token == Secret("access-2")


def test_older_tokens_never_replace_newer_ones_that_come_at_the_same_moment(
    store: Store, directory: Path, tmp_path: Path
) -> None:
    seen = store.context(NAME)

    def late(descriptor: int) -> None:
        """Get the lock just after another process has stored its tokens and given it back."""
        store.renew(seen, tokens("2"))
        system_lock(descriptor)

    slow = Store.open(directory, environ=environment(tmp_path), lock=late)
    assert slow.renew(seen, tokens("late")) is None
    assert store.context(NAME).access_token == Secret("access-2")


def test_the_current_context_is_the_last_one_signed_in_until_another_is_selected(store: Store) -> None:
    other = SignIn("http://127.0.0.1:8080", "c", "ada", "u")
    store.save(other, tokens())
    assert store.current() == store.context().name == "ada@127.0.0.1:8080"
    store.select(NAME)
    assert store.context().name == NAME
    store.save(SignIn("https://b.example", "c", "bob", "u", name="bob"), tokens(), select=False)
    assert store.context().name == NAME
    assert [context.name for context in store.contexts()] == [NAME, "ada@127.0.0.1:8080", "bob"]
    with pytest.raises(SignInRequired):
        store.select("nobody")


def test_forgetting_the_current_context_chooses_no_other(store: Store) -> None:
    store.save(SignIn("https://b.example", "c", "bob", "u", name="bob"), tokens())
    store.forget("bob")
    assert store.current() is None
    with pytest.raises(SignInRequired, match="No sign-in is chosen") as told:
        store.context()
    assert NAME in told.value.hint


def test_nobody_is_signed_in_where_there_is_no_file_and_looking_makes_none(directory: Path, tmp_path: Path) -> None:
    store = Store.open(directory, environ=environment(tmp_path))
    assert store.contexts() == ()
    with pytest.raises(SignInRequired, match="Nobody is signed in"):
        store.context()
    assert not directory.exists()


def test_the_client_id_of_each_server_is_remembered(store: Store, directory: Path) -> None:
    store.remember_client("https://auth.example.com", "kc_1")
    assert store.client_id("https://auth.example.com") == "kc_1"
    assert store.client_id("https://other.example.com") is None
    store.remember_client("https://auth.example.com", None)
    assert store.client_id("https://auth.example.com") is None


def test_a_sign_in_that_waits_is_found_by_its_id_and_dropped(store: Store) -> None:
    code = DeviceCode("BCDF-GHJK", "https://a/d", "https://a/d?c", Secret("pwd_1"), NOW + 600, 5.0, "client")
    pending = store.keep_pending("https://a", code, name="work", also=["pw"])
    assert store.pending(pending.id) == pending
    assert (pending.code, pending.name, pending.also) == (code, "work", ("pw",))
    store.drop_pending(pending.id)
    with pytest.raises(UsageError, match="waits here"):
        store.pending(pending.id)


def test_sign_ins_that_ran_out_more_than_a_day_ago_are_forgotten(directory: Path, tmp_path: Path) -> None:
    clock = OffsetClock()
    store = Store.open(directory, environ=environment(tmp_path), clock=clock)

    def wait() -> str:
        code = DeviceCode("BCDF-GHJK", "https://a/d", "https://a/d", Secret("pwd_1"), clock.now() + 600, 5.0, "client")
        return store.keep_pending("https://a", code).id

    first = wait()
    clock.offset = 3_600
    second = wait()
    assert [store.pending(id).id for id in (first, second)] == [first, second]
    clock.offset = DAY + 700
    third = wait()
    assert [store.pending(id).id for id in (second, third)] == [second, third]
    with pytest.raises(UsageError, match="waits here"):
        store.pending(first)


def test_no_secret_is_in_what_is_shown_of_a_context(store: Store) -> None:
    shown = f"{store.context()!r} {store.context()}"
    assert "access-1" not in shown
    assert "pwr_1" not in shown


def test_where_a_context_is_kept_is_told_with_the_path(store: Store, directory: Path) -> None:
    assert store.where(NAME) == f"{directory}/credentials.json, which only you can read"
