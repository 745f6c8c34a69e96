"""Passkeys: the ceremonies with a software authenticator, and every answer that does not fit."""

import asyncio
import json

import pytest

from keystead.factors.ceremonies import RelyingParty
from keystead.factors.models import CHALLENGE_LIFETIME
from keystead.factors.rules import MOST_PASSKEYS
from keystead.kernel.problems import Conflict, FormExpired, InvalidParameters, NotFound
from tests.factors.authenticator import Authenticator, NothingFits, base64, unbase64
from tests.factors.desk import ORIGIN, Desk


async def passkey_ids(desk: Desk) -> list[str]:
    """Return the ids of ada's passkeys."""
    return [one.id for one in (await desk.factors.summary(desk.ada)).passkeys]


async def test_a_passkey_stands_alone(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    asked = json.loads(options.json)
    assert (asked["rpId"], asked["userVerification"], asked["allowCredentials"]) == ("auth.example.com", "required", [])
    assert await desk.use_passkey(phone.get(options.json), options.challenge) == desk.ada
    (passkey,) = (await desk.factors.summary(desk.ada)).passkeys
    assert passkey.last_used_at == desk.now


async def test_a_passkey_follows_a_password(desk: Desk) -> None:
    key = Authenticator(ORIGIN, verifies=False)
    await desk.add_passkey(desk.ada, key)
    options = desk.factors.request_options((await desk.factors.summary(desk.ada)).passkeys)
    assert json.loads(options.json)["userVerification"] == "preferred"
    assert await desk.use_passkey(key.get(options.json), options.challenge, desk.ada) == desk.ada


async def test_a_passkey_that_did_not_see_its_owner_does_not_stand_alone(desk: Desk) -> None:
    key = Authenticator(ORIGIN, verifies=False)
    await desk.add_passkey(desk.ada, key)
    options = desk.factors.request_options()
    assert await desk.use_passkey(key.get(options.json), options.challenge) is None


async def test_a_passkey_is_only_its_owners(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    assert await desk.use_passkey(phone.get(options.json), options.challenge, desk.bob) is None


async def test_the_browser_is_asked_for_a_passkey_that_it_can_find_again(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    passkeys = (await desk.factors.summary(desk.ada)).passkeys
    options = json.loads(desk.factors.registration_options(desk.ada, "ada", passkeys).json)
    assert options["rp"] == {"id": "auth.example.com", "name": "Keystead"}
    assert options["authenticatorSelection"]["residentKey"] == "preferred"
    assert options["attestation"] == "none"
    assert unbase64(options["user"]["id"]).decode() == desk.ada
    assert [one["id"] for one in options["excludeCredentials"]] == [base64(passkeys[0].credential_id)]
    with pytest.raises(NothingFits):
        phone.create(json.dumps(options))


async def test_an_answer_to_another_challenge_is_refused(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    asked, other = desk.factors.request_options(), desk.factors.request_options()
    assert asked.challenge != other.challenge
    assert await desk.use_passkey(phone.get(asked.json), other.challenge) is None


@pytest.mark.parametrize("origin", ["https://evil.example", "http://auth.example.com", "https://auth.example.com:8443"])
async def test_a_page_of_another_origin_gets_nothing(desk: Desk, origin: str) -> None:
    elsewhere = Authenticator(origin)
    with pytest.raises(InvalidParameters):
        await desk.add_passkey(desk.ada, elsewhere)
    here = Authenticator(ORIGIN)
    await desk.add_passkey(desk.ada, here)
    here.origin = origin
    options = desk.factors.request_options()
    assert await desk.use_passkey(here.get(options.json), options.challenge) is None


async def test_a_counter_that_does_not_grow_is_refused_and_recorded(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    phone.credentials[0].count = 5
    assert await desk.use_passkey(phone.get(options.json), options.challenge) == desk.ada
    for copied in (3, 5, -1):  # one use makes them 4, 6 and 0
        phone.credentials[0].count = copied
        options = desk.factors.request_options()
        fits = await desk.use_passkey(phone.get(options.json), options.challenge)
        assert fits is None
    events = [event for event in await desk.house.events() if event.type == "passkey:refuse"]
    assert [(event.actor_id, event.address) for event in events] == [(desk.ada, "192.0.2.1")] * 3
    phone.credentials[0].count = 6
    options = desk.factors.request_options()
    assert await desk.use_passkey(phone.get(options.json), options.challenge) == desk.ada


async def test_a_passkey_that_never_counts_is_good_again_and_again(desk: Desk) -> None:
    synced = Authenticator(ORIGIN, counts=False)
    await desk.add_passkey(desk.ada, synced)
    for _ in range(3):
        options = desk.factors.request_options()
        assert await desk.use_passkey(synced.get(options.json), options.challenge) == desk.ada


async def test_of_twenty_that_send_one_answer_of_a_counting_passkey_one_succeeds(
    desk: Desk, phone: Authenticator
) -> None:
    await desk.add_passkey(desk.ada, phone)
    options = desk.factors.request_options()
    answer = phone.get(options.json)
    found = await asyncio.gather(*(desk.use_passkey(answer, options.challenge) for _ in range(20)))
    assert [one for one in found if one is not None] == [desk.ada]


async def test_a_passkey_is_added_once(desk: Desk, phone: Authenticator) -> None:
    options = desk.factors.registration_options(desk.ada, "ada", ())
    answer = phone.create(options.json)
    assert len(await desk.factors.add_passkey(desk.ada, answer, options.challenge, "one")) == 10
    for person in (desk.ada, desk.bob):
        with pytest.raises(Conflict):
            await desk.factors.add_passkey(person, answer, options.challenge, "two")


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "line\nbreak", "\u202e", "\0"])
async def test_a_name_that_nobody_could_read_is_refused(desk: Desk, phone: Authenticator, name: str) -> None:
    with pytest.raises(InvalidParameters) as refusal:
        await desk.add_passkey(desk.ada, phone, name)
    assert [field.name for field in refusal.value.fields] == ["name"]


async def test_a_person_renames_and_removes_their_own_passkeys_only(desk: Desk, phone: Authenticator) -> None:
    await desk.add_passkey(desk.ada, phone)
    (passkey_id,) = await passkey_ids(desk)
    with pytest.raises(NotFound):
        await desk.factors.rename_passkey(desk.bob, passkey_id, "mine")
    with pytest.raises(NotFound):
        await desk.factors.remove_passkey(desk.bob, passkey_id)
    await desk.factors.rename_passkey(desk.ada, passkey_id, "  Phone  ")
    (passkey,) = (await desk.factors.summary(desk.ada)).passkeys
    assert passkey.name == "Phone"
    await desk.factors.remove_passkey(desk.ada, passkey_id)
    options = desk.factors.request_options()
    assert await desk.use_passkey(phone.get(options.json), options.challenge) is None
    with pytest.raises(NotFound):
        await desk.factors.remove_passkey(desk.ada, passkey_id)
    types = ["passkey:add", "recovery-codes:make", "passkey:rename", "passkey:remove"]
    assert await desk.event_types() == types


async def test_there_is_a_most_of_passkeys(desk: Desk) -> None:
    for number in range(MOST_PASSKEYS):
        await desk.add_passkey(desk.ada, Authenticator(ORIGIN), f"Key {number}")
    with pytest.raises(Conflict):
        await desk.add_passkey(desk.ada, Authenticator(ORIGIN))
    assert len(await passkey_ids(desk)) == MOST_PASSKEYS


async def test_a_challenge_travels_in_the_form_of_one_session_for_ten_minutes(desk: Desk) -> None:
    challenge = desk.factors.request_options().challenge
    token = desk.factors.challenge_token("session-1", challenge)
    assert desk.factors.challenge_of("session-1", token) == challenge
    altered = token.replace(base64(challenge)[:6], "AAAAAA")
    for session, text in (("session-2", token), ("session-1", altered), ("session-1", ""), ("session-1", "ä." * 90)):
        with pytest.raises(FormExpired):
            desk.factors.challenge_of(session, text)
    desk.house.clock.advance(CHALLENGE_LIFETIME)
    with pytest.raises(FormExpired):
        desk.factors.challenge_of("session-1", token)


@pytest.mark.parametrize(
    ("public_url", "party", "origins"),
    [
        ("https://auth.example.com", "auth.example.com", ["https://auth.example.com"]),
        ("https://auth.example.com:443", "auth.example.com", ["https://auth.example.com"]),
        ("https://auth.example.com:8443", "auth.example.com", ["https://auth.example.com:8443"]),
        ("http://127.0.0.1:8420", "localhost", ["http://127.0.0.1:8420", "http://localhost:8420"]),
        ("http://[::1]:8420", "localhost", ["http://[::1]:8420", "http://localhost:8420"]),
    ],
)
def test_passkeys_belong_to_the_host_of_the_public_url(public_url: str, party: str, origins: list[str]) -> None:
    found = RelyingParty.at(public_url, "Keystead")
    assert (found.id, found.origins) == (party, origins)
