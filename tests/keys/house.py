"""An installation with two organizations and their people, apps, keys and balances, and the Account API in front."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import bindparam, select, update
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount

from keystead.accounts.passwords import PasswordHasher
from keystead.accounts.service import Accounts
from keystead.audit.models import AuditEvent
from keystead.audit.service import AuditLog
from keystead.balance.payments import OperatorCreditProvider, PaymentProvider
from keystead.balance.routes import BalanceRoutes
from keystead.balance.service import Balance
from keystead.db import Command, Query, Transaction
from keystead.db.installation import Keys as InstallationKeys
from keystead.db.tables import audit_event, membership
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import FieldProblem, InvalidParameters, MethodNotAllowed, NotFound, Problem
from keystead.kernel.scopes import ROLE_SCOPES, Role
from keystead.kernel.settings import Settings
from keystead.keys.models import App, CreatedKey
from keystead.keys.routes import AppsRoutes
from keystead.keys.service import Keys
from keystead.tokens.service import Tokens
from keystead.tokens.signing_keys import SigningKeys
from keystead.wire.answers import Surface, answer
from keystead.wire.asgi import App as Asgi
from keystead.wire.asgi import Receive, Scope, Send
from keystead.wire.caller import Caller, set_caller
from keystead.wire.methods import allowed_methods
from tests.support.clock import ManualClock
from tests.support.engine import OpenDatabase, open_database, open_keys

ADDRESS: Final = "192.0.2.7"
PUBLIC_URL: Final = "https://auth.example.com"

_EVENTS = Query(select(audit_event).order_by(audit_event.c.id), AuditEvent)
_SET_ROLE = Command(
    update(membership).where(membership.c.user_id == bindparam("member_id")).values(role=bindparam("new_role"))
)


@dataclass(frozen=True)
class House:
    """One process over an installation. Ada owns acme; alan is its admin, bob a member; eve owns another, evil."""

    directory: Path
    clock: ManualClock
    settings: Settings
    keys_of_installation: InstallationKeys
    db: OpenDatabase
    audit: AuditLog
    accounts: Accounts
    keys: Keys
    balance: Balance
    signing: SigningKeys
    tokens: Tokens

    async def move_in(self) -> None:
        """Add the organizations and the people."""
        for organization in ("acme", "evil"):
            await self.accounts.create_organization(organization)
        for name, organization, role in (
            ("ada", "acme", Role.OWNER),
            ("alan", "acme", Role.ADMIN),
            ("bob", "acme", Role.MEMBER),
            ("eve", "evil", Role.OWNER),
        ):
            await self.accounts.create_user(
                username=name, email=f"{name}@example.com", organization=organization, role=role
            )

    async def principal(self, name: str, method: Method = Method.ACCESS_TOKEN) -> Principal:
        """Return somebody with every scope that their role allows."""
        user = await self.accounts.user_by_name(name)
        if user is None:
            raise LookupError(name)
        (joined,) = await self.accounts.memberships_of(user.id)
        identity = await self.accounts.identity(user.id, joined.organization_id)
        if identity is None:
            raise LookupError(name)
        return Principal(identity, method, ROLE_SCOPES[Role(identity.role)], f"credential-of-{name}", None)

    async def app(self, owner: str = "ada", name: str = "Reports") -> App:
        """Make an app."""
        return await self.keys.create_app(await self.principal(owner), name)

    async def key(self, app: App, creator: str = "ada", **options: Any) -> CreatedKey:
        """Make a key."""
        return await self.keys.create_key(await self.principal(creator), app.id, "laptop", **options)

    async def set_role(self, name: str, role: Role) -> None:
        """Give somebody another role."""
        principal = await self.principal(name)

        async def work(tx: Transaction) -> None:
            await tx.run(_SET_ROLE, {"member_id": principal.identity.user_id, "new_role": role.value})

        await self.db.write(work)

    async def events(self, *types: str) -> list[AuditEvent]:
        """Return the events of these types, the oldest first."""
        return [event for event in await self.db.all(_EVENTS, {}) if event.type in types]

    def heard(self) -> list[str]:
        """Return a list to which the subject of each change is added from now on, whenever ``fresh`` is called."""
        subjects: list[str] = []
        self.db.listen(subjects.append)
        self.db.fresh()
        subjects.clear()
        return subjects

    def account_api(self, caller: Callable[[Scope], Principal | None]) -> Starlette:
        """Return the Account API, as it is mounted, for whoever ``caller`` says."""
        return Starlette(
            routes=[Mount("/account", _known(_account_api(self), caller))],
            exception_handlers={404: lambda *_: _told(NotFound())},
        )

    @asynccontextmanager
    async def client(self, principal: Principal | None) -> AsyncIterator[httpx.AsyncClient]:
        """Give a client whose every request comes from this principal."""
        transport = httpx.ASGITransport(app=self.account_api(lambda _: principal))
        async with httpx.AsyncClient(transport=transport, base_url=f"{PUBLIC_URL}/account/service/v1") as client:
            yield client


def _account_api(house: House) -> FastAPI:
    api = FastAPI(title="Account API", version="1", openapi_url="/service/openapi.json", redirect_slashes=False)
    api.include_router(AppsRoutes(house.keys).router())
    api.include_router(BalanceRoutes(house.balance).router())

    async def refused(_: Request, problem: Exception) -> Response:
        if not isinstance(problem, Problem):
            raise problem
        return _told(problem)

    async def misfit(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise error
        fields = []
        for found in error.errors():
            location, *names = (str(part) for part in found["loc"])
            fields.append(FieldProblem(location, ".".join(names), found["type"], found["msg"]))
        return await refused(request, InvalidParameters(fields=fields))

    async def unknown_method(request: Request, _: Exception) -> Response:
        allowed = {"Allow": allowed_methods(api.routes, request.scope)}
        return await refused(request, MethodNotAllowed(headers=allowed))

    api.add_exception_handler(405, unknown_method)
    api.add_exception_handler(Problem, refused)
    api.add_exception_handler(RequestValidationError, misfit)
    return api


def _told(problem: Problem) -> Response:
    told = answer(problem, Surface.ACCOUNT, "request", lambda *_: b"")
    return Response(told.body, told.status, headers=dict(told.headers))


def _known(inner: Asgi, caller: Callable[[Scope], Principal | None]) -> Asgi:
    """Stand where the gate stands: say who is calling."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        set_caller(scope, Caller("request", ADDRESS, caller(scope), None))
        await inner(scope, receive, send)

    return app


