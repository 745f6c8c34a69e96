"""Short-term tokens that an API key asked for: they can do no more than the key, and end with it, however it ends."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from sqlalchemy import bindparam, select, update

from keystead.db import Command, Query, insert_into
from keystead.db.tables import api_key, revocation, revoked_token, short_term_token
from keystead.gate.authenticator import Authenticator
from keystead.gate.credentials import Kind, Presented
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Impersonator, Method, Principal
from keystead.kernel.problems import Conflict, CredentialNotAllowed, Impersonating, Unauthenticated
from keystead.kernel.scopes import ROLE_SCOPES, Role, Scope, Scopes
from keystead.keys.models import CreatedKey
from keystead.organizations.models import FateOfKeys
from keystead.tokens.derived import MOST_OF_A_KEY
from keystead.tokens.models import IssuedShortTermToken
from tests.support.installation import ADDRESS, Installation, Person
from tests.tokens.conftest import OpenInstallation

DAY: Final = 86_400
SCOPES: Final[Scopes] = frozenset({Scope.KEYS_READ, Scope.KEYS_DELETE, Scope.TOKENS_DELETE})
REVOKED: Final = Query(select(revoked_token.c.id).order_by(revoked_token.c.id), str)
REVOKED_UNTIL: Final = Query(select(revoked_token.c.expires_at).order_by(revoked_token.c.expires_at), int)
KEPT: Final = Query(select(short_term_token.c.id).where(short_term_token.c.api_key_id.is_not(None)), str)
SUBJECTS: Final = Query(select(revocation.c.subject).order_by(revocation.c.seq), str)
ADD: Final = Command(insert_into(short_term_token))
GIVE: Final = Command(update(api_key).where(api_key.c.id == bindparam("key")).values(user_id=bindparam("taker")))


@dataclass(frozen=True)
class Site:
    """An installation with the gate's cache in front of it."""

    house: Installation
    gate: Authenticator

    async def who(self, text: str) -> Principal | None:
        """Return who a token belongs to, as the gate remembers or finds it."""
        try:
            return (await self.gate.entry(Presented(Kind.TOKEN, text))).principal
        except Unauthenticated:
            return None

    async def principal(self, person: Person, method: Method = Method.SESSION) -> Principal:
        identity = await self.house.services.accounts.identity(person.id, self.house.acme)
        if identity is None:
            raise LookupError(person)
        return Principal(identity, method, ROLE_SCOPES[Role(identity.role)], "a credential", None)

    async def key(self, person: Person | None = None, *, scopes: Scopes = SCOPES, **options: Any) -> CreatedKey:
        """Make a key of bob's, or of somebody else's."""
        creator = await self.principal(person or self.house.bob)
        return await self.house.services.keys.create_key(creator, None, "a key", scopes=scopes, **options)

    async def holder(self, key: CreatedKey) -> Principal:
        """Return what the gate makes of a key."""
        return (await self.gate.entry(Presented(Kind.API_KEY, key.secret.reveal()))).principal

    async def issue(self, key: CreatedKey, **options: Any) -> IssuedShortTermToken:
        """Ask for a token with a key."""
        return await self.house.services.tokens.issue_for(await self.holder(key), **options)


def site_of(house: Installation) -> Site:
    rooms = house.services
    gate = Authenticator(
        db=house.db,
        clock=house.clock,
        key=b"k" * 32,
        keys=rooms.keys,
        tokens=rooms.tokens,
        access=rooms.oauth.access,
        sessions=rooms.sessions,
    )
    return Site(house, gate)


@pytest.fixture
def site(opened: OpenInstallation) -> Site:
    return site_of(opened())


def claims_of(token: IssuedShortTermToken) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.token.reveal().split(".")[1] + "=="))
    return found


# What such a token can do


async def test_a_token_has_the_scopes_of_its_key_and_acts_as_its_owner(site: Site) -> None:
    issued = await site.issue(await site.key())
    found = await site.who(issued.token.reveal())
    assert found is not None
    assert (found.identity.user_id, found.method, found.scopes) == (site.house.bob.id, Method.SHORT_TERM_TOKEN, SCOPES)
    assert claims_of(issued)["scope"] == "keys:read keys:delete tokens:delete"


