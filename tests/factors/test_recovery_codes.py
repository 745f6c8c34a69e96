"""Recovery codes: ten with the first factor, each good once, typed as people type."""

import asyncio
import re

import pytest

from keystead.factors.rules import RECOVERY_ALPHABET
from keystead.kernel.problems import Conflict
from tests.factors.authenticator import Authenticator
from tests.factors.desk import Desk
from tests.support.engine import contents


async def test_ten_codes_come_with_the_first_factor_and_none_with_the_next(desk: Desk, phone: Authenticator) -> None:
    _, codes = await desk.add_app(desk.ada)
    assert len({code.reveal() for code in codes}) == 10
    assert await desk.add_passkey(desk.ada, phone) == ()
    assert (await desk.factors.summary(desk.ada)).recovery_codes_left == 10


async def test_a_code_is_easy_to_read(desk: Desk) -> None:
    _, codes = await desk.add_app(desk.ada)
    assert all(re.fullmatch(f"([{RECOVERY_ALPHABET}]{{4}}-){{2}}[{RECOVERY_ALPHABET}]{{4}}", c.reveal()) for c in codes)
    assert not set("01AEIOUL") & set(RECOVERY_ALPHABET)


async def test_each_code_is_good_once(desk: Desk) -> None:
    _, codes = await desk.add_app(desk.ada)
    for left, code in zip(range(9, -1, -1), codes, strict=True):
        assert await desk.use_recovery_code(desk.ada, code.reveal())
        assert not await desk.use_recovery_code(desk.ada, code.reveal())
        assert (await desk.factors.summary(desk.ada)).recovery_codes_left == left
    used = [event for event in await desk.house.events() if event.type == "recovery-code:use"]
    assert [(event.actor_id, event.address) for event in used] == [(desk.ada, "192.0.2.1")] * 10


async def test_of_twenty_that_use_a_code_at_once_one_succeeds(desk: Desk) -> None:
    _, codes = await desk.add_app(desk.ada)
    answers = await asyncio.gather(*(desk.use_recovery_code(desk.ada, codes[0].reveal()) for _ in range(20)))
    assert sorted(answers) == [False] * 19 + [True]
    assert (await desk.factors.summary(desk.ada)).recovery_codes_left == 9


@pytest.mark.parametrize(
    "dress",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: code.replace("-", " "),
        lambda code: f"\t {code.replace('-', chr(0x2014))} \u200b",
        lambda code: "".join(chr(ord(c) + 0xFEE0) if c != "-" else "\uff0d" for c in code),
    ],
)
async def test_a_code_is_known_in_any_dress(desk: Desk, dress: "type[str]") -> None:
    _, codes = await desk.add_app(desk.ada)
    assert await desk.use_recovery_code(desk.ada, dress(codes[3].reveal()))


@pytest.mark.parametrize("typed", ["", "BCDF-GHJK-MNPQ", "BCDFGHJKMNP", "\ud800" * 12, "0" * 12, "B" * 60_000, "'--"])
async def test_anything_else_is_no_code(desk: Desk, typed: str) -> None:
    await desk.add_app(desk.ada)
    assert not await desk.use_recovery_code(desk.ada, typed)


async def test_a_code_is_only_its_owners(desk: Desk) -> None:
    _, codes = await desk.add_app(desk.ada)
    await desk.add_app(desk.bob)
    assert not await desk.use_recovery_code(desk.bob, codes[0].reveal())
    assert await desk.use_recovery_code(desk.ada, codes[0].reveal())


async def test_new_codes_replace_all_others(desk: Desk) -> None:
    _, old = await desk.add_app(desk.ada)
    assert await desk.use_recovery_code(desk.ada, old[0].reveal())
    new = await desk.factors.new_recovery_codes(desk.ada, address="192.0.2.1")
    assert (await desk.factors.summary(desk.ada)).recovery_codes_left == 10
    assert not any([await desk.use_recovery_code(desk.ada, code.reveal()) for code in old])
    assert await desk.use_recovery_code(desk.ada, new[9].reveal())
    assert (await desk.event_types()).count("recovery-codes:make") == 2


async def test_codes_stand_in_for_a_factor_and_never_alone(desk: Desk) -> None:
    with pytest.raises(Conflict):
        await desk.factors.new_recovery_codes(desk.ada)
    assert not await desk.factors.has_any(desk.house.db, desk.ada)


@pytest.mark.parametrize("last", ["app", "passkey"])
async def test_the_codes_go_with_the_last_factor_and_not_before(desk: Desk, phone: Authenticator, last: str) -> None:
    _, codes = await desk.add_app(desk.ada)
    await desk.add_passkey(desk.ada, phone)
    for factor in ("app", "passkey") if last == "passkey" else ("passkey", "app"):
        summary = await desk.factors.summary(desk.ada)
        assert (summary.any, summary.recovery_codes_left) == (True, 10)
        if factor == "app":
            await desk.factors.remove_totp(desk.ada)
        else:
            await desk.factors.remove_passkey(desk.ada, summary.passkeys[0].id)
    summary = await desk.factors.summary(desk.ada)
    assert (summary.any, summary.recovery_codes_left) == (False, 0)
    assert not await desk.use_recovery_code(desk.ada, codes[0].reveal())


async def test_a_dump_holds_no_usable_code_and_a_stored_hash_is_none(desk: Desk) -> None:
    _, codes = await desk.add_app(desk.ada)
    plain = [code.reveal().replace("-", "") for code in codes]
    hashes = []
    for name, columns, rows in contents(desk.house.directory):
        for row in rows:
            held = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
            assert not any(code.encode() in held.replace(b"-", b"") for code in plain)
            if name == "recovery_code":
                hashes.append(row[columns.index("code_hash")])
    assert len(hashes) == 10
    for stored in hashes:
        assert not await desk.use_recovery_code(desk.ada, stored.hex())
        assert not await desk.use_recovery_code(desk.ada, stored.decode("latin-1"))


async def test_an_operator_removes_every_factor_of_a_person_who_lost_them(desk: Desk, phone: Authenticator) -> None:
    app, codes = await desk.add_app(desk.ada)
    await desk.add_passkey(desk.ada, phone)
    other, _ = await desk.add_app(desk.bob)
    for _ in range(2):
        await desk.house.db.write(lambda tx: desk.factors.remove_all(tx, desk.ada))
    summary = await desk.factors.summary(desk.ada)
    assert (summary.any, summary.recovery_codes_left) == (False, 0)
    assert not await desk.use_recovery_code(desk.ada, codes[0].reveal())
    assert not await desk.use_totp(desk.ada, app.code(desk.now))
    assert await desk.use_totp(desk.bob, other.code(desk.now))
    assert (await desk.event_types())[-2:] == ["second-factor:remove-all"] * 2
