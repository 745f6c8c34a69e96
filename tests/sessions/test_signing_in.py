"""Signing in: a fresh session each time, one answer for every wrong way, and no stranger who can lock somebody out."""

import asyncio
import re

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command, Transaction
from keystead.db.tables import user
from keystead.kernel.principal import Method
from keystead.kernel.problems import Forbidden, NotFound, Problem, RateLimited, WrongSignIn
from keystead.kernel.scopes import ALL_SCOPES
from keystead.kernel.secrets import Secret
from keystead.sessions.models import SignedIn
from tests.accounts.conftest import OpenHouse
from tests.accounts.house import PASSWORD, WRONG, House
from tests.support.hashing import HeldHashing

HOME = "192.0.2.7"
ELSEWHERE = "198.51.100.66"
NEW_PASSWORD = Secret("a quiet lake before the morning")

SET = Command(
    update(user).where(user.c.username == "ada").values(password_hash=bindparam("hash"), disabled_at=bindparam("at"))
)


async def sign_in(
    house: House,
    password: Secret = PASSWORD,
    *,
    username: str = "ada",
    address: str = HOME,
    device: Secret | None = None,
    previous: Secret | None = None,
) -> SignedIn:
    """Sign in as the sign-in page does."""
    return await house.sessions.sign_in(
        username,
        password,
        address=address,
        user_agent="Test/1.0",
        device_cookie=None if device is None else device.reveal(),
        previous=previous,
    )


async def refusal_of(house: House, password: Secret = PASSWORD, *, username: str = "ada") -> Problem:
    """Return the problem with which a sign-in is refused."""
    with pytest.raises(Problem) as refusal:
        await sign_in(house, password, username=username)
    return refusal.value


async def put(house: House, *, password_hash: str | None, disabled_at: int | None) -> None:
    async def work(tx: Transaction) -> None:
        await tx.run(SET, {"hash": password_hash, "at": disabled_at})

    await house.db.write(work)


async def test_the_right_password_opens_a_session_of_the_person_in_their_organization(house: House) -> None:
    ada = await house.add_ada()
    signed_in = await sign_in(house, username="ADA@example.com")
    found = await house.sessions.find(signed_in.secret.reveal())
    assert found is not None
    assert (found.identity.user_id, found.identity.organization, found.method) == (ada, "acme", Method.SESSION)
    assert (found.scopes, found.credential_id) == (ALL_SCOPES, signed_in.session_id)


async def test_unknown_wrong_disabled_and_without_a_password_all_look_the_same(house: House) -> None:
    await house.add_ada()
    refusals = [await refusal_of(house, WRONG), await refusal_of(house, username="nobody")]
    await put(house, password_hash=None, disabled_at=None)
    refusals.append(await refusal_of(house))
    await put(house, password_hash=None, disabled_at=1)
    refusals.append(await refusal_of(house))
    assert {type(refusal) for refusal in refusals} == {WrongSignIn}
    assert len({(refusal.detail, repr(refusal.headers)) for refusal in refusals}) == 1


async def test_who_belongs_to_no_organization_is_told_so_only_after_the_right_password(house: House) -> None:
    await house.add_ada(organization=None)
    assert isinstance(await refusal_of(house, WRONG), WrongSignIn)
    refusal = await refusal_of(house)
    assert isinstance(refusal, Forbidden)
    assert refusal.detail.startswith("You do not belong to an organization yet.")


async def test_the_session_id_is_new_at_each_sign_in_and_the_old_one_is_dead(house: House) -> None:
    await house.add_ada()
    first = await sign_in(house)
    heard = house.heard()
    second = await sign_in(house, previous=first.secret)
    assert second.secret != first.secret
    assert await house.sessions.find(first.secret.reveal()) is None
    assert await house.sessions.find(second.secret.reveal()) is not None
    house.db.fresh()
    assert heard == [f"credential:{first.session_id}"]


async def test_a_wrong_password_leaves_the_session_that_was_there(house: House) -> None:
    await house.add_ada()
    first = await sign_in(house)
    with pytest.raises(WrongSignIn):
        await sign_in(house, WRONG, previous=first.secret)
    assert await house.sessions.find(first.secret.reveal()) is not None


async def test_a_new_password_ends_every_session_and_every_process_hears_of_it(house: House) -> None:
    ada = await house.add_ada()
    sessions = [await sign_in(house) for _ in range(3)]
    heard = house.heard()
    await house.sessions.set_password("ada", NEW_PASSWORD)
    assert [await house.sessions.find(one.secret.reveal()) for one in sessions] == [None] * 3
    house.db.fresh()
    assert set(heard) == {f"user:{ada}"}
    assert isinstance(await refusal_of(house, PASSWORD), WrongSignIn)
    assert (await sign_in(house, NEW_PASSWORD)).secret.reveal()


