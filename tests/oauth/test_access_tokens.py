"""Opaque access tokens: their format, what they can do, and that they end at the moment at which their grant does."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.app import build_application
from keystead.db import Database
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, Scope, format_scopes
from keystead.kernel.secrets import AccessLocator, derive_access_token, read_access_token
from keystead.kernel.settings import Settings
from keystead.oauth.access_tokens import SCOPE_BITS, AccessTokens
from keystead.oauth.models import AccessTokenKind, TokenRequest, TokenSet
from keystead.oauth.service import DEVICE_CODE, REFRESH_TOKEN
from keystead.operate.logs import _Mask
from tests.oauth.conftest import Open
from tests.support.clock import ManualClock
from tests.support.installation import EVERY_SCOPE, PUBLIC_URL, Installation, tokens_from

KEY: Final = b"k" * 32
GOLDEN: Final = AccessLocator(bytes(range(16)), 1_800_000_000, 1_800_000_600, 0b1_0000_0000_0000_0101, b"0123456789")
GOLDEN_TEXT: Final = "pwoa_AQABAgMEBQYHCAkKCwwNDg8Aa0nSAABrSdRYAAAAAAABAAUwMTIzNDU2Nzg5tOm0yO-sMsKT6kHvEzeGigiGVW81lF5z"
RELEASED_BITS: Final = {
    "keys:read": 0, "keys:create": 1, "keys:update": 2, "keys:rotate": 3, "keys:delete": 4,
    "apps:read": 5, "apps:create": 6, "apps:delete": 7, "balance:read": 8, "balance:add": 9,
    "tokens:read": 10, "tokens:create": 11, "tokens:delete": 12, "sessions:read": 13, "sessions:delete": 14,
    "devices:read": 15, "devices:delete": 16,
}  # fmt: skip
"""What tokens of released versions say. Lines are added to this table and never changed."""

Pair = tuple[httpx.AsyncClient, httpx.AsyncClient]


async def redeem(house: Installation, kind: AccessTokenKind = AccessTokenKind.OPAQUE, **options: Any) -> TokenSet:
    """Sign ada, or somebody else, in, and return tokens of a kind."""
    client = options.pop("client", None) or await house.register()
    person = options.pop("person", house.ada)
    codes = await house.issue(client, options.pop("scope", EVERY_SCOPE))
    assert await house.approve(codes, person)
    request = TokenRequest(DEVICE_CODE, client, codes.device_code.reveal(), None, None, kind=kind)
    return await tokens_from(house.services.oauth, request, asyncio.Event().wait)


async def refresh(house: Installation, found: TokenSet, scope: str | None = None) -> TokenSet:
    """Renew tokens, the access token as an opaque one."""
    token = found.refresh_token.reveal()
    request = TokenRequest(REFRESH_TOKEN, None, None, token, scope, kind=AccessTokenKind.OPAQUE)
    return await tokens_from(house.services.oauth, request, asyncio.Event().wait)


async def status(web: httpx.AsyncClient, token: str) -> int:
    """Return what the hottest question answers to a token."""
    return (await web.get("/api/auth/session", headers={"Authorization": f"Bearer {token}"})).status_code


@pytest.fixture
async def processes(opened: Open) -> AsyncIterator[tuple[Installation, Pair]]:
    """Give an installation and the web of two of its processes, each of which remembers credentials."""
    house, neighbour = opened(access_token_ttl=600), opened()
    async with AsyncExitStack() as stack:
        webs = []
        for one in (house, neighbour):
            transport = httpx.ASGITransport(app=build_application(one.services, dev=False).asgi)
            web = httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False)
            webs.append(await stack.enter_async_context(web))
        yield house, (webs[0], webs[1])


# The format


def test_a_token_of_a_released_version_is_read_by_this_one_and_written_the_same() -> None:
    assert derive_access_token(KEY, GOLDEN).reveal() == GOLDEN_TEXT
    assert read_access_token(KEY, GOLDEN_TEXT) == GOLDEN
    assert len(GOLDEN_TEXT) == 97


def test_the_bit_of_each_scope_is_what_it_always_was_and_a_new_scope_has_a_new_one() -> None:
    assert {scope.value: bit for scope, bit in SCOPE_BITS.items()} == RELEASED_BITS
    assert SCOPE_BITS.keys() == ALL_SCOPES
    assert len(set(SCOPE_BITS.values())) == len(SCOPE_BITS)
    assert max(SCOPE_BITS.values()) < 64


@given(
    st.builds(
        AccessLocator,
        grant=st.binary(min_size=16, max_size=16),
        issued_at=st.integers(0, 2**40 - 1),
        expires_at=st.integers(0, 2**40 - 1),
        scopes=st.integers(0, 2**64 - 1),
        nonce=st.binary(min_size=10, max_size=10),
    )
)
def test_what_a_token_says_is_read_as_it_was_written(locator: AccessLocator) -> None:
    text = derive_access_token(KEY, locator).reveal()
    assert read_access_token(KEY, text) == locator
    assert read_access_token(b"x" * 32, text) is None


@given(st.integers(0, 96), st.characters(codec="utf-8"))
async def test_a_token_with_a_character_changed_left_out_or_added_costs_no_look_up(place: int, other: str) -> None:
    # Without a database: whoever asked it would fail.
    tokens = AccessTokens(db=cast(Database, None), clock=ManualClock(), key=KEY, settings=Settings())
    changed = GOLDEN_TEXT[:place] + other + GOLDEN_TEXT[place + 1 :]
    for text in (changed, GOLDEN_TEXT[:place], GOLDEN_TEXT[place + 1 :], GOLDEN_TEXT + other, other + GOLDEN_TEXT):
        if text != GOLDEN_TEXT:
            assert await tokens.find(text) is None


async def test_a_token_with_any_bit_flipped_costs_no_look_up() -> None:
    tokens = AccessTokens(db=cast(Database, None), clock=ManualClock(), key=KEY, settings=Settings())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(5, len(GOLDEN_TEXT)):
        for bit in range(6):
            flipped = alphabet[alphabet.index(GOLDEN_TEXT[place]) ^ 1 << bit]
            assert await tokens.find(GOLDEN_TEXT[:place] + flipped + GOLDEN_TEXT[place + 1 :]) is None


async def test_an_expired_token_costs_no_look_up_and_ends_nothing() -> None:
    clock = ManualClock()
    tokens = AccessTokens(db=cast(Database, None), clock=clock, key=KEY, settings=Settings())
    locator = AccessLocator(uuid.uuid4().bytes, clock.now() - 600, clock.now(), 1, b"0123456789")
    expired = derive_access_token(KEY, locator).reveal()
    assert await tokens.find(expired) is None
    assert tokens.read(expired) is None


def test_no_line_of_the_log_holds_a_token() -> None:
    line = {"event": f"refused {GOLDEN_TEXT}", "exception": f"text='{GOLDEN_TEXT}'"}
    assert _Mask("pwt")(line) == {"event": "refused pwoa_********", "exception": "text='pwoa_********'"}


# What it can do


async def test_a_token_is_nothing_that_the_database_holds(house: Installation) -> None:
    before = await house.rows()
    first = await redeem(house)
    made = await house.rows()
    for _ in range(3):
        first = await refresh(house, first)
    assert await house.rows() == made
    assert made - before == {"client": 1, "device_authorization": 1, "oauth_grant": 1} | {
        name: number for name, number in (made - before).items() if name in {"app", "audit_event", "revocation"}
    }


async def test_a_token_does_what_was_granted_and_what_the_role_still_allows(house: Installation) -> None:
    tokens = await redeem(house, scope="balance:add keys:read apps:delete")
    access = house.services.oauth.access
    found = await access.find(tokens.access_token.reveal())
    assert found is not None
    assert (found.identity.user_id, found.identity.organization) == (house.ada.id, "acme")
    assert format_scopes(found.scopes) == "keys:read apps:delete balance:add"
    await house.set_role(house.ada, Role.MEMBER)
    narrowed = await access.find(tokens.access_token.reveal())
    assert narrowed is not None
    assert narrowed.scopes == {Scope.KEYS_READ}


async def test_a_refresh_that_asks_for_less_gives_a_token_that_can_do_less(house: Installation) -> None:
    first = await redeem(house, person=house.bob)
    second = await refresh(house, first, "keys:read tokens:read")
    third = await refresh(house, second)
    access = house.services.oauth.access
    told = [await access.find(one.access_token.reveal()) for one in (first, second, third)]
    every = ROLE_SCOPES[Role.MEMBER]
    assert [one.scopes for one in told if one] == [every, {Scope.KEYS_READ, Scope.TOKENS_READ}, every]
    assert len({one.credential_id for one in told if one}) == 3
    assert len({one.grant_id for one in told if one}) == 1


async def test_a_token_lives_no_longer_than_its_grant(opened: Open) -> None:
    house = opened(grant_ttl=100, access_token_ttl=600)
    tokens = await redeem(house)
    assert tokens.expires_in == 100
    house.clock.advance(99)
    assert await house.services.oauth.access.find(tokens.access_token.reveal()) is not None
    house.clock.advance(1)
    assert await house.services.oauth.access.find(tokens.access_token.reveal()) is None


async def test_what_a_token_makes_ends_with_its_grant_as_well(house: Installation) -> None:
    tokens = await redeem(house)
    maker = await house.services.oauth.access.find(tokens.access_token.reveal())
    assert maker is not None
    made = await house.services.tokens.issue_derived(maker)
    assert await house.services.tokens.find(made.token.reveal()) is not None
    await house.revoke(tokens.access_token.reveal())
    assert await house.services.tokens.find(made.token.reveal()) is None


# How it ends


End = Callable[[Installation, TokenSet], Awaitable[object]]


async def _sign_out(house: Installation, tokens: TokenSet) -> None:
    found = await house.services.oauth.access.find(tokens.access_token.reveal())
    assert found is not None
    assert found.grant_id is not None
    await house.services.connected.sign_out(found, found.grant_id)


async def _use_a_copy(house: Installation, tokens: TokenSet) -> None:
    newer = tokens
    for _ in range(3):
        newer = await refresh(house, newer)
    with pytest.raises(Exception, match="used before"):
        await refresh(house, tokens)


async def _delete_the_client(house: Installation, _: TokenSet) -> None:
    await house.services.oauth.clients.delete(await house.register())


ENDS: Final[dict[str, End]] = {
    "its refresh token is revoked": lambda house, tokens: house.revoke(tokens.refresh_token.reveal()),
    "it is revoked itself": lambda house, tokens: house.revoke(tokens.access_token.reveal()),
    "the device is signed out": _sign_out,
    "a copied refresh token is used": _use_a_copy,
    "the client is deleted": _delete_the_client,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_token_is_refused_at_once_in_every_process_that_remembers_it_when(
    processes: tuple[Installation, Pair], end: End
) -> None:
    house, webs = processes
    tokens, others = await redeem(house), await redeem(house, client=await house.register("another"))
    ended, untouched = tokens.access_token.reveal(), others.access_token.reveal()
    for _ in range(3):
        assert [await status(web, one) for web in webs for one in (ended, untouched)] == [200] * 4
    await end(house, tokens)
    assert [await status(web, ended) for web in webs] == [401, 401]
    assert [await status(web, untouched) for web in webs] == [200, 200]


async def test_a_signed_access_token_lives_on_after_its_grant_however_well_it_is_remembered(
    processes: tuple[Installation, Pair],
) -> None:
    house, webs = processes
    tokens = await redeem(house, AccessTokenKind.JWT)
    access = tokens.access_token.reveal()
    assert [await status(web, access) for web in webs] == [200, 200]
    await house.revoke(tokens.refresh_token.reveal())
    assert [await status(web, access) for web in webs] == [200, 200]
    house.clock.advance(tokens.expires_in)
    assert [await status(web, access) for web in webs] == [401, 401]


@pytest.mark.parametrize("leaving", ["disabled", "removed"])
async def test_a_token_of_somebody_who_may_not_act_any_more_is_nobodys(house: Installation, leaving: str) -> None:
    tokens = await redeem(house)
    await (house.disable(house.ada) if leaving == "disabled" else house.remove(house.ada))
    assert await house.services.oauth.access.find(tokens.access_token.reveal()) is None


async def test_a_token_of_a_grant_that_is_renewed_all_the_while_goes_on(house: Installation) -> None:
    first = await redeem(house)
    await refresh(house, await refresh(house, first))
    assert await house.services.oauth.access.find(first.access_token.reveal()) is not None
