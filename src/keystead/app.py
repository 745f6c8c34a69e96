"""The one place where everything is wired together: settings and a database in, one ASGI application out."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

from keystead import __version__
from keystead.accounts.passwords import PasswordHasher
from keystead.accounts.service import Accounts
from keystead.activate.house import activate_routers
from keystead.audit.service import AuditLog
from keystead.balance.payments import OperatorCreditProvider
from keystead.balance.routes import BalanceRoutes
from keystead.balance.service import Balance
from keystead.db.engine import Database, DatabaseError
from keystead.db.installation import Keys as InstallationKeys
from keystead.db.opening import open_database, open_keys
from keystead.factors.service import Factors
from keystead.gate import openapi as gate_openapi
from keystead.gate.authenticator import Authenticator
from keystead.gate.door import Gate
from keystead.gate.history import History
from keystead.gate.last_use import LastUse
from keystead.gate.measures import Measures
from keystead.gate.operations import Operations
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Method
from keystead.kernel.sealing import derive_key
from keystead.kernel.settings import Settings
from keystead.keys.expiring import ExpiringKeys
from keystead.keys.routes import AppsRoutes
from keystead.keys.service import Keys
from keystead.mail.service import Mailer
from keystead.oauth import openapi as oauth_openapi
from keystead.oauth.access_tokens import AccessTokens
from keystead.oauth.account import DeviceRoutes
from keystead.oauth.clients import Clients
from keystead.oauth.connected import ConnectedDevices
from keystead.oauth.devices import Devices
from keystead.oauth.grants import Grants
from keystead.oauth.introspection import Introspection
from keystead.oauth.metadata import MetadataRoutes
from keystead.oauth.polls import Polls
from keystead.oauth.routes import OAuthRoutes
from keystead.oauth.service import OAuth
from keystead.oauth.surfaces import SURFACES
from keystead.oauth.waiting import WaitingRoom
from keystead.organizations.service import Organizations
from keystead.sessions.account import BrowserRoutes
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.recovery import Recovery
from keystead.sessions.second_factors import SecondFactors
from keystead.sessions.service import Sessions
from keystead.sessions.sign_ups import SignUps
from keystead.tokens import openapi as tokens_openapi
from keystead.tokens.account import TokenRoutes
from keystead.tokens.followers import Followers
from keystead.tokens.id_tokens import IdTokens
from keystead.tokens.revocations import RevocationFeed
from keystead.tokens.routes import KeySetRoutes, RevocationRoutes
from keystead.tokens.service import Tokens
from keystead.tokens.signing_keys import SigningKeys
from keystead.web.frame import NotSignedIn, to_sign_in
from keystead.web.house import Rooms, page_routes
from keystead.web.pages import ProblemPages
from keystead.wire.asgi import Endpoint
from keystead.wire.faults import answer_problems
from keystead.wire.limiter import Limiter
from keystead.wire.naming import named

CHANGES_EVERY = 1
"""Seconds between two looks at the feed of changes, beside the look that each request with a credential takes."""
SIGNING_KEYS_EVERY = 60
"""Seconds between two looks at whether a signing key is due."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """Every use case of the installation, for the server and for the operator's commands alike."""

    settings: Settings
    clock: Clock
    db: Database
    keys_of_installation: InstallationKeys
    limiter: Limiter
    audit: AuditLog
    mailer: Mailer
    expiring_keys: ExpiringKeys
    accounts: Accounts
    factors: Factors
    second_factors: SecondFactors
    sessions: Sessions
    keys: Keys
    signing_keys: SigningKeys
    tokens: Tokens
    revocations: RevocationFeed
    balance: Balance
    oauth: OAuth
    connected: ConnectedDevices
    organizations: Organizations
    recovery: Recovery
    sign_ups: SignUps
    impersonating: Impersonating

    async def aclose(self) -> None:
        """Finish what was accepted and let go of the database and of what the nodes share."""
        await self.oauth.aclose()
        await self.mailer.aclose()
        await self.limiter.aclose()
        await self.db.aclose()

    def close(self) -> None:
        """Do the same where no event loop runs."""
        asyncio.run(self.aclose())


