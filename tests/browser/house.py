"""An installation that has been lived in for weeks: people of each role, keys, devices, sessions, a balance, events.

It is made by the services themselves with a clock that is moved along, so that its times are as they would be.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from keystead.kernel.clock import Clock, SystemClock
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import InvalidGrant
from keystead.kernel.scopes import ALL_SCOPES, ROLE_SCOPES, Role, format_scopes
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import FILE_NAME, load_settings
from keystead.oauth.models import Decision, TokenRequest, TokenSet
from keystead.oauth.service import DEVICE_CODE, REFRESH_TOKEN
from keystead.services import Services, open_services
from keystead.sessions.models import SignedIn
from tests.support import engine
from tests.support.clock import ManualClock
from tests.support.server import ADA, BOB, Person

T = TypeVar("T")
Plan = Iterator[tuple[int, Callable[[], Awaitable[None]]]]
"""What happens, and how many seconds before the end."""

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400
LIVED_IN: Final = 40 * DAY
OFFICE: Final = "203.0.113.24"
HOME: Final = "198.51.100.7"
ABROAD: Final = "192.0.2.66"

CAROL: Final = Person("carol", "seven kettles over the harbour", "carol@example.com", "admin")
EVE: Final = Person("eve", "an owl that nobody invited", "eve@example.org", "owner")
"""She owns another organization, globex, in which ada is a member."""

FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
SAFARI: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)
EDGE: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
    "Safari/537.36 Edg/140.0.0.0"
)
LONGEST_TITLE: Final = "Mobile app, Android and iOS, release builds and beta test builds"
LINUX: Final = {"system": "Linux", "machine": "x86_64"}
MAC: Final = {"system": "Darwin", "machine": "arm64"}


@dataclass(frozen=True, slots=True)
class House:
    """A data directory and the ids of what is in it."""

    data: Path
    acme: str
    globex: str
    people: dict[str, str]
    apps: dict[str, str]
    keys: dict[str, str]


def elsewhere(work: Callable[[], T]) -> T:
    """Do something in another thread: Playwright keeps a loop running in the one of the tests."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def with_services(
    data: Path, public_url: str, work: Callable[[Services], Coroutine[Any, Any, T]], clock: Clock | None = None
) -> T:
    """Do something to an installation as another process would, whether or not a server runs over it."""
    settings = load_settings({}, data / FILE_NAME, public_url=public_url)

    async def whole() -> T:
        services = open_services(data, settings, clock or SystemClock())
        try:
            return await work(services)
        finally:
            await services.aclose()

    return elsewhere(lambda: asyncio.run(whole()))


def furnish(data: Path, *, until: int) -> House:
    """Fill an empty data directory with weeks of life that end at ``until``, in Unix seconds."""
    engine.prepare(data)
    clock = ManualClock(until - LIVED_IN)
    life = _Life(data, clock, until)
    return with_services(data, "https://auth.example.com", life.live, clock)


