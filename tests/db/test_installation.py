"""The master secret: wrong, short or missing it stops the start, and exchanging it can be interrupted (promise J4)."""

import contextlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.db.installation import DATABASE_FILE, Keys, open_installation, rotate_master_secret
from keystead.db.master_secret import MASTER_SECRET_FILE, InstallationError
from keystead.kernel.secrets import Secret
from tests.db.test_migrations import interrupted
from tests.support.clock import ManualClock

CLOCK = ManualClock()
OLD, NEW = Secret("o" * 40), Secret("n" * 40)


def dump(directory: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(directory / DATABASE_FILE)) as connection:
        return list(connection.iterdump())


def secret_file(directory: Path) -> Path:
    return directory / MASTER_SECRET_FILE


def replaced(text: bytes) -> Callable[[Path], None]:
    return lambda directory: void(secret_file(directory).write_bytes(text))


def void(_: object) -> None:
    return None


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lambda directory: secret_file(directory).unlink(), "is missing"),
    "empty": (replaced(b""), "too short"),
    "short": (replaced(b"x" * 31), "too short"),
    "another": (replaced(b"x" * 43), "is not the one"),
    "cut": (
        lambda directory: void(secret_file(directory).write_text(secret_file(directory).read_text()[:-2])),
        "not the one",
    ),
    "no text": (replaced(b"\xff\xfe" * 40), "cannot be read"),
}


def test_the_first_start_makes_a_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    open_installation(tmp_path / "data", None, CLOCK)
    secret = secret_file(tmp_path / "data")
    assert len(secret.read_text().strip()) >= 43
    for path in (secret, tmp_path / "data" / DATABASE_FILE):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_the_same_installation_gives_the_same_keys_at_every_start(tmp_path: Path) -> None:
    first, second = (open_installation(tmp_path, None, CLOCK) for _ in range(2))
    assert first == second
    values = [getattr(first, name) for name in Keys.__slots__]
    assert len(set(values)) == len(values) == 7
    assert {len(value) for value in values} == {32}


def test_two_installations_share_no_key(tmp_path: Path) -> None:
    one, other = (open_installation(tmp_path / name, OLD, CLOCK) for name in ("a", "b"))
    assert not {getattr(one, name) for name in Keys.__slots__} & {getattr(other, name) for name in Keys.__slots__}


@pytest.mark.parametrize("how", list(SPOILED))
def test_a_spoiled_master_secret_stops_the_start_with_one_sentence_and_changes_nothing(
    tmp_path: Path, how: str
) -> None:
    spoil, sentence = SPOILED[how]
    open_installation(tmp_path, None, CLOCK)
    spoil(tmp_path)
    before, names = dump(tmp_path), sorted(file.name for file in tmp_path.glob("master*"))
    with pytest.raises(InstallationError, match=sentence) as refusal:
        open_installation(tmp_path, None, CLOCK)
    assert "\n" not in str(refusal.value)
    assert dump(tmp_path) == before
    assert sorted(file.name for file in tmp_path.glob("master*")) == names


@pytest.mark.parametrize("given", [Secret("x" * 40), Secret("x" * 31), Secret("")])
def test_a_wrong_or_short_secret_from_the_settings_stops_the_start_and_changes_nothing(
    tmp_path: Path, given: Secret
) -> None:
    open_installation(tmp_path, OLD, CLOCK)
    before = dump(tmp_path)
    with pytest.raises(InstallationError) as refusal:
        open_installation(tmp_path, given, CLOCK)
    assert "\n" not in str(refusal.value)
    assert dump(tmp_path) == before
    assert not secret_file(tmp_path).exists()


def test_a_short_secret_starts_no_installation(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="too short"):
        open_installation(tmp_path, Secret("x" * 31), CLOCK)
    assert open_installation(tmp_path, OLD, CLOCK) == open_installation(tmp_path, OLD, CLOCK)


def test_a_given_secret_is_never_written_down(tmp_path: Path) -> None:
    open_installation(tmp_path, OLD, CLOCK)
    for file in tmp_path.iterdir():
        assert OLD.reveal().encode() not in file.read_bytes()
    assert not secret_file(tmp_path).exists()


def test_exchanging_the_secret_changes_no_key_and_ends_the_old_secret(tmp_path: Path) -> None:
    keys = open_installation(tmp_path, OLD, CLOCK)
    rotate_master_secret(tmp_path, OLD, NEW)
    assert open_installation(tmp_path, NEW, CLOCK) == keys
    with pytest.raises(InstallationError, match="is not the one"):
        open_installation(tmp_path, OLD, CLOCK)


def test_exchanging_the_secret_in_the_file_makes_a_new_one_there(tmp_path: Path) -> None:
    keys = open_installation(tmp_path, None, CLOCK)
    before = secret_file(tmp_path).read_text()
    rotate_master_secret(tmp_path, None, None)
    assert secret_file(tmp_path).read_text() != before
    assert stat.S_IMODE(secret_file(tmp_path).stat().st_mode) == 0o600
    assert open_installation(tmp_path, None, CLOCK) == keys


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (Secret("x" * 40), NEW, "is not the one"),
        (OLD, Secret("short"), "too short"),
        (OLD, None, "Give the new master secret"),
        (None, None, "is missing"),
    ],
)
def test_an_exchange_that_is_refused_changes_nothing(
    tmp_path: Path, old: Secret | None, new: Secret | None, sentence: str
) -> None:
    keys = open_installation(tmp_path, OLD, CLOCK)
    with pytest.raises(InstallationError, match=sentence):
        rotate_master_secret(tmp_path, old, new)
    assert open_installation(tmp_path, OLD, CLOCK) == keys


def test_there_is_nothing_to_exchange_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="no database"):
        rotate_master_secret(tmp_path, None, None)
    assert list(tmp_path.iterdir()) == []


def test_an_exchange_that_is_killed_at_any_line_opens_afterwards(tmp_path: Path) -> None:
    attempts = interrupted("rotation", tmp_path / "work")
    assert len(attempts) > 40
    assert [attempt["done"] for attempt in attempts] == [False] * (len(attempts) - 1) + [True]
    assert {attempt["same"] for attempt in attempts} == {True}
    assert all(attempt["left"] == [MASTER_SECRET_FILE] for attempt in attempts)


def test_a_first_start_that_is_killed_at_any_line_starts_afterwards(tmp_path: Path) -> None:
    attempts = interrupted("first-start", tmp_path / "work")
    assert len(attempts) > 30
    assert [attempt["done"] for attempt in attempts] == [False] * (len(attempts) - 1) + [True]
    assert {attempt["same"] for attempt in attempts} == {True}
    assert all(attempt["left"] == [MASTER_SECRET_FILE] for attempt in attempts)


def test_the_keys_of_an_installation_are_masked_wherever_they_are_printed(tmp_path: Path) -> None:
    keys = open_installation(tmp_path, None, CLOCK)
    shown = f"{keys} {keys!r}"
    assert all(
        getattr(keys, name).hex() not in shown and repr(getattr(keys, name)) not in shown for name in Keys.__slots__
    )