def open_services(data: Path, settings: Settings, clock: Clock) -> Services:
    """Open the installation in ``data``, creating it when there is none. Raises InstallationError."""
    keys = open_keys(data, settings, clock)
    return build_services(settings, clock, open_database(data, settings, clock), keys)


def build_services(settings: Settings, clock: Clock, db: Database, keys: InstallationKeys) -> Services:
    """Hand every service what it needs."""
    limiter = Limiter(settings, clock, key=keys.devices)
    audit = AuditLog(clock=clock)
    mailer = Mailer(settings=settings, clock=clock)
    passwords = PasswordHasher(parallel=settings.password_hashes, waiting=settings.password_queue)
    accounts = Accounts(db=db, clock=clock, audit=audit, passwords=passwords, settings=settings)
    factors = Factors(db=db, clock=clock, keys=keys, settings=settings, audit=audit)
    sessions = Sessions(
        db=db,
        clock=clock,
        keys=keys,
        settings=settings,
        accounts=accounts,
        audit=audit,
        limiter=limiter,
        factors=factors,
    )
    second_factors = SecondFactors(
        db=db,
        clock=clock,
        settings=settings,
        mailer=mailer,
        accounts=accounts,
        factors=factors,
        sessions=sessions,
    )
    signing_keys = SigningKeys(db=db, clock=clock, keys=keys, settings=settings, audit=audit)
    tokens = Tokens(db=db, clock=clock, settings=settings, signing=signing_keys, accounts=accounts, audit=audit)
    api_keys = Keys(db=db, clock=clock, keys=keys, settings=settings, accounts=accounts, audit=audit, tokens=tokens)
    followers = Followers(None if db.hears_by_itself else db.changes)
    revocations = RevocationFeed(db=db, clock=clock, settings=settings, signing=signing_keys, followers=followers)
    payments = OperatorCreditProvider(db=db, clock=clock, settings=settings)
    balance = Balance(db=db, clock=clock, payments=payments, audit=audit)
    waiting = WaitingRoom(None if db.hears_by_itself else db.changes, most=settings.device_polls_held)
    clients = Clients(db=db, clock=clock, key=keys.clients, tokens=tokens, audit=audit)
    access = AccessTokens(db=db, clock=clock, key=derive_key(keys.refresh, "opaque-access"), settings=settings)
    id_tokens = IdTokens(clock=clock, signing=signing_keys, issuer=settings.public_url)
    grants = Grants(
        db=db,
        clock=clock,
        key=keys.refresh,
        settings=settings,
        tokens=tokens,
        access=access,
        id_tokens=id_tokens,
        audit=audit,
    )
    devices = Devices(
        db=db,
        clock=clock,
        key=keys.credentials,
        settings=settings,
        clients=clients,
        keys=api_keys,
        sessions=sessions,
        audit=audit,
    )
    polls = Polls(db=db, clock=clock, key=keys.credentials, settings=settings, grants=grants, waiting=waiting)
    connected = ConnectedDevices(db=db, clock=clock, grants=grants, tokens=tokens, audit=audit)
    oauth = OAuth(
        clients=clients,
        devices=devices,
        polls=polls,
        grants=grants,
        waiting=waiting,
        access=access,
        introspection=Introspection(tokens=tokens, access=access, grants=grants, issuer=settings.public_url),
    )
    organizations = Organizations(
        db=db,
        clock=clock,
        installation=keys,
        settings=settings,
        limiter=limiter,
        audit=audit,
        mailer=mailer,
        accounts=accounts,
        sessions=sessions,
        second_factors=second_factors,
        keys=api_keys,
        tokens=tokens,
        oauth=oauth,
        connected=connected,
    )
    db.listen(waiting.hear)
    db.listen(followers.hear)
    db.listen(lambda subject: signing_keys.forget() if subject in {"signing-keys", "*"} else None)
    return Services(
        settings,
        clock,
        db,
        keys,
        limiter,
        audit,
        mailer,
        ExpiringKeys(db=db, clock=clock, settings=settings, mailer=mailer),
        accounts,
        factors,
        second_factors,
        sessions,
        api_keys,
        signing_keys,
        tokens,
        revocations,
        balance,
        oauth,
        connected,
        organizations,
        Recovery(
            db=db,
            clock=clock,
            keys=keys,
            settings=settings,
            accounts=accounts,
            sessions=sessions,
            limiter=limiter,
            mailer=mailer,
        ),
        SignUps(
            db=db,
            clock=clock,
            keys=keys,
            settings=settings,
            accounts=accounts,
            sessions=sessions,
            limiter=limiter,
            mailer=mailer,
        ),
        Impersonating(db=db, clock=clock, keys=keys, settings=settings, accounts=accounts, audit=audit, mailer=mailer),
    )


