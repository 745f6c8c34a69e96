"""Refreshing: nothing is lost, nothing is kept, a copied token is noticed, and a sign-out is final."""

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import pytest

from keystead.db import Transaction
from keystead.db.tables import oauth_grant
from keystead.kernel.problems import InvalidClient, InvalidGrant, InvalidRequest, InvalidScope, Problem
from keystead.kernel.secrets import RefreshLocator, derive_refresh_token, read_refresh_token
from keystead.oauth import store
from keystead.oauth.models import TokenSet
from tests.oauth.conftest import Open
from tests.support.installation import ADDRESS, Installation

RACE = 60
REPLAY = 86_400
THIEF = "203.0.113.66"


def refresh_token(tokens: TokenSet) -> str:
    return tokens.refresh_token.reveal()


def grant_id_of(house: Installation, token: str) -> str:
    locator = read_refresh_token(house.keys.refresh, token)
    assert locator is not None
    return str(uuid.UUID(bytes=locator.grant))


async def chain(house: Installation, length: int) -> list[str]:
    """Sign in, refresh until there are ``length`` refresh tokens, and return them, the oldest first."""
    tokens = [refresh_token(await house.sign_in())]
    while len(tokens) < length:
        tokens.append(refresh_token(await house.refresh(tokens[-1])))
    return tokens


async def outcome(asked: Awaitable[TokenSet]) -> str:
    """Return the refresh token that was answered, or the name of the problem."""
    try:
        return refresh_token(await asked)
    except Problem as problem:
        return type(problem).__name__


# A lost answer (R2)


async def test_a_repeated_refresh_gives_the_same_successor_for_a_day_while_that_is_unused(house: Installation) -> None:
    first, second = await chain(house, 2)
    for passed in (0, 1, 3_600, REPLAY - 3_601):
        house.clock.advance(passed)
        assert await outcome(house.refresh(first)) == second
    assert await outcome(house.refresh(second)) != "InvalidGrant"


async def test_a_slow_process_gets_the_successor_for_a_minute_after_its_first_use(house: Installation) -> None:
    first, second, third = await chain(house, 3)
    house.clock.advance(RACE)
    assert await outcome(house.refresh(first)) == second
    assert await outcome(house.refresh(second)) == third


async def test_a_new_access_token_comes_with_every_repetition(house: Installation) -> None:
    tokens = await house.sign_in()
    answers = [await house.refresh(refresh_token(tokens)) for _ in range(3)]
    assert len({answer.access_token.reveal() for answer in answers}) == 3


# A copied token is noticed (R3)


@pytest.mark.parametrize(("behind", "passed"), [(3, 0), (2, RACE + 1), (1, REPLAY + 1)])
async def test_a_copied_token_ends_its_own_family_and_is_audited_once_with_address_and_client(
    house: Installation, behind: int, passed: int
) -> None:
    client = await house.register()
    other = refresh_token(await house.sign_in(client))
    tokens = [refresh_token(await house.sign_in(client))]
    for _ in range(3):
        tokens.append(refresh_token(await house.refresh(tokens[-1], client)))
    house.clock.advance(passed)

    copied = tokens[-1 - behind]
    assert await outcome(house.refresh(copied, client, address=THIEF)) == "InvalidGrant"
    assert {await outcome(house.refresh(token, client)) for token in tokens} == {"InvalidGrant"}
    assert await outcome(house.refresh(other, client)) != "InvalidGrant"
    [event] = await house.events("grant:reuse")
    assert (event.target, event.address) == (grant_id_of(house, copied), THIEF)
    assert (event.actor_id, event.organization_id) == (house.ada.id, house.acme)
    assert json.loads(event.detail)["client_id"] == client


async def test_a_token_that_was_signed_out_makes_no_alarm(house: Installation) -> None:
    tokens = await chain(house, 5)
    await house.revoke(tokens[-1])
    assert {await outcome(house.refresh(token)) for token in tokens} == {"InvalidGrant"}
    assert await house.events("grant:reuse") == []


async def test_a_token_at_the_wrong_client_makes_no_alarm_and_is_not_spent(house: Installation) -> None:
    client, other = await house.register(), await house.register("another")
    token = refresh_token(await house.sign_in(client))
    assert await outcome(house.refresh(token, other)) == "InvalidGrant"
    assert await outcome(house.refresh(token, "kc_unknown")) == "InvalidClient"
    assert await outcome(house.refresh(token, client)) not in {"InvalidGrant", "InvalidClient"}
    assert await house.events("grant:reuse") == []


