"""Passwords: what may be one, that it is checked as it was typed, and that hashing starves nobody (W5, W6)."""

import asyncio
import threading
import time
import unicodedata
from collections.abc import Iterator

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.accounts.common_passwords import VERY_COMMON
from keystead.accounts.passwords import Cost, PasswordHasher, Verdict
from keystead.accounts.rules import check_new_password
from keystead.kernel.problems import InvalidParameters, RateLimited
from keystead.kernel.secrets import Secret
from tests.accounts.house import CHEAP, PASSWORD, WRONG

SLOW = Cost(memory=16_384, passes=2)


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    """Give one that hashes one password at a time and lets two wait."""
    made = PasswordHasher(parallel=1, waiting=2, cost=SLOW)
    yield made
    made.close()


def check(text: str) -> str:
    """Return the password that is kept for ``text``."""
    return check_new_password(Secret(text), shortest=8, username="ada.lovelace", email="countess@example.com").reveal()


def hard_to_guess(text: str) -> bool:
    """Tell whether a text is none of those that are refused; Hypothesis tries words that it finds in our own code."""
    plain = unicodedata.normalize("NFC", text).strip().casefold()
    return len(set(plain)) > 2 and plain not in VERY_COMMON | {"ada.lovelace", "countess", "countess@example.com"}


@given(st.text(min_size=8, max_size=64, alphabet=st.characters(codec="utf-8")).filter(hard_to_guess))
def test_a_password_may_hold_any_characters_in_any_mixture(text: str) -> None:
    normal = unicodedata.normalize("NFC", text)
    if len(normal) >= 8:
        assert check(text) == normal


@pytest.mark.parametrize("text", ["", "short", "x1y2z3w", "ab" * 513])
def test_a_password_has_eight_to_1024_characters(text: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        check(text)
    assert refusal.value.detail == "A password has 8 to 1024 characters."


@pytest.mark.parametrize("text", ["ada.lovelace", "ADA.Lovelace", "countess@example.com", "countess"])
def test_the_user_name_and_the_email_address_are_no_passwords(text: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        check(text)
    assert refusal.value.detail == "The password must not be the user name or the e-mail address."


@pytest.mark.parametrize("text", ["password", "Password1", "12345678", "QWERTYUIOP", "aaaaaaaaaaaa", "iloveyou "])
def test_very_common_passwords_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        check(text)
    assert "among the first that anybody tries" in refusal.value.detail


async def test_a_right_password_is_right_and_any_other_is_wrong(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)
    assert await hasher.verify(stored, PASSWORD) is Verdict.RIGHT
    assert await hasher.verify(stored, WRONG) is Verdict.WRONG
    assert await hasher.verify(stored, Secret(PASSWORD.reveal().upper())) is Verdict.WRONG
    assert await hasher.verify(stored, Secret(PASSWORD.reveal() + " ")) is Verdict.WRONG


async def test_composed_and_decomposed_letters_are_the_same_password(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(Secret("Z\u00fcrich liegt am See"))
    assert await hasher.verify(stored, Secret("Zu\u0308rich liegt am See")) is Verdict.RIGHT


async def test_a_stored_hash_is_not_accepted_as_the_password(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)
    assert await hasher.verify(stored, Secret(stored)) is Verdict.WRONG
    assert PASSWORD.reveal() not in stored


async def test_a_hash_that_cannot_be_read_lets_nobody_in(hasher: PasswordHasher) -> None:
    assert await hasher.verify("not a hash", Secret("not a hash")) is Verdict.WRONG


async def test_a_hash_of_another_cost_is_right_and_told_to_be_old(hasher: PasswordHasher) -> None:
    older = PasswordHasher(parallel=1, waiting=0, cost=CHEAP)
    stored = await older.hash(PASSWORD)
    older.close()
    assert await hasher.verify(stored, PASSWORD) is Verdict.RIGHT_AND_OLD


def test_the_standard_cost_is_at_least_what_owasp_asks_for() -> None:
    standard = argon2.extract_parameters(_standard_hash())
    assert standard.type is argon2.Type.ID
    assert standard.memory_cost >= 19 * 1024
    assert standard.time_cost >= 2


def _standard_hash() -> str:
    made = PasswordHasher(parallel=1, waiting=0)
    try:
        return asyncio.run(made.hash(PASSWORD))
    finally:
        made.close()


async def test_without_a_hash_the_same_work_is_done(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)

    async def quickest(against: str | None) -> float:
        times = []
        for _ in range(7):
            began = time.process_time()
            assert await hasher.verify(against, WRONG) is Verdict.WRONG
            times.append(time.process_time() - began)
        return min(times)

    known, unknown = await quickest(stored), await quickest(None)
    assert 0.5 < unknown / known < 2


async def test_so_many_are_hashed_so_many_wait_and_the_rest_are_told_when_to_come_back(hasher: PasswordHasher) -> None:
    attempts = [hasher.verify(None, WRONG) for _ in range(10)]
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    assert answers[:3] == [Verdict.WRONG] * 3
    refused = [answer for answer in answers if isinstance(answer, RateLimited)]
    assert len(refused) == 7
    assert {problem.headers["Retry-After"] for problem in refused} == {"1"}
    assert await hasher.verify(None, WRONG) is Verdict.WRONG


async def test_a_known_device_gets_in_through_a_crowd_of_strangers_and_before_them(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)
    order: list[str] = []

    async def attempt(name: str, *, known: bool) -> None:
        await hasher.verify(stored, PASSWORD, known=known)
        order.append(name)

    strangers = [attempt(f"stranger {number}", known=False) for number in range(10)]
    await asyncio.gather(*strangers, attempt("known", known=True), return_exceptions=True)
    assert order == ["stranger 0", "known", "stranger 1", "stranger 2"]


async def test_who_gives_up_waiting_frees_the_place_and_who_leaves_early_does_not_double_the_work(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    verify = argon2.PasswordHasher.verify

    def held(hashing: argon2.PasswordHasher, stored: str, text: str) -> bool:
        may_end.wait(30)
        return verify(hashing, stored, text)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", held)
    running, waiting = (asyncio.create_task(hasher.verify(None, WRONG)) for _ in range(2))
    await asyncio.sleep(0)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    later = [asyncio.create_task(hasher.verify(None, WRONG)) for _ in range(4)]
    await asyncio.wait(later, return_when=asyncio.FIRST_COMPLETED)
    may_end.set()
    answers = await asyncio.gather(*later, return_exceptions=True)
    # The abandoned hash still has the one thread: two may wait for it, and two more are refused.
    assert answers[:2] == [Verdict.WRONG] * 2
    assert [type(answer) for answer in answers[2:]] == [RateLimited] * 2
    assert await hasher.verify(None, WRONG) is Verdict.WRONG


async def test_the_event_loop_goes_on_while_passwords_are_hashed(hasher: PasswordHasher) -> None:
    turns = [0] * 5  # of several, because a busy machine may let the loop stand still for as long as one takes
    for number in range(len(turns)):
        hashing = asyncio.create_task(hasher.verify(None, WRONG))
        while not hashing.done():
            await asyncio.sleep(0)
            turns[number] += 1
    assert max(turns) > 50
