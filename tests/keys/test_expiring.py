"""Owners hear of keys that expire within 14 days: one letter for all their keys, once, from whichever node (J2)."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Final

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import user
from keystead.keys.expiring import BITE, CLAIM_HELD, WARNED_BEFORE, ExpiringKeys
from keystead.keys.models import CreatedKey
from keystead.mail.letters import moment_of
from keystead.mail.service import Mailer
from tests.keys.house import PUBLIC_URL, House, neighbour
from tests.support.mail import PostOffice

ADA: Final = "ada@example.com"
BOB: Final = "bob@example.com"
DAY: Final = 86_400
MONTH: Final = 30 * DAY
DISABLE: Final = Command(update(user).where(user.c.id == bindparam("person")).values(disabled_at=bindparam("at")))


@pytest.fixture
def post() -> Iterator[PostOffice]:
    """Give a mail server."""
    with PostOffice() as office:
        yield office


@pytest.fixture
def written(opened: Callable[..., House], post: PostOffice) -> House:
    """Give an installation that sends its letters to the mail server."""
    return opened(**post.settings)


def looking(house: House) -> ExpiringKeys:
    return ExpiringKeys(db=house.db, clock=house.clock, settings=house.settings, mailer=Mailer(settings=house.settings))


async def key(house: House, owner: str = "ada", life: int = MONTH, title: str = "laptop") -> CreatedKey:
    """Make a key in an app of its own."""
    app = await house.keys.create_app(await house.principal("ada"), f"App of {title}")
    principal = await house.principal(owner)
    return await house.keys.create_key(principal, app.id, title, expires_at=house.clock.now() + life)


async def test_an_owner_gets_one_letter_that_lists_every_key_which_expires_within_fourteen_days(
    written: House, post: PostOffice
) -> None:
    first = await key(written, title="nightly build")
    second = await key(written, life=MONTH + DAY, title="laptop")
    await key(written, life=3 * MONTH, title="much later")
    written.clock.advance(MONTH - WARNED_BEFORE + 2 * DAY)
    await looking(written).look()
    (letter,) = post.letters_to(ADA)
    assert letter.subject == "2 API keys of yours at Keystead expire soon"
    for each in (first, second):
        ends = moment_of(each.record.expires_at or 0)
        line = f"{each.record.title} ({each.record.app_name}, {each.record.hint}): {ends}"
        assert line in " ".join(letter.text.split())
    assert "much later" not in letter.text
    assert letter.link == f"{PUBLIC_URL}/settings/keys"


async def test_nobody_is_written_to_before_that_and_nobody_twice(written: House, post: PostOffice) -> None:
    await key(written)
    written.clock.advance(MONTH - WARNED_BEFORE - 1)
    await looking(written).look()
    early = len(post.all_letters)
    written.clock.advance(2)
    await looking(written).look()
    written.clock.advance(DAY)
    await looking(written).look()
    assert early == 0
    assert len(post.letters_to(ADA)) == 1


async def test_every_owner_gets_a_letter_of_their_own(written: House, post: PostOffice) -> None:
    await key(written, title="nightly build")
    await key(written, "bob", title="laptop")
    written.clock.advance(MONTH - DAY)
    await looking(written).look()
    assert "laptop" not in post.letters_to(ADA)[0].text
    assert "nightly build" not in post.letters_to(BOB)[0].text


async def test_three_nodes_that_look_at_once_send_one_letter(written: House, post: PostOffice) -> None:
    await key(written)
    written.clock.advance(MONTH - DAY)
    with ExitStack() as stack:
        nodes = [written, *(neighbour(written) for _ in range(2))]
        for node in nodes[1:]:
            stack.enter_context(closing(node.db))
        await asyncio.gather(*(looking(node).look() for node in nodes))
    assert len(post.letters_to(ADA)) == 1


async def test_three_nodes_that_write_to_one_person_at_once_send_one_letter(written: House, post: PostOffice) -> None:
    made = await key(written)
    written.clock.advance(MONTH - DAY)
    with ExitStack() as stack:
        nodes = [written, *(neighbour(written) for _ in range(2))]
        for node in nodes[1:]:
            stack.enter_context(closing(node.db))
        told = await asyncio.gather(*(looking(node).warn(made.record.user_id) for node in nodes))
    assert told == [True, True, True]
    assert len(post.letters_to(ADA)) == 1


async def test_another_node_does_nothing_for_a_minute_after_one_has_looked(written: House, post: PostOffice) -> None:
    await key(written)
    await key(written, "bob", life=MONTH + 30, title="another")
    first, second = looking(written), looking(written)
    written.clock.advance(MONTH - WARNED_BEFORE)
    await first.look()
    written.clock.advance(30)
    await second.look()
    meanwhile = [len(post.letters_to(address)) for address in (ADA, BOB)]
    written.clock.advance(31)
    await second.look()
    assert meanwhile == [1, 0]
    assert [len(post.letters_to(address)) for address in (ADA, BOB)] == [1, 1]


async def test_a_key_that_was_replaced_is_left_out(written: House, post: PostOffice) -> None:
    made = await key(written)
    await written.keys.changes.rotate(await written.principal("ada"), made.record.app_id, made.record.id, 30 * DAY)
    written.clock.advance(MONTH - DAY)
    await looking(written).look()
    (letter,) = post.letters_to(ADA)
    assert made.record.hint not in letter.text


async def test_somebody_who_is_disabled_is_not_written_to(written: House, post: PostOffice) -> None:
    made = await key(written)
    written.clock.advance(MONTH - DAY)
    await written.db.run(DISABLE, {"person": made.record.user_id, "at": 1})
    await looking(written).look()
    none = len(post.all_letters)
    await written.db.run(DISABLE, {"person": made.record.user_id, "at": None})
    written.clock.advance(3_600)
    await looking(written).look()
    assert none == 0
    assert len(post.letters_to(ADA)) == 1


async def test_a_key_that_lives_for_a_day_is_not_worth_a_letter(written: House, post: PostOffice) -> None:
    await key(written, life=DAY)
    await looking(written).look()
    assert post.all_letters == []


async def test_a_key_that_has_expired_is_not_announced_any_more(written: House, post: PostOffice) -> None:
    await key(written)
    written.clock.advance(MONTH)
    await looking(written).look()
    assert post.all_letters == []


async def test_while_the_mail_server_is_away_no_key_counts_as_told_of(written: House, post: PostOffice) -> None:
    await key(written)
    written.clock.advance(MONTH - DAY)
    post.refusals.append("451 come back later")
    await looking(written).look()
    none = len(post.all_letters)
    written.clock.advance(3_600)
    await looking(written).look()
    assert none == 0
    assert len(post.letters_to(ADA)) == 1


async def test_a_letter_that_is_refused_for_good_is_not_tried_again_and_holds_up_nobody(
    written: House, post: PostOffice
) -> None:
    await key(written)
    await key(written, "bob", title="two")
    written.clock.advance(MONTH - DAY)
    post.refusals.append("550 no such mailbox")
    await looking(written).look()
    at_once = len(post.all_letters)
    for _ in range(3):
        written.clock.advance(3_600)
        await looking(written).look()
    assert at_once == 1
    assert len(post.all_letters) == 1


async def test_a_letter_whose_node_died_on_the_way_is_sent_by_another(written: House, post: PostOffice) -> None:
    made = await key(written)
    written.clock.advance(MONTH - DAY)
    doomed = looking(written)
    claim = -written.clock.now()
    await written.db.write(lambda tx: doomed._claim(tx, made.record.user_id, claim))
    await doomed.look()
    soon = len(post.all_letters)
    written.clock.advance(CLAIM_HELD + 1)
    await looking(written).look()
    written.clock.advance(CLAIM_HELD + 1)
    await looking(written).look()
    assert soon == 0
    assert len(post.all_letters) == 1


async def test_more_keys_than_one_bite_are_all_seen(written: House, post: PostOffice) -> None:
    app = await written.keys.create_app(await written.principal("ada"), "Many")
    ada, ends = await written.principal("ada"), written.clock.now() + MONTH
    for number in range(BITE):
        await written.keys.create_key(ada, app.id, f"nightly {number}", expires_at=ends)
    await key(written, "bob")
    written.clock.advance(MONTH - DAY)
    await looking(written).look()
    assert [len(post.letters_to(address)) for address in (ADA, BOB)] == [1, 1]
    assert post.letters_to(ADA)[0].subject.startswith("1000 API keys of yours")
