"""Authenticator apps: a code is good once, a little drift is forgiven, and the secret is sealed."""

import asyncio
import base64

import pytest

from keystead.factors.models import PENDING_LIFETIME
from keystead.factors.rules import STEP_SECONDS
from keystead.kernel.problems import Conflict, FormExpired, InvalidParameters, NotFound
from tests.factors.desk import App, Desk
from tests.support.engine import contents, execute


async def test_a_code_is_good_once(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    code = app.code(desk.now)
    assert await desk.use_totp(desk.ada, code)
    assert not await desk.use_totp(desk.ada, code)


async def test_of_twenty_that_use_a_code_at_once_one_succeeds(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    code = app.code(desk.now)
    answers = await asyncio.gather(*(desk.use_totp(desk.ada, code) for _ in range(20)))
    assert sorted(answers) == [False] * 19 + [True]


async def test_the_code_that_confirmed_a_new_app_is_spent(desk: Desk) -> None:
    new = desk.factors.new_totp(desk.ada, "ada")
    code = App(new.secret.reveal()).code(desk.now)
    await desk.factors.add_totp(desk.ada, new.sealed, code)
    assert not await desk.use_totp(desk.ada, code)


@pytest.mark.parametrize(("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_a_clock_may_be_one_step_off_either_way(desk: Desk, steps: int, right: bool) -> None:
    app, _ = await desk.add_app(desk.ada)
    assert await desk.use_totp(desk.ada, app.code(desk.now + steps * STEP_SECONDS)) is right


async def test_an_older_code_is_refused_after_a_newer_one(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    assert await desk.use_totp(desk.ada, app.code(desk.now + STEP_SECONDS))
    assert not await desk.use_totp(desk.ada, app.code(desk.now))
    assert not await desk.use_totp(desk.ada, app.code(desk.now - STEP_SECONDS))


async def test_a_code_may_be_typed_with_blanks_and_in_full_width(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    code = app.code(desk.now)
    wide = "".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in code)
    assert await desk.use_totp(desk.ada, f" {wide[:3]} {wide[3:]}\u2013")


@pytest.mark.parametrize("typed", ["", "123456", "12345", "1234567", "abcdef", "\ud800", "٣٣٣٣٣٣", "0" * 50_000, "\0"])
async def test_anything_else_is_no_code(desk: Desk, typed: str) -> None:
    app, _ = await desk.add_app(desk.ada)
    assert typed not in {app.code(desk.now + steps * STEP_SECONDS) for steps in (-1, 0, 1)}
    assert not await desk.use_totp(desk.ada, typed)


async def test_a_code_is_only_its_owners(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    await desk.add_app(desk.bob)
    code = app.code(desk.now)
    assert not await desk.use_totp(desk.bob, code)
    assert await desk.use_totp(desk.ada, code)


async def test_a_dump_does_not_tell_the_secret(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    raw = base64.b32decode(app.secret)
    held = [value for _, _, rows in contents(desk.house.directory) for row in rows for value in row]
    assert any(isinstance(value, bytes) and len(value) > len(app.secret) for value in held)
    for value in held:
        shown = value if isinstance(value, bytes) else str(value).encode()
        assert raw not in shown
        assert app.secret.encode() not in shown


async def test_a_sealed_secret_that_was_moved_to_another_person_opens_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    app, _ = await desk.add_app(desk.ada)
    await desk.add_app(desk.bob)
    adas = f"SELECT sealed_secret FROM totp WHERE user_id = '{desk.ada}'"  # noqa: S608 - an id of ours
    move = f"UPDATE totp SET sealed_secret = ({adas}) WHERE user_id = '{desk.bob}'"  # noqa: S608
    execute(desk.house.directory, sqlite=[move], postgres=[move])
    assert not await desk.use_totp(desk.bob, app.code(desk.now))
    assert "cannot be read" in caplog.text


async def test_a_wrong_code_adds_no_app_and_says_which_field_is_wrong(desk: Desk) -> None:
    new = desk.factors.new_totp(desk.ada, "ada")
    with pytest.raises(InvalidParameters) as refusal:
        await desk.factors.add_totp(desk.ada, new.sealed, "000 000")
    assert [field.name for field in refusal.value.fields] == ["code"]
    assert (await desk.factors.summary(desk.ada)).totp_since is None


async def test_a_form_that_is_shown_again_keeps_the_secret(desk: Desk) -> None:
    new = desk.factors.new_totp(desk.ada, "ada")
    again = desk.factors.pending_totp(desk.ada, "ada", new.sealed)
    assert (again.secret, again.uri, again.sealed) == (new.secret, new.uri, new.sealed)


async def test_a_pending_secret_belongs_to_its_person_and_to_a_quarter_of_an_hour(desk: Desk) -> None:
    new = desk.factors.new_totp(desk.ada, "ada")
    code = App(new.secret.reveal()).code
    with pytest.raises(FormExpired):
        await desk.factors.add_totp(desk.bob, new.sealed, code(desk.now))
    desk.house.clock.advance(PENDING_LIFETIME)
    with pytest.raises(FormExpired):
        await desk.factors.add_totp(desk.ada, new.sealed, code(desk.now))
    assert not await desk.factors.has_any(desk.house.db, desk.ada)


@pytest.mark.parametrize("sealed", ["", "A", "AAAA", "A" * 60, "ä" * 60, "=" * 9, "\ud800", "A" * 60_000, "!" * 40])
async def test_a_sealed_text_of_somebody_elses_making_is_refused(desk: Desk, sealed: str) -> None:
    with pytest.raises(FormExpired):
        await desk.factors.add_totp(desk.ada, sealed, "123456")
    assert await desk.event_types() == []


async def test_the_sealed_text_does_not_tell_the_secret(desk: Desk) -> None:
    new = desk.factors.new_totp(desk.ada, "ada")
    raw = base64.urlsafe_b64decode(new.sealed + "=" * (-len(new.sealed) % 4))
    assert new.secret.reveal().encode() not in raw
    assert new.secret.reveal() not in repr(new) + new.sealed


async def test_a_person_has_one_app(desk: Desk) -> None:
    await desk.add_app(desk.ada)
    with pytest.raises(Conflict):
        await desk.add_app(desk.ada)
    assert await desk.event_types() == ["totp:add", "recovery-codes:make"]


async def test_what_the_qr_code_says_names_the_product_and_the_person(desk: Desk) -> None:
    new = desk.factors.new_totp(desk.ada, "ada@example.com")
    uri = new.uri.reveal()
    assert uri.startswith("otpauth://totp/Keystead:ada%40example.com?")
    assert f"secret={new.secret.reveal()}" in uri
    assert "issuer=Keystead" in uri
    assert len(base64.b32decode(new.secret.reveal())) == 20


async def test_an_app_that_was_removed_opens_nothing(desk: Desk) -> None:
    app, _ = await desk.add_app(desk.ada)
    await desk.factors.remove_totp(desk.ada, address="192.0.2.1")
    assert not await desk.use_totp(desk.ada, app.code(desk.now))
    with pytest.raises(NotFound):
        await desk.factors.remove_totp(desk.ada)
    assert await desk.event_types() == ["totp:add", "recovery-codes:make", "totp:remove"]