async def test_a_refresh_that_asks_for_more_is_refused_and_spends_nothing(house: Installation) -> None:
    tokens = await house.sign_in(scope="keys:read")
    with pytest.raises(InvalidScope):
        await house.refresh(refresh_token(tokens), scope="keys:read keys:create")
    units = house.db.rows_changed
    assert (await house.refresh(refresh_token(tokens))).scopes == tokens.scopes
    assert house.db.rows_changed - units == 1


# Many at once, few that count (R4, R5)


async def test_sixty_four_parallel_refreshes_over_three_processes_give_one_successor_and_one_step(
    opened: Open,
) -> None:
    processes = [opened() for _ in range(3)]
    house = processes[0]
    token = refresh_token(await house.sign_in())
    rows = sum(process.db.rows_changed for process in processes)
    answers = await asyncio.gather(*(outcome(processes[n % 3].refresh(token)) for n in range(64)))
    assert len(set(answers)) == 1
    assert "InvalidGrant" not in answers
    assert sum(process.db.rows_changed for process in processes) - rows == 1
    assert await outcome(house.refresh(answers[0])) != "InvalidGrant"
    assert await house.events("grant:reuse") == []


@pytest.mark.parametrize("passed", [RACE + 1, REPLAY])
async def test_at_most_two_tokens_of_a_family_lead_anywhere(house: Installation, tmp_path: Path, passed: int) -> None:
    tokens = await chain(house, 7)
    house.clock.advance(passed)
    answers = {n: await _in_a_branch(house, tmp_path / f"branch {n}", token) for n, token in enumerate(tokens)}
    assert {n for n, answer in answers.items() if answer != "InvalidGrant"} == {5, 6}
    assert answers[5] == tokens[6]


async def test_in_the_minute_of_a_race_one_token_more_gives_what_was_given_before(
    house: Installation, tmp_path: Path
) -> None:
    tokens = await chain(house, 7)
    answers = {n: await _in_a_branch(house, tmp_path / f"branch {n}", token) for n, token in enumerate(tokens)}
    assert {n for n, answer in answers.items() if answer != "InvalidGrant"} == {4, 5, 6}
    assert (answers[4], answers[5]) == (tokens[5], tokens[6])


@pytest.mark.sqlite
async def test_no_refresh_token_and_no_hash_of_one_is_stored(house: Installation) -> None:
    tokens = await chain(house, 2)
    with house.db.traced() as statements:
        await house.refresh(tokens[-1])
    text = (house.directory / "keystead.db").read_bytes() + (house.directory / "keystead.db-wal").read_bytes()
    assert not any(token.encode() in text or token in " ".join(statements) for token in tokens)
    assert not {column.name for column in oauth_grant.columns if "token" in column.name or "hash" in column.name}


# Signing out (R7)


async def test_after_a_sign_out_no_token_of_the_family_refreshes(house: Installation) -> None:
    for which in range(4):
        tokens = await chain(house, 4)
        await house.revoke(tokens[which])
        assert {await outcome(house.refresh(token)) for token in tokens} == {"InvalidGrant"}
    assert await house.rows(oauth_grant) == {"oauth_grant": 0}


@pytest.mark.parametrize("place", range(9))
async def test_a_sign_out_beats_every_refresh_that_is_in_flight(opened: Open, place: int) -> None:
    processes = [opened() for _ in range(2)]
    house = processes[0]
    token = refresh_token(await house.sign_in())
    requests: list[Awaitable[str]] = [outcome(processes[n % 2].refresh(token)) for n in range(8)]
    requests.insert(place, _signed_out(processes[place % 2], token))
    answers = set(await asyncio.gather(*requests)) - {"signed out"}
    successors = answers - {"InvalidGrant"}
    assert len(successors) <= 1
    assert {await outcome(house.refresh(seen)) for seen in {token, *successors}} == {"InvalidGrant"}
    assert await house.events("grant:reuse") == []


async def test_signing_out_twice_or_with_nonsense_is_no_error(house: Installation) -> None:
    tokens = await chain(house, 2)
    for presented in (tokens[0], tokens[0], tokens[1], "pwr_nonsense", "", "\udcff"):
        await house.revoke(presented)
    assert [(event.address, event.actor_id) for event in await house.events("grant:revoke")] == [
        (ADDRESS, house.ada.id)
    ]


# Lifetimes