class _Life:
    """What happened in the installation, from the first day to the last minute."""

    def __init__(self, data: Path, clock: ManualClock, until: int) -> None:
        self._data = data
        self._clock = clock
        self._until = until
        self._people: dict[str, str] = {}
        self._apps: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._tokens: dict[str, TokenSet] = {}

    async def live(self, services: Services) -> House:
        """Let everything happen in its order, however it was planned."""
        acme, globex = await self._move_in(services)
        ada = await self._principal(services, "ada", acme)
        bob = await self._principal(services, "bob", acme)
        plan = [
            *self._keys_made(services, ada, bob),
            *self._keys_used(services),
            *self._devices(services, acme),
            *self._money(services, ada),
            *self._invitations(services, ada),
            *self._today(services, ada),
        ]
        for before_the_end, happen in sorted(plan, key=lambda planned: -planned[0]):
            self._clock.advance(max(0, self._until - before_the_end - self._clock.now()))
            await happen()
        self._clock.advance(self._until - self._clock.now())
        return House(self._data, acme, globex, self._people, self._apps, self._keys)

    async def _move_in(self, services: Services) -> tuple[str, str]:
        await services.signing_keys.ensure()
        acme = await services.accounts.create_organization("acme", "Acme Robotics")
        globex = await services.accounts.create_organization("globex", "Globex")
        await services.accounts.create_organization("initech", "Initech")  # nobody has come yet
        for person, home in ((ADA, "acme"), (CAROL, "acme"), (BOB, "acme"), (EVE, "globex")):
            self._people[person.username] = await services.accounts.create_user(
                username=person.username,
                email=person.email,
                organization=home,
                role=Role(person.role),
                password=Secret(person.password),
                name=person.username.title(),
                platform_admin=person is ADA,
            )
        await services.accounts.add_membership(self._people["ada"], globex, Role.MEMBER)
        return acme, globex

    async def _principal(self, services: Services, username: str, organization_id: str) -> Principal:
        identity = await services.accounts.identity(self._people[username], organization_id)
        if identity is None:
            raise LookupError(username)
        return Principal(identity, Method.SESSION, ROLE_SCOPES[Role(identity.role)], "furnishing", None)

    def _keys_made(self, services: Services, ada: Principal, bob: Principal) -> Plan:
        async def make_app(name: str) -> None:
            self._apps[name] = (await services.keys.create_app(ada, name, address=OFFICE)).id

        async def make_key(who: Principal, app: str, title: str, lives: int | None) -> None:
            ends = None if lives is None else self._clock.now() + lives
            made = await services.keys.create_key(who, self._apps[app], title, expires_at=ends, address=OFFICE)
            self._keys[title] = made.record.id

        for number, name in enumerate(("production", "nightly-reports", "experiments")):
            yield 38 * DAY - number, partial(make_app, name)
        for number, (who, app, title, lives) in enumerate(
            (
                (ada, "production", "Web shop", 365 * DAY),
                (ada, "nightly-reports", "Report runner", None),
                (ada, "experiments", "Notebook on the lab machine", 41 * DAY),
                (bob, "experiments", "Bob's laptop", 90 * DAY),
                (ada, "production", LONGEST_TITLE, None),
            )
        ):
            yield 37 * DAY - 7 * HOUR * number, partial(make_key, who, app, title, lives)

    def _keys_used(self, services: Services) -> Plan:
        async def use(title: str, times: int) -> None:
            at = self._clock.now()
            await services.keys.record_use([(self._keys[title], at, OFFICE)])
            await services.keys.use.count([(self._keys[title], at - at % DAY, times)])

        for day in range(30, 0, -1):
            yield day * DAY, partial(use, "Web shop", 40 + 13 * (day % 7))
            if day % 3:
                yield day * DAY, partial(use, "Report runner", 3)

    def _devices(self, services: Services, acme: str) -> Plan:
        async def begin(number: int, name: str, machine: dict[str, str], address: str, scope: str) -> None:
            asked = DeviceRequest(name, machine, address, scope)
            self._tokens[str(number)] = await approve(services, asked, self._people["ada"], acme)

        async def renew(number: int) -> None:
            self._tokens[str(number)] = await _refresh(services, self._tokens[str(number)])

        for number, (days, name, machine, address, scope) in enumerate(
            (
                (6, "parallel-cli", LINUX, OFFICE, "keys:read keys:create apps:read balance:read"),
                (5, "Code editor extension", MAC, HOME, "keys:read"),
                (3, "parallel-cli", LINUX, HOME, format_scopes(ALL_SCOPES)),
            )
        ):
            yield days * DAY, partial(begin, number, name, machine, address, scope)
            yield days * HOUR, partial(renew, number)

        async def copied() -> None:
            asked = DeviceRequest("deploy-bot", LINUX, OFFICE, "keys:read")
            first = await approve(services, asked, self._people["ada"], acme)
            await _refresh(services, await _refresh(services, first))
            self._tokens["copied"] = first

        async def used_by_a_stranger() -> None:
            try:
                await _refresh(services, self._tokens["copied"], ABROAD)
            except InvalidGrant:  # the sign-in has ended, and ada is told
                pass

        yield 4 * DAY, copied
        yield 2 * DAY, used_by_a_stranger

    def _money(self, services: Services, ada: Principal) -> Plan:
        async def add(cents: int, reference: str) -> None:
            await services.balance.add(ada, cents, reference, address=OFFICE)

        for days, cents in ((30, 5_000), (16, 2_500), (1, 10_000)):
            yield days * DAY, partial(add, cents, f"top-up-{days}")

    def _invitations(self, services: Services, ada: Principal) -> Plan:
        async def invite(email: str, role: Role) -> None:
            await services.organizations.invite(ada, email, role, OFFICE)

        yield 2 * DAY, partial(invite, "dora@example.com", Role.MEMBER)
        yield 1 * DAY, partial(invite, "finance@example.com", Role.ADMIN)

    def _today(self, services: Services, ada: Principal) -> Plan:
        devices: dict[str, str] = {}  # the browsers that are known already

        async def begin(user_agent: str, address: str) -> None:
            known = devices.get(user_agent)
            begun = await sign_in(services, ADA, user_agent=user_agent, address=address, device_cookie=known)
            devices[user_agent] = begun.device_cookie.reveal()

        async def token() -> None:
            await services.tokens.issue_short_term(ada.identity, address=OFFICE)

        for hours, user_agent, address in (
            (8 * 24, FIREFOX, OFFICE),
            (49, EDGE, OFFICE),
            (9, EDGE, OFFICE),
            (5, SAFARI, HOME),
            (1, FIREFOX, OFFICE),
        ):
            yield hours * HOUR, partial(begin, user_agent, address)
        yield 40 * MINUTE, token


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """What a device says of itself and asks for."""

    name: str
    machine: dict[str, str]
    address: str
    scope: str


async def approve(services: Services, asked: DeviceRequest, user_id: str, organization_id: str) -> TokenSet:
    """Sign a device in, in somebody's name."""
    client = await services.oauth.clients.register({"client_name": asked.name, "platform": asked.machine})
    codes = await services.oauth.devices.issue(client.id, asked.scope, asked.address)
    view = await services.oauth.devices.look_up(codes.user_code.reveal(), user_id, asked.address)
    if view is None:
        raise LookupError(asked.name)
    decision = Decision(True, organization_id, user_id, "furnishing", asked.address)
    await services.oauth.devices.decide(view, decision, Role.OWNER, "Acme Robotics")
    request = TokenRequest(DEVICE_CODE, client.id, codes.device_code.reveal(), None, None, asked.address)
    return await _tokens(services, request)


async def _refresh(services: Services, tokens: TokenSet, address: str = HOME) -> TokenSet:
    request = TokenRequest(REFRESH_TOKEN, None, None, tokens.refresh_token.reveal(), None, address)
    return await _tokens(services, request)


async def _tokens(services: Services, request: TokenRequest) -> TokenSet:
    tokens = await services.oauth.exchange(request, asyncio.Event().wait)
    if tokens is None:
        raise LookupError("tokens")
    return tokens


async def sign_in(
    services: Services, person: Person, *, user_agent: str, address: str, device_cookie: str | None = None
) -> SignedIn:
    """Begin a session for somebody with a password alone."""
    begun = await services.sessions.sign_in(
        person.username,
        Secret(person.password),
        address=address,
        user_agent=user_agent,
        device_cookie=device_cookie,
    )
    if not isinstance(begun, SignedIn):
        raise TypeError(f"{person.username} needs more than a password")
    return begun