async def test_a_key_without_scopes_makes_a_token_that_can_do_nothing(site: Site) -> None:
    issued = await site.issue(await site.key(site.house.ada, scopes=frozenset()))
    found = await site.who(issued.token.reveal())
    assert claims_of(issued)["scope"] == ""
    assert found is not None
    assert found.scopes == frozenset()


async def test_no_token_is_able_to_make_another_one(site: Site) -> None:
    issued = await site.issue(await site.key(scopes=SCOPES | {Scope.TOKENS_CREATE}))
    found = await site.who(issued.token.reveal())
    assert found is not None
    assert found.scopes == SCOPES
    with pytest.raises(CredentialNotAllowed):
        await site.house.services.tokens.issue_for(found)
    with pytest.raises(CredentialNotAllowed):
        await site.house.services.tokens.issue_for_key(await site.principal(site.house.bob))


async def test_when_its_owner_is_demoted_a_token_can_do_only_what_the_new_role_allows(site: Site) -> None:
    ada, bob = site.house.ada, site.house.bob
    key = await site.key(ada, scopes=SCOPES | {Scope.APPS_CREATE, Scope.BALANCE_ADD})
    issued = await site.issue(key)
    before = await site.who(issued.token.reveal())
    await site.house.services.organizations.change_role(await site.principal(ada), bob.id, Role.OWNER)
    await site.house.services.organizations.change_role(await site.principal(bob), ada.id, Role.MEMBER)
    after, again = await site.who(issued.token.reveal()), await site.issue(key)
    assert before is not None
    assert after is not None
    assert before.scopes - after.scopes == {Scope.APPS_CREATE, Scope.BALANCE_ADD}
    assert after.scopes == SCOPES
    assert claims_of(again)["scope"] == "keys:read keys:delete tokens:delete"


async def test_an_operator_who_acts_as_somebody_makes_no_token(site: Site) -> None:
    acting = replace(await site.principal(site.house.bob), impersonator=Impersonator("u", "root", "s"))
    with pytest.raises(Impersonating):
        await site.house.services.tokens.issue_for(acting)
    assert await site.house.services.tokens.list_short_term(acting.identity) == []


# How long it lives


@pytest.mark.parametrize(("life", "asked", "lives"), [(None, None, DAY), (None, 3_600, 3_600), (900, 3_600, 900)])
async def test_a_token_lives_as_long_as_was_asked_and_no_longer_than_its_key(
    site: Site, life: int | None, asked: int | None, lives: int
) -> None:
    key = await site.key(lives_for=life)
    issued = await site.issue(key, lifetime=asked)
    assert claims_of(issued)["exp"] - claims_of(issued)["iat"] == lives
    site.house.clock.advance(lives - 1)
    assert await site.who(issued.token.reveal()) is not None
    site.house.clock.advance(1)
    assert await site.who(issued.token.reveal()) is None


async def test_the_servers_setting_may_be_shorter(opened: OpenInstallation) -> None:
    site = site_of(opened(short_term_token_ttl=600))
    issued = await site.issue(await site.key(), lifetime=DAY)
    assert claims_of(issued)["exp"] - claims_of(issued)["iat"] == 600


# How it ends

Ending = Callable[[Site, CreatedKey], Awaitable[None]]


async def deleted(site: Site, key: CreatedKey) -> None:
    bob = await site.principal(site.house.bob)
    await site.house.services.keys.delete_key(bob, key.record.app_id, key.record.id)


async def deleted_by_its_title(site: Site, key: CreatedKey) -> None:
    await site.house.services.keys.own.delete(await site.principal(site.house.bob), key.record.title)


async def deleted_by_itself(site: Site, key: CreatedKey) -> None:
    await site.house.services.keys.own.delete(await site.holder(key), key.record.id)


async def revoked_by_the_operator(site: Site, key: CreatedKey) -> None:
    await site.house.services.keys.revoke_key(key.record.id)


async def deleted_with_its_app(site: Site, key: CreatedKey) -> None:
    await site.house.services.keys.delete_app(await site.principal(site.house.ada), key.record.app_id)


async def rotated_without_an_overlap(site: Site, key: CreatedKey) -> None:
    bob = await site.principal(site.house.bob)
    await site.house.services.keys.changes.rotate(bob, key.record.app_id, key.record.id, 0)