@dataclass(frozen=True, slots=True)
class Application:
    """The finished server: the ASGI application, how to tell it to stop, and what it remembers of its last hour."""

    asgi: Gate
    operations: Operations
    history: History


def build_application(services: Services, *, dev: bool) -> Application:
    """Return the application around the services. ``dev`` lets this machine use plain HTTP."""
    settings = services.settings
    page = ProblemPages(settings.product_name)
    measures = Measures()
    history = History(measures, services.clock)
    authenticator = Authenticator(
        db=services.db,
        clock=services.clock,
        key=services.keys_of_installation.credentials,
        keys=services.keys,
        tokens=services.tokens,
        access=services.oauth.access,
        sessions=services.sessions,
    )
    last_use = LastUse(
        {Method.API_KEY: services.keys.record_use, Method.SESSION: services.sessions.record_use},
        {Method.API_KEY: services.keys.use.count},
    )
    operations = Operations(
        db=services.db,
        signing_keys=services.signing_keys,
        limiter=services.limiter,
        oauth=services.oauth,
        revocations=services.revocations,
        measures=measures,
        remembered=lambda: len(authenticator.cache),
        metrics_networks=settings.metrics_networks,
    )
    gate = Gate(
        inner=_build_pages_and_apis(services, page, last_use, history),
        direct={
            **_oauth_endpoints(services),
            **RevocationRoutes(services.revocations, services.limiter).endpoints(),
        },
        settings=settings,
        dev=dev,
        clock=services.clock,
        authenticator=authenticator,
        keys=services.keys,
        limiter=services.limiter,
        last_use=last_use,
        operations=operations,
        measures=measures,
        page=page,
    )
    return Application(gate, operations, history)


def _oauth_endpoints(services: Services) -> dict[str, Endpoint]:
    """Return the endpoints of device sign-in, those of both surfaces."""
    found: dict[str, Endpoint] = {}
    for surface in SURFACES:
        found.update(OAuthRoutes(services.oauth, services.limiter, services.settings.public_url, surface).endpoints())
    return found


def _build_pages_and_apis(services: Services, page: ProblemPages, last_use: LastUse, history: History) -> FastAPI:
    settings = services.settings
    app = _new_app(page, title="Keystead", openapi_url="/openapi.json", lifespan=_lifespan(services, last_use, history))
    for router in _activate_routers(services):
        app.include_router(router)
    app.include_router(KeySetRoutes(services.tokens, signing_key_lead=settings.signing_key_lead).router())
    app.include_router(MetadataRoutes(settings.public_url).router())
    app.mount("/account", build_account_api(services, page))  # before the many pages, which programs do not ask for
    app.router.routes.extend(page_routes(_rooms(services, history)))
    app.add_exception_handler(NotSignedIn, to_sign_in)
    _document(app)
    return app


