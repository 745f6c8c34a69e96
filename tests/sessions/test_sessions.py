"""What a session is good for, when it ends, and what a form in it proves."""

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.kernel.problems import FormExpired
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.kernel.secrets import SESSION_PREFIX, keyed_hash, new_opaque
from keystead.sessions import rules
from keystead.sessions.models import Device
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import PASSWORD, House
from tests.sessions.test_signing_in import sign_in

KEY = b"k" * 32
NOW = 1_763_800_000
DEVICE = Device("01a200a2-5d13-7907-b688-1eb139dfedf5", "ab" * 16, NOW)


async def test_a_session_ends_when_it_is_not_used(opened: OpenHouse) -> None:
    house = opened(session_idle_ttl=600, session_ttl=3_600)
    await house.add_ada()
    text = (await sign_in(house)).secret.reveal()
    house.clock.advance(599)
    found = await house.sessions.find(text)
    assert found is not None
    assert found.expires_at == house.clock.now() + 1
    house.clock.advance(1)
    assert await house.sessions.find(text) is None


async def test_use_keeps_a_session_alive_until_its_last_hour(opened: OpenHouse) -> None:
    house = opened(session_idle_ttl=600, session_ttl=3_600)
    await house.add_ada()
    signed_in = await sign_in(house)
    began = house.clock.now()
    for _ in range(7):
        house.clock.advance(500)
        assert await house.sessions.find(signed_in.secret.reveal()) is not None
        await house.sessions.record_use([(signed_in.session_id, house.clock.now(), "192.0.2.7")])
    found = await house.sessions.find(signed_in.secret.reveal())
    assert found is not None
    assert found.expires_at == began + 3_600
    house.clock.advance(100)
    assert await house.sessions.find(signed_in.secret.reveal()) is None


async def test_an_older_use_that_is_written_later_does_not_shorten_a_session(house: House) -> None:
    await house.add_ada()
    signed_in = await sign_in(house)
    house.clock.advance(100)
    now = house.clock.now()
    await house.sessions.record_use([(signed_in.session_id, now, ""), (signed_in.session_id, now - 50, "")])
    found = await house.sessions.find(signed_in.secret.reveal())
    assert found is not None
    assert found.expires_at == now + house.settings.session_idle_ttl


async def test_a_session_has_the_scopes_of_the_role_that_the_person_has_now(house: House) -> None:
    await house.add_ada()
    await house.accounts.create_user(
        username="bob", email="bob@example.com", organization="acme", role=Role.MEMBER, password=PASSWORD
    )
    found = await house.sessions.find((await sign_in(house, username="bob")).secret.reveal())
    assert found is not None
    assert found.scopes == ROLE_SCOPES[Role.MEMBER]


@pytest.mark.parametrize("text", ["", "kss_", "kss_" + "a" * 49, "pwt_x", "kss_\x00", "å" * 53])
async def test_what_is_no_session_is_nobodys(house: House, text: str) -> None:
    assert await house.sessions.find(text) is None
    assert await house.sessions.find(new_opaque(SESSION_PREFIX).reveal()) is None


@pytest.mark.sqlite
async def test_a_dump_of_the_database_holds_no_cookie_and_a_stored_hash_is_none(house: House) -> None:
    await house.add_ada()
    signed_in = await sign_in(house)
    connection = sqlite3.connect(house.directory / "keystead.db")
    dump = "\n".join(connection.iterdump())
    connection.close()
    text = signed_in.secret.reveal()
    stored = keyed_hash(house.keys.credentials, text).hex()
    assert stored.upper() in dump.upper()
    assert text not in dump
    assert PASSWORD.reveal() not in dump
    assert signed_in.device_cookie.reveal() not in dump
    assert await house.sessions.find(stored) is None


async def test_looking_a_session_up_writes_nothing(house: House) -> None:
    await house.add_ada()
    text = (await sign_in(house)).secret.reveal()
    heard, events = house.heard(), len(await house.events())
    watching = sqlite3.connect(house.directory / "keystead.db")
    before = watching.execute("PRAGMA data_version").fetchone()
    for _ in range(10):
        assert await house.sessions.find(text) is not None
    assert watching.execute("PRAGMA data_version").fetchone() == before
    watching.close()
    house.db.fresh()
    assert (heard, len(await house.events())) == ([], events)


async def test_signing_out_ends_the_session_and_every_process_hears_of_it(house: House) -> None:
    await house.add_ada()
    first, second = await sign_in(house), await sign_in(house)
    heard = house.heard()
    await house.sessions.sign_out(first.session_id, address="192.0.2.7")
    await house.sessions.sign_out(first.session_id)
    assert await house.sessions.find(first.secret.reveal()) is None
    assert await house.sessions.find(second.secret.reveal()) is not None
    house.db.fresh()
    assert heard == [f"credential:{first.session_id}"]
    assert [event.type for event in await house.events()][-1] == "session:delete"


async def test_a_session_of_somebody_who_is_disabled_is_nobodys(house: House) -> None:
    ada = await house.add_ada()
    text = (await sign_in(house)).secret.reveal()
    await house.disable(ada)
    assert await house.sessions.find(text) is None


async def test_a_form_is_good_in_its_session_for_its_purpose_for_an_hour(house: House) -> None:
    token = house.sessions.form_token("session", "sign-out")
    house.sessions.check_form_token("session", "sign-out", token)
    for session_id, purpose in (("other", "sign-out"), ("session", "device"), ("session.", "sign-out")):
        with pytest.raises(FormExpired):
            house.sessions.check_form_token(session_id, purpose, token)
    house.clock.advance(3_599)
    house.sessions.check_form_token("session", "sign-out", token)
    house.clock.advance(1)
    with pytest.raises(FormExpired) as refusal:
        house.sessions.check_form_token("session", "sign-out", token)
    assert "Nothing was changed" in refusal.value.detail


@given(st.one_of(st.none(), st.text(), st.from_regex(r"\A[0-9]{1,12}\.[A-Za-z0-9_-]{43}\Z")))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_form_token_that_we_did_not_make_is_refused(token: str | None) -> None:
    with pytest.raises(FormExpired) as refusal:
        rules.check_form_token(KEY, "session", "purpose", token, NOW)
    assert refusal.value.status == 403


def test_a_form_token_of_another_installation_is_refused() -> None:
    token = rules.form_token(b"x" * 32, "session", "purpose", NOW)
    with pytest.raises(FormExpired) as refusal:
        rules.check_form_token(KEY, "session", "purpose", token, NOW)
    assert refusal.value.status == 403


def test_a_device_is_known_again_for_a_year() -> None:
    cookie = rules.device_cookie(KEY, DEVICE).reveal()
    assert rules.read_device(KEY, cookie, NOW) == DEVICE
    assert rules.read_device(KEY, cookie, NOW + rules.DEVICE_LIFETIME - 1) == DEVICE
    assert rules.read_device(KEY, cookie, NOW + rules.DEVICE_LIFETIME) is None


@given(st.integers(min_value=0), st.characters(codec="ascii"))
def test_a_device_cookie_with_any_character_changed_is_nobodys(place: int, character: str) -> None:
    cookie = rules.device_cookie(KEY, DEVICE).reveal()
    place %= len(cookie)
    changed = cookie[:place] + character + cookie[place + 1 :]
    assert changed == cookie or rules.read_device(KEY, changed, NOW) is None


def test_a_user_agent_is_kept_printable_and_short() -> None:
    assert rules.shown_user_agent("a\x1b[31m" + "b" * 400) == "a?[31m" + "b" * 250
