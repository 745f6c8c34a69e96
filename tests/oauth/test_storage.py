"""What device sign-in leaves in the database, and what happens when the database is away (O1, R8)."""

import asyncio

import pytest

from keystead.db.cleanup import CODES_KEPT
from keystead.db.tables import device_authorization, oauth_grant, wrong_guess
from keystead.kernel.problems import AuthorizationPending, ExpiredToken, InvalidGrant, Unavailable
from keystead.oauth import store
from keystead.oauth.models import TokenSet
from keystead.oauth.user_codes import new_user_code
from tests.oauth.conftest import Open
from tests.oauth.faults import locked
from tests.support.installation import Installation


@pytest.fixture
def impatient(opened: Open, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Give an installation that waits for a locked database for a moment only."""
    monkeypatch.setattr("keystead.db.sqlite.BUSY_TIMEOUT_MS", 20)
    return opened()


# O1: bounded without a timer


@pytest.mark.sqlite
async def test_many_sign_ins_and_sign_outs_leave_no_grant_and_a_bounded_number_of_rows(house: Installation) -> None:
    client = await house.register()
    seen = []
    for cycle in range(400):
        tokens = await house.sign_in(client)
        tokens = await house.refresh(tokens.refresh_token.reveal(), client)
        await house.revoke(tokens.refresh_token.reveal())
        house.clock.advance(60)
        if cycle in {199, 399}:
            seen.append(await house.rows())
    half, whole = seen
    assert (whole["oauth_grant"], whole["client"], whole["app"]) == (0, 1, 1)
    assert whole["device_authorization"] <= (CODES_KEPT + 600) / 60 + 8
    assert whole["revocation"] <= 2 * (3_600 / 60) + 8
    grown = {name for name in whole if whole[name] > half[name] + 8}
    assert grown == {"audit_event"}  # which has a retention of its own


@pytest.mark.sqlite
async def test_grants_that_nobody_signs_out_leave_when_they_have_expired(opened: Open) -> None:
    house = opened(grant_ttl=1_000, refresh_token_ttl=1_000)
    client = await house.register()
    for _ in range(200):
        await house.sign_in(client)
        house.clock.advance(10)
    assert (await house.rows(oauth_grant))["oauth_grant"] <= 1_000 / 10 + 16


@pytest.mark.sqlite
async def test_expired_codes_and_wrong_guesses_are_cleaned_up_beside_other_writes(opened: Open) -> None:
    house = opened(limit_wrong_codes=1_000, limit_wrong_codes_address=1_000)
    client = await house.register()
    for _ in range(100):
        await house.issue(client)
        await house.look_up(new_user_code())
        house.clock.advance(10)
    house.clock.advance(CODES_KEPT + 3_600)
    left = await house.rows(device_authorization, wrong_guess)
    assert left["device_authorization"] == 100
    for _ in range(100):  # any write will do
        await house.run(store.NEXT_GENERATION, {"fingerprint": "nobody"})
    assert await house.rows(device_authorization, wrong_guess) == {"device_authorization": 0, "wrong_guess": 0}


async def test_an_expired_code_is_told_to_be_expired_for_as_long_as_a_client_may_ask(house: Installation) -> None:
    client = await house.register()
    codes = await house.issue(client)
    house.clock.advance(codes.expires_in)
    for _ in range(60):
        house.clock.advance(CODES_KEPT / 60)
        await house.run(store.NEXT_GENERATION, {"fingerprint": "nobody"})
        with pytest.raises(ExpiredToken) as expired:
            await house.poll(codes, client)
        assert expired.value.oauth_error == "expired_token"


async def test_a_refresh_leaves_no_audit_event_and_no_row(house: Installation) -> None:
    tokens = await house.sign_in()
    before = await house.rows()
    for _ in range(50):
        tokens = await house.refresh(tokens.refresh_token.reveal())
    assert await house.rows() == before


# R8: cannot know


@pytest.mark.sqlite
async def test_a_refresh_while_the_database_is_locked_is_unavailable_and_works_afterwards(
    impatient: Installation,
) -> None:
    token = (await impatient.sign_in()).refresh_token.reveal()
    with locked(impatient):
        for _ in range(3):
            with pytest.raises(Unavailable) as refused:
                await impatient.refresh(token)
            assert (refused.value.status, refused.value.oauth_error) == (503, "temporarily_unavailable")
            assert int(refused.value.headers["Retry-After"]) >= 1
    tokens = await impatient.refresh(token)
    assert (await impatient.refresh(tokens.refresh_token.reveal())).organization == "acme"
    assert await impatient.events("grant:reuse") == []


@pytest.mark.sqlite
async def test_sixty_four_refreshes_while_the_database_is_locked_are_unavailable_and_none_is_lost(
    impatient: Installation,
) -> None:
    token = (await impatient.sign_in()).refresh_token.reveal()
    with locked(impatient):
        answers = await asyncio.gather(*(impatient.refresh(token) for _ in range(64)), return_exceptions=True)
    assert {isinstance(answer, Unavailable) for answer in answers} == {True}
    again = await asyncio.gather(*(impatient.refresh(token) for _ in range(64)))
    assert len({tokens.refresh_token.reveal() for tokens in again}) == 1


@pytest.mark.sqlite
async def test_while_the_database_is_locked_polls_go_on_and_a_redemption_is_unavailable_and_works_afterwards(
    impatient: Installation,
) -> None:
    client = await impatient.register()
    codes, approved = await impatient.issue(client), await impatient.issue(client)
    await impatient.approve(approved)
    with locked(impatient):
        with pytest.raises(AuthorizationPending):  # which needs nothing but a look
            await impatient.poll(codes, client)
        with pytest.raises(Unavailable):  # too early: the longer interval must be kept before it is told
            await impatient.poll(codes, client)
        with pytest.raises(Unavailable):
            await impatient.poll(approved, client)
    assert isinstance(await impatient.poll(approved, client), TokenSet)
    with pytest.raises(InvalidGrant):
        await impatient.poll(approved, client)


@pytest.mark.sqlite
async def test_a_sign_out_that_could_not_be_written_is_not_told_to_be_done(impatient: Installation) -> None:
    token = (await impatient.sign_in()).refresh_token.reveal()
    with locked(impatient), pytest.raises(Unavailable):
        await impatient.revoke(token)
    await impatient.revoke(token)
    with pytest.raises(InvalidGrant) as refused:
        await impatient.refresh(token)
    assert refused.value.oauth_error == "invalid_grant"


async def test_a_server_that_is_stopping_says_unavailable_and_loses_no_grant(opened: Open) -> None:
    house, neighbour = opened(), opened()
    token = (await house.sign_in()).refresh_token.reveal()
    neighbour.close()
    with pytest.raises(Unavailable):
        await neighbour.refresh(token)
    assert (await house.refresh(token)).organization == "acme"