def _activate_routers(services: Services) -> list[APIRouter]:
    return activate_routers(
        settings=services.settings,
        clock=services.clock,
        limiter=services.limiter,
        accounts=services.accounts,
        factors=services.factors,
        second_factors=services.second_factors,
        sessions=services.sessions,
        recovery=services.recovery,
        keys=services.keys,
        tokens=services.tokens,
        oauth=services.oauth,
        connected=services.connected,
        organizations=services.organizations,
        impersonating=services.impersonating,
    )


def _rooms(services: Services, history: History) -> Rooms:
    return Rooms(
        settings=services.settings,
        clock=services.clock,
        db=services.db,
        limiter=services.limiter,
        audit=services.audit,
        mailer=services.mailer,
        accounts=services.accounts,
        factors=services.factors,
        second_factors=services.second_factors,
        sessions=services.sessions,
        keys=services.keys,
        signing_keys=services.signing_keys,
        tokens=services.tokens,
        balance=services.balance,
        oauth=services.oauth,
        connected=services.connected,
        organizations=services.organizations,
        recovery=services.recovery,
        sign_ups=services.sign_ups,
        impersonating=services.impersonating,
        history=history,
    )


def _document(app: FastAPI) -> None:
    """Add to the OpenAPI document what FastAPI does not see: the endpoints in front of it."""
    document = app.openapi()
    document["paths"] = {
        **oauth_openapi.PATHS,
        **tokens_openapi.PATHS,
        **gate_openapi.PATHS,
        **document["paths"],
    }
    document.setdefault("components", {}).setdefault("securitySchemes", {}).update(gate_openapi.SECURITY_SCHEMES)


def build_account_api(services: Services, page: ProblemPages) -> FastAPI:
    """Return the Account API, an application of its own because it has an OpenAPI document of its own."""
    account = _new_app(
        page,
        title="Keystead Account API",
        openapi_url="/service/openapi.json",
        servers=[{"url": f"{services.settings.public_url}/account"}],
    )
    account.include_router(AppsRoutes(services.keys).router())
    account.include_router(BalanceRoutes(services.balance).router())
    account.include_router(TokenRoutes(services.tokens).router())
    account.include_router(BrowserRoutes(services.sessions).router())
    account.include_router(DeviceRoutes(services.connected).router())
    return account


def _new_app(page: ProblemPages, **options: Any) -> FastAPI:
    app = FastAPI(version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False, **options)
    app.router.routes[:] = named(app.router.routes)  # the document's own
    answer_problems(app, page)
    return app


def _lifespan(
    services: Services, last_use: LastUse, history: History
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.db.start()
        await services.signing_keys.ensure()
        services.limiter.start()
        tasks = [
            asyncio.create_task(_keep_signing_keys(services.signing_keys)),
            asyncio.create_task(last_use.write_for_ever()),
            asyncio.create_task(history.keep_for_ever()),
        ]
        if services.mailer.configured:
            tasks.append(asyncio.create_task(services.expiring_keys.go_on()))
        if not services.db.hears_by_itself:
            tasks.append(asyncio.create_task(_hear_changes(services.db)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await last_use.write()
            await services.aclose()

    return lifespan


async def _hear_changes(db: Database) -> None:
    """Hear of changes while no request asks: which key signs, for instance, is nobody's credential."""
    while True:
        await asyncio.sleep(CHANGES_EVERY)
        try:
            await db.changes()
        except DatabaseError:
            _log.warning("the feed of changes could not be read; every request that needs it asks for itself")


async def _keep_signing_keys(signing_keys: SigningKeys) -> None:
    while True:
        await asyncio.sleep(SIGNING_KEYS_EVERY)
        try:
            await signing_keys.ensure()
        except DatabaseError:
            _log.warning("it could not be seen whether a signing key is due; the next look may succeed")