def neighbour(house: House) -> House:
    """Return another process over the same installation. Its database is closed by ``close``."""
    return _furnish(house.directory, house.clock, house.settings, house.keys_of_installation)


@contextmanager
def open_house(directory: Path, **settings: Any) -> Iterator[House]:
    """Open the installation in ``directory``, making one, with its people, where there is none."""
    clock = ManualClock()
    chosen = Settings.model_validate({"public_url": PUBLIC_URL, **settings})
    house = _furnish(directory, clock, chosen, open_keys(directory, clock))
    try:
        yield house
    finally:
        house.db.close()


def make_people(directory: Path) -> None:
    """Make an installation in ``directory``, with its people."""
    with open_house(directory) as house:
        asyncio.run(house.move_in())


def with_payments(house: House, payments: PaymentProvider) -> House:
    """Return the same house with another payment provider."""
    balance = Balance(db=house.db, clock=house.clock, payments=payments, audit=house.audit)
    return replace(house, balance=balance)


def _furnish(directory: Path, clock: ManualClock, settings: Settings, keys: InstallationKeys) -> House:
    db = open_database(directory, clock=clock)
    audit = AuditLog(clock=clock)
    passwords = PasswordHasher(parallel=1, waiting=1)
    accounts = Accounts(db=db, clock=clock, audit=audit, passwords=passwords, settings=settings)
    signing = SigningKeys(db=db, clock=clock, keys=keys, settings=settings, audit=audit)
    tokens = Tokens(db=db, clock=clock, settings=settings, signing=signing, accounts=accounts, audit=audit)
    api_keys = Keys(db=db, clock=clock, keys=keys, settings=settings, accounts=accounts, audit=audit, tokens=tokens)
    payments = OperatorCreditProvider(db=db, clock=clock, settings=settings)
    balance = Balance(db=db, clock=clock, payments=payments, audit=audit)
    passwords.close()  # nobody here has a password
    return House(directory, clock, settings, keys, db, audit, accounts, api_keys, balance, signing, tokens)
