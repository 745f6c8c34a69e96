"""The one place where the server is put together: services in, one ASGI application out."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI

from keystead import __version__
from keystead.activate.house import activate_routers
from keystead.balance.routes import BalanceRoutes
from keystead.db.engine import Database, DatabaseError
from keystead.gate import openapi as gate_openapi
from keystead.gate.authenticator import Authenticator
from keystead.gate.door import Gate
from keystead.gate.history import History
from keystead.gate.last_use import LastUse
from keystead.gate.measures import Measures
from keystead.gate.operations import Operations
from keystead.kernel.principal import Method
from keystead.keys.routes import AppsRoutes
from keystead.oauth import openapi as oauth_openapi
from keystead.oauth.account import DeviceRoutes
from keystead.oauth.metadata import MetadataRoutes
from keystead.oauth.routes import OAuthRoutes
from keystead.oauth.surfaces import SURFACES
from keystead.services import Services
from keystead.sessions.account import BrowserRoutes
from keystead.tokens import openapi as tokens_openapi
from keystead.tokens.account import TokenRoutes
from keystead.tokens.routes import KeySetRoutes, RevocationRoutes
from keystead.tokens.signing_keys import SigningKeys
from keystead.web.frame import NotSignedIn, to_sign_in
from keystead.web.house import Rooms, page_routes
from keystead.web.pages import ProblemPages
from keystead.wire.asgi import Endpoint
from keystead.wire.described import Described
from keystead.wire.faults import answer_problems
from keystead.wire.naming import named

CHANGES_EVERY = 1
"""Seconds between two looks at the feed of changes, beside the look that each request with a credential takes."""
SIGNING_KEYS_EVERY = 60
"""Seconds between two looks at whether a signing key is due."""

_log = logging.getLogger(__name__)


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
    app = _new_app(
        page,
        title="Keystead",
        openapi_url="/openapi.json",
        paths={**oauth_openapi.PATHS, **tokens_openapi.PATHS, **gate_openapi.PATHS},
        schemes=gate_openapi.SECURITY_SCHEMES,
        lifespan=_lifespan(services, last_use, history),
    )
    for router in _activate_routers(services):
        app.include_router(router)
    app.include_router(KeySetRoutes(services.tokens, signing_key_lead=settings.signing_key_lead).router())
    app.include_router(MetadataRoutes(settings.public_url).router())
    app.mount("/account", build_account_api(services, page))  # before the many pages, which programs do not ask for
    app.router.routes.extend(page_routes(_rooms(services, history)))
    app.add_exception_handler(NotSignedIn, to_sign_in)
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
    app = Described(version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False, **options)
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
