"""Identifiers: unique, in their canonical form, and in the order in which they were made."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from keystead.kernel.ids import is_id, new_id


def test_ids_made_within_one_millisecond_sort_in_the_order_in_which_they_were_made() -> None:
    made = [new_id() for _ in range(5_000)]
    assert made == sorted(made)


def test_ids_go_on_in_order_after_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    an_hour_ago = time.time_ns() - 3_600_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ago)
    after = [new_id(), new_id()]
    assert [before, *after] == sorted([before, *after])


def test_an_id_says_when_it_was_made_and_is_of_version_7(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_minute = time.time_ns() // 1_000_000 + 60_000
    monkeypatch.setattr(time, "time_ns", lambda: in_a_minute * 1_000_000 + 999_999)
    monkeypatch.setattr("keystead.kernel.ids._last", 0)
    made = uuid.UUID(new_id())
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, in_a_minute)


def test_ids_made_by_several_threads_at_once_are_all_different() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [made for some in threads.map(lambda _: [new_id() for _ in range(2_000)], range(8)) for made in some]
    assert len(set(made)) == 16_000
    assert all(map(is_id, made))