async def exposed(site: Site, key: CreatedKey) -> None:
    neighbour = site.house.neighbour(revoke_exposed_keys=True)
    await neighbour.services.keys.flag_exposed(key.secret.reveal(), ADDRESS)
    neighbour.close()
    await site.house.db.changes()


def member_removed(keys: FateOfKeys) -> Ending:
    async def removed(site: Site, _: CreatedKey) -> None:
        ada = await site.principal(site.house.ada)
        await site.house.services.organizations.remove_member(ada, site.house.bob.id, keys=keys)

    return removed


ENDINGS: Final[dict[str, Ending]] = {
    "deleted": deleted,
    "deleted by its title": deleted_by_its_title,
    "deleted by itself": deleted_by_itself,
    "revoked by the operator": revoked_by_the_operator,
    "deleted with its app": deleted_with_its_app,
    "rotated without an overlap": rotated_without_an_overlap,
    "exposed": exposed,
    "its owner was removed": member_removed("delete"),
    "taken over": member_removed("take"),
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_with_its_key_a_token_ends_at_once_and_is_told_to_those_who_verify_offline(site: Site, how: str) -> None:
    key = await site.key()
    tokens = [await site.issue(key) for _ in range(3)]
    texts = [one.token.reveal() for one in tokens]
    assert None not in [await site.who(text) for text in texts]
    await ENDINGS[how](site, key)
    assert [await site.who(text) for text in texts] == [None] * 3
    assert await site.house.db.all(REVOKED, {}) == sorted(one.id for one in tokens)
    assert await site.house.db.all(KEPT, {}) == []
    subjects = await site.house.db.all(SUBJECTS, {})
    assert "revoked-tokens" in subjects
    assert {f"credential:{one.id}" for one in tokens} <= set(subjects) or f"user:{site.house.bob.id}" in subjects


@pytest.mark.parametrize("how", ENDINGS)
async def test_what_another_key_asked_for_goes_on(site: Site, how: str) -> None:
    if how in {"its owner was removed", "taken over"}:
        other, key = await site.key(site.house.ada), await site.key()
    else:
        key = await site.key()
        app = await site.house.services.keys.create_app(await site.principal(site.house.ada), "another app")
        creator = await site.principal(site.house.bob)
        other = await site.house.services.keys.create_key(creator, app.id, "other", scopes=SCOPES)
    going, ending = await site.issue(other), await site.issue(key)
    assert await site.who(going.token.reveal()) is not None
    await ENDINGS[how](site, key)
    assert await site.who(going.token.reveal()) is not None
    assert await site.who(ending.token.reveal()) is None


@pytest.mark.parametrize("how", sorted(ENDINGS.keys() - {"exposed"}))
async def test_ending_a_key_takes_as_many_statements_for_one_token_as_for_fifty(
    opened: OpenInstallation, how: str
) -> None:
    site = site_of(opened())
    counts: list[int] = []
    for number in (1, 50):
        if counts and how in {"its owner was removed", "taken over"}:
            bob, acme = site.house.bob.id, site.house.acme
            await site.house.services.accounts.add_membership(bob, acme, Role.MEMBER)
        key = await site.key()
        await add_tokens(site, key, number)
        with site.house.db.traced() as statements:
            await ENDINGS[how](site, key)
        counts.append(len(statements))
    assert counts[0] == counts[1]


async def add_tokens(site: Site, key: CreatedKey, number: int, *, expires_in: int = DAY) -> None:
    """Store tokens of a key as if it had asked for them."""
    now = site.house.clock.now()
    whose = {"user_id": key.record.user_id, "organization_id": key.record.organization_id}
    made = {"grant_id": None, "api_key_id": key.record.id, "created_at": now, "expires_at": now + expires_in}
    await site.house.db.run_all(ADD, [{"id": one, **whose, **made} for one in sorted(new_id() for _ in range(number))])


async def test_a_key_that_has_expired_takes_its_tokens_with_it(site: Site) -> None:
    key = await site.key(lives_for=120)
    issued = await site.issue(key)
    site.house.clock.advance(119)
    assert await site.who(issued.token.reveal()) is not None
    holder = await site.holder(key)
    site.house.clock.advance(1)
    assert await site.who(issued.token.reveal()) is None
    with pytest.raises(Unauthenticated):
        await site.house.services.tokens.issue_for(holder)


async def test_a_key_that_was_rotated_keeps_its_tokens_until_it_ends_to_the_second(
    opened: OpenInstallation,
) -> None:
    site, elsewhere = site_of(opened()), site_of(opened())
    key = await site.key()
    text = (await site.issue(key)).token.reveal()
    for one in (site, elsewhere):
        assert await one.who(text) is not None
    bob = await site.principal(site.house.bob)
    rotated = await site.house.services.keys.changes.rotate(bob, key.record.app_id, key.record.id, 3_600)
    await elsewhere.house.db.changes()
    (listed,) = await site.house.services.tokens.list_short_term(bob.identity)
    assert listed.expires_at == rotated.predecessor_expires_at
    site.house.clock.advance(3_599)
    for one in (site, elsewhere):
        assert await one.who(text) is not None
    site.house.clock.advance(1)
    for one in (site, elsewhere):
        assert await one.who(text) is None
    assert await site.house.services.tokens.list_short_term(bob.identity) == []


async def test_a_rotated_key_that_is_deleted_tells_offline_verifiers_of_its_tokens_until_they_say_they_end(
    site: Site,
) -> None:
    key = await site.key()
    issued = await site.issue(key)
    bob = await site.principal(site.house.bob)
    await site.house.services.keys.changes.rotate(bob, key.record.app_id, key.record.id, 60)
    site.house.clock.advance(90)
    await site.house.services.keys.revoke_key(key.record.id)
    assert await site.house.db.all(REVOKED_UNTIL, {}) == [claims_of(issued)["exp"]]


async def test_a_token_whose_key_is_not_there_is_worth_nothing_even_if_nobody_was_told(site: Site) -> None:
    key = await site.key()
    issued = await site.issue(key)
    await site.house.run(Command(api_key.delete().where(api_key.c.id == bindparam("key"))), {"key": key.record.id})
    assert await site.house.services.tokens.find(issued.token.reveal()) is None
    assert await site.house.services.tokens.list_short_term((await site.principal(site.house.bob)).identity) == []


async def test_a_key_that_ended_a_moment_ago_makes_no_token_though_the_request_was_let_in(site: Site) -> None:
    key = await site.key()
    holder = await site.holder(key)
    await site.house.run(GIVE, {"key": key.record.id, "taker": site.house.ada.id})
    with pytest.raises(Unauthenticated):
        await site.house.services.tokens.issue_for(holder)
    await site.house.services.keys.revoke_key(key.record.id)
    with pytest.raises(Unauthenticated):
        await site.house.services.tokens.issue_for(holder)
    assert await site.house.db.all(KEPT, {}) == []


async def test_of_tokens_that_are_made_while_the_key_ends_none_is_left(opened: OpenInstallation) -> None:
    here, there = site_of(opened()), site_of(opened())
    for _ in range(5):
        key = await here.key()
        holder = await here.holder(key)

        async def ask(site: Site, who: Principal = holder) -> IssuedShortTermToken | None:
            try:
                return await site.house.services.tokens.issue_for(who)
            except Unauthenticated:
                return None

        outcomes = await asyncio.gather(
            *(ask(here) for _ in range(4)), deleted(there, key), *(ask(there) for _ in "abcd")
        )
        await here.house.db.changes()
        made = [one for one in outcomes if one is not None]
        assert [await here.who(one.token.reveal()) for one in made] == [None] * len(made)
        assert {one.id for one in made} <= set(await here.house.db.all(REVOKED, {}))


# How many there may be


async def test_one_key_makes_so_many_tokens_and_taking_them_back_makes_no_room(site: Site) -> None:
    key = await site.key()
    await add_tokens(site, key, MOST_OF_A_KEY - 2)
    first = await site.issue(key)
    await site.issue(key, lifetime=60)
    with pytest.raises(Conflict, match=str(MOST_OF_A_KEY)):
        await site.issue(key)
    bob = await site.principal(site.house.bob)
    await site.house.services.tokens.revoke_short_term(first.id, bob.identity)
    with pytest.raises(Conflict):
        await site.issue(key)
    await site.issue(await site.key())
    site.house.clock.advance(60)
    await site.issue(key)