async def test_a_sign_in_that_began_with_the_old_password_gets_no_session_under_the_new_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada_id = await house.add_ada()
    house.clock.advance(60)
    ada = await house.accounts.user_by_name("ada")
    assert ada is not None
    hashing = HeldHashing(monkeypatch)
    signing_in = asyncio.create_task(sign_in(house))
    await hashing.begun.wait()

    async def change(tx: Transaction) -> None:
        await house.accounts.keep_password(tx, ada, "$argon2id$another")
        await house.sessions.end_all(tx, ada_id)

    await house.db.write(change)
    hashing.go_on.set()
    with pytest.raises(WrongSignIn):
        await signing_in


async def test_a_password_is_set_for_a_user_who_exists(house: House) -> None:
    with pytest.raises(NotFound) as refusal:
        await house.sessions.set_password("ada", NEW_PASSWORD)
    assert refusal.value.detail == "There is no user called 'ada'."


async def test_wrong_passwords_from_elsewhere_never_stop_a_known_device(opened: OpenHouse) -> None:
    house = opened(limit_sign_in="5/minute")
    await house.add_ada()
    known = await sign_in(house)
    for number in range(50):
        with pytest.raises((WrongSignIn, RateLimited)):
            await sign_in(house, WRONG, address=f"198.51.100.{number}")
    with pytest.raises(RateLimited):
        await sign_in(house, address="198.51.100.200")
    assert (await sign_in(house, device=known.device_cookie)).secret.reveal()
    assert (await sign_in(house, address="198.51.100.1", device=known.device_cookie)).secret.reveal()


async def test_a_known_device_has_a_budget_of_its_own_and_no_other(opened: OpenHouse) -> None:
    house = opened(limit_sign_in="5/minute")
    await house.add_ada()
    known = (await sign_in(house)).device_cookie
    for _ in range(5):
        with pytest.raises(WrongSignIn):
            await sign_in(house, WRONG, device=known)
    with pytest.raises(RateLimited):
        await sign_in(house, device=known)
    assert (await sign_in(house)).secret.reveal()


async def test_the_device_of_one_person_is_no_known_device_of_another(opened: OpenHouse) -> None:
    house = opened(limit_sign_in="5/minute")
    await house.add_ada()
    await house.accounts.create_user(username="eve", email="eve@example.com", organization="acme", password=PASSWORD)
    devices_of_eve = [(await sign_in(house, username="eve", address=ELSEWHERE)).device_cookie for _ in range(3)]
    outcomes = []
    for number in range(12):
        with pytest.raises((WrongSignIn, RateLimited)) as refusal:
            await sign_in(house, WRONG, device=devices_of_eve[number % 3], address=f"203.0.113.{number}")
        outcomes.append(type(refusal.value))
    assert outcomes == [WrongSignIn] * 5 + [RateLimited] * 7


async def test_the_limit_is_the_same_for_a_user_who_does_not_exist(opened: OpenHouse) -> None:
    house = opened(limit_sign_in="5/minute")
    await house.add_ada()

    async def outcomes(username: str) -> list[str]:
        found = []
        for number in range(8):
            with pytest.raises(Problem) as refusal:
                await sign_in(house, WRONG, username=username, address=f"203.0.113.{number}")
            found.append(re.sub(r"\d+", "N", refusal.value.detail))
        return found

    assert await outcomes("ada") == await outcomes("nobody")


async def test_one_address_tries_three_times_the_limit_over_all_accounts(opened: OpenHouse) -> None:
    house = opened(limit_sign_in="5/minute")
    outcomes = []
    for number in range(20):
        with pytest.raises(Problem) as refusal:
            await sign_in(house, WRONG, username=f"user{number}", address="2001:db8::" + hex(number)[2:])
        outcomes.append(type(refusal.value))
    assert outcomes == [WrongSignIn] * 15 + [RateLimited] * 5


async def test_a_sign_in_is_audited_and_a_refused_one_is_not(house: House) -> None:
    ada = await house.add_ada()
    before = len(await house.events())
    await refusal_of(house, WRONG)
    signed_in = await sign_in(house)
    (event,) = (await house.events())[before:]
    assert (event.type, event.actor_id, event.target, event.address) == (
        "session:create",
        ada,
        signed_in.session_id,
        HOME,
    )


async def test_neither_passwords_nor_cookies_are_logged_or_shown(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.add_ada()
    with caplog.at_level("DEBUG"):
        await refusal_of(house, WRONG)
        await refusal_of(house, username="typed my password here")
        signed_in = await sign_in(house)
    assert "sign-in refused" in caplog.text
    said = caplog.text + repr(signed_in)
    for secret in (WRONG, PASSWORD, signed_in.secret, signed_in.device_cookie, Secret("typed my password here")):
        assert secret.reveal() not in said