async def test_a_refresh_token_expires_to_the_second_and_its_predecessors_with_it(opened: Open) -> None:
    house = opened(refresh_token_ttl=3_600)
    first, second = await chain(house, 2)
    house.clock.advance(3_599)
    assert await outcome(house.refresh(first)) == second
    house.clock.advance(1)
    assert {await outcome(house.refresh(token)) for token in (first, second)} == {"InvalidGrant"}
    assert await house.events("grant:reuse") == []


async def test_a_grant_ends_when_it_was_to_end_however_often_it_was_refreshed(opened: Open) -> None:
    house = opened(refresh_token_ttl=3_600, grant_ttl=10_000)
    tokens = await house.sign_in()
    ends = house.clock.now() + 10_000
    while house.clock.now() + 3_000 < ends:
        house.clock.advance(3_000)
        tokens = await house.refresh(refresh_token(tokens))
        assert tokens.authorization_expires_in == ends - house.clock.now()
        assert tokens.refresh_token_expires_in == min(3_600, ends - house.clock.now())
    house.clock.advance(ends - house.clock.now())
    assert await outcome(house.refresh(refresh_token(tokens))) == "InvalidGrant"


async def test_the_life_of_a_grant_counts_from_the_approval(opened: Open) -> None:
    house = opened()
    client = await house.register()
    codes = await house.issue(client)
    await house.approve(codes)
    house.clock.advance(500)
    assert (await house.poll(codes, client)).authorization_expires_in == 7_776_000 - 500


# Constant work (R12)


@pytest.mark.sqlite
async def test_refresh_and_sign_out_do_the_same_work_after_ten_thousand_refreshes_as_after_one(
    house: Installation,
) -> None:
    work: dict[int, list[tuple[int, int]]] = {}
    for length in (1, 10_000):
        tokens = await house.sign_in()
        await _rotate(house, grant_id_of(house, refresh_token(tokens)), length - 1)
        grant = uuid.UUID(grant_id_of(house, refresh_token(tokens))).bytes
        newest = derive_refresh_token(house.keys.refresh, RefreshLocator(grant, length)).reveal()
        work[length] = []
        for _ in range(2):
            changed = house.db.rows_changed
            with house.db.traced() as statements:
                assert await outcome(house.refresh(newest)) != "InvalidGrant"
            work[length].append((len(statements), house.db.rows_changed - changed))
        assert await house.rows(oauth_grant) == {"oauth_grant": 1}
        changed = house.db.rows_changed
        with house.db.traced() as statements:
            await house.revoke(newest)
        work[length].append((len(statements), house.db.rows_changed - changed))
    assert work[1] == work[10_000]
    rotated, repeated, signed_out = work[1]
    assert rotated == (2, 1)  # rotate, and one bite of the clean-up; the look before needs no writer
    assert repeated == (0, 0)
    assert signed_out == (5, 3)  # the grant, none of the tokens it has not made, an audit event, a line in the feed


# The request


@pytest.mark.parametrize(
    ("token", "client", "expected"),
    [
        ("pwr_" + "A" * 59, None, InvalidGrant),
        ("nonsense", None, InvalidGrant),
        ("\udcff", None, InvalidGrant),
        ("nonsense", "kc_unknown", InvalidClient),
        (None, None, InvalidRequest),
    ],
)
async def test_what_is_no_refresh_token_is_refused_without_a_write(
    house: Installation, token: str | None, client: str | None, expected: type[Problem]
) -> None:
    units = house.db.units
    with pytest.raises(expected):
        await house.refresh(token, client)  # type: ignore[arg-type]
    assert house.db.units == units


async def test_the_client_id_may_be_left_out_of_a_refresh(house: Installation) -> None:
    client = await house.register()
    tokens = await house.sign_in(client)
    answers = Counter([await outcome(house.refresh(refresh_token(tokens), who)) for who in (None, client)])
    assert list(answers.values()) == [2]


async def _in_a_branch(house: Installation, directory: Path, token: str) -> str:
    branch = house.branch(directory)
    try:
        return await outcome(branch.refresh(token))
    finally:
        branch.close()


async def _signed_out(house: Installation, token: str) -> str:
    await house.revoke(token)
    return "signed out"


async def _rotate(house: Installation, grant_id: str, times: int) -> None:
    """Take so many steps in one go, with the statement that a refresh uses."""
    now = house.clock.now()

    async def work(tx: Transaction) -> None:
        for step in range(1, times + 1):
            await tx.run(store.ROTATE, {"grant_id": grant_id, "spent": step, "now": now, "refresh_until": now + 3_600})

    await house.db.write(work)
