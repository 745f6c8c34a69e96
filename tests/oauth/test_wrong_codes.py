"""Guessing user codes: few wrong ones an hour for each account and each address, and a success clears nothing (D6)."""

import asyncio
from collections import Counter

import pytest

from keystead.kernel.problems import RateLimited
from keystead.kernel.scopes import Role
from keystead.oauth.user_codes import new_user_code
from tests.oauth.conftest import Open
from tests.support.installation import ADDRESS, Installation, Person

HOUR = 3_600
ACCOUNT_LIMIT = 10
ADDRESS_LIMIT = 30


async def guess(house: Installation, person: Person | None = None, address: str = ADDRESS) -> str:
    """Try a code that nobody has and tell what came of it."""
    try:
        found = await house.look_up(new_user_code(), person, address)
    except RateLimited:
        return "refused"
    return "wrong" if found is None else "right"


def stranger(name: str) -> Person:
    """Return somebody with an account of their own."""
    return Person(name, Role.MEMBER)


async def test_the_eleventh_wrong_code_of_an_account_within_an_hour_is_refused(house: Installation) -> None:
    tried = [await guess(house, address=f"192.0.2.{n}") for n in range(ACCOUNT_LIMIT + 2)]
    assert tried == ["wrong"] * ACCOUNT_LIMIT + ["refused"] * 2
    assert await guess(house, house.bob) == "wrong"


async def test_the_thirty_first_wrong_code_of_an_address_within_an_hour_is_refused(house: Installation) -> None:
    tried = [await guess(house, stranger(f"account {n}")) for n in range(ADDRESS_LIMIT + 2)]
    assert tried == ["wrong"] * ADDRESS_LIMIT + ["refused"] * 2
    assert await guess(house, house.bob, "198.51.100.1") == "wrong"


async def test_a_right_code_is_refused_too_while_the_account_is_locked(house: Installation) -> None:
    codes = await house.issue(await house.register())
    for _ in range(ACCOUNT_LIMIT):
        await guess(house)
    with pytest.raises(RateLimited) as refused:
        await house.look_up(codes.user_code.reveal())
    assert int(refused.value.headers["Retry-After"]) > 0
    assert await house.look_up(codes.user_code.reveal(), house.bob) is not None


async def test_a_success_clears_nothing(house: Installation) -> None:
    client = await house.register()
    for _ in range(ACCOUNT_LIMIT - 1):
        assert await guess(house) == "wrong"
        assert await house.approve(await house.issue(client))
    assert [await guess(house), await guess(house)] == ["wrong", "refused"]


async def test_looking_at_a_right_code_again_and_again_counts_as_no_guess(house: Installation) -> None:
    codes = await house.issue(await house.register())
    seen = [await house.look_up(codes.user_code.reveal()) for _ in range(ADDRESS_LIMIT + 1)]
    assert None not in seen
    assert await guess(house) == "wrong"


async def test_wrong_codes_in_parallel_over_three_processes_are_counted_exactly(opened: Open) -> None:
    processes = [opened() for _ in range(3)]
    tried = await asyncio.gather(*(guess(processes[n % 3]) for n in range(60)))
    assert Counter(tried) == {"wrong": ACCOUNT_LIMIT, "refused": 50}


async def test_wrong_codes_in_parallel_from_one_address_are_counted_exactly(opened: Open) -> None:
    processes = [opened() for _ in range(3)]
    people = [stranger(f"account {n}") for n in range(20)]
    tried = await asyncio.gather(*(guess(processes[n % 3], people[n % 20]) for n in range(120)))
    assert Counter(tried) == {"wrong": ADDRESS_LIMIT, "refused": 90}


@pytest.mark.parametrize("second", [0, 1, 30, 58, 59])
async def test_in_no_hour_at_all_are_there_more_than_ten_wrong_codes(house: Installation, second: int) -> None:
    house.clock.advance(60 - house.clock.now() % 60 + second)
    began = house.clock.now()
    wrong: list[int] = []
    while house.clock.now() < began + 4 * HOUR:
        while await guess(house) == "wrong":
            wrong.append(house.clock.now())
        house.clock.advance(7)
    most = max(sum(1 for when in wrong if start <= when < start + HOUR) for start in wrong)
    assert most == ACCOUNT_LIMIT
    assert len(wrong) >= 3 * ACCOUNT_LIMIT  # an honest person with bad eyes is let in again


async def test_the_window_slides_so_that_old_wrong_codes_leave_one_by_one(house: Installation) -> None:
    for _ in range(ACCOUNT_LIMIT):
        assert await guess(house) == "wrong"
        house.clock.advance(300)
    house.clock.advance(HOUR - ACCOUNT_LIMIT * 300 + 60)
    assert [await guess(house), await guess(house)] == ["wrong", "refused"]


async def test_whoever_waits_as_long_as_they_are_told_may_try_again(house: Installation) -> None:
    house.clock.advance(47)
    for _ in range(ACCOUNT_LIMIT):
        await guess(house)
        house.clock.advance(13)
    with pytest.raises(RateLimited) as refused:
        await house.look_up(new_user_code())
    house.clock.advance(int(refused.value.headers["Retry-After"]))
    assert await guess(house) == "wrong"
