"""Every group of addresses of this API, put together from the services that they call."""

from fastapi import APIRouter

from keystead.accounts.service import Accounts
from keystead.activate.connected import ConnectedRoutes
from keystead.activate.device_decisions import DeviceDecisionRoutes
from keystead.activate.discovery import DiscoveryRoutes
from keystead.activate.factors import FactorRoutes
from keystead.activate.identity import IdentityRoutes
from keystead.activate.impersonation import ImpersonationRoutes
from keystead.activate.keys import KeyRoutes
from keystead.activate.login_sessions import LoginSessionRoutes
from keystead.activate.openid import OpenIdRoutes
from keystead.activate.passwords import PasswordRoutes
from keystead.activate.policies import PolicyRoutes
from keystead.activate.sign_in import SignInRoutes
from keystead.activate.steps import StepRoutes
from keystead.activate.tokens import AuthTokenRoutes
from keystead.factors.service import Factors
from keystead.kernel.clock import Clock
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys
from keystead.oauth.connected import ConnectedDevices
from keystead.oauth.service import OAuth
from keystead.organizations.service import Organizations
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.recovery import Recovery
from keystead.sessions.second_factors import SecondFactors
from keystead.sessions.service import Sessions
from keystead.tokens.service import Tokens
from keystead.wire.limiter import Limiter


def activate_routers(
    *,
    settings: Settings,
    clock: Clock,
    limiter: Limiter,
    accounts: Accounts,
    factors: Factors,
    second_factors: SecondFactors,
    sessions: Sessions,
    recovery: Recovery,
    keys: Keys,
    tokens: Tokens,
    oauth: OAuth,
    connected: ConnectedDevices,
    organizations: Organizations,
    impersonating: Impersonating,
) -> list[APIRouter]:
    """Return the routes of every group."""
    return [
        IdentityRoutes().router(),
        LoginSessionRoutes(organizations).router(),
        ConnectedRoutes(connected).router(),
        DeviceDecisionRoutes(oauth.devices, clock).router(),
        DiscoveryRoutes(settings.public_url).router(),
        OpenIdRoutes(oauth).router(),
        FactorRoutes(factors=factors, second_factors=second_factors, organizations=organizations).router(),
        KeyRoutes(keys).router(),
        AuthTokenRoutes(tokens, public_url=settings.public_url).router(),
        SignInRoutes(sessions, public_url=settings.public_url).router(),
        StepRoutes(sessions, limiter, public_url=settings.public_url).router(),
        PasswordRoutes(
            recovery=recovery,
            organizations=organizations,
            session_lifetime=settings.session_ttl,
            public_url=settings.public_url,
        ).router(),
        PolicyRoutes(organizations).router(),
        ImpersonationRoutes(impersonating, session_lifetime=settings.session_ttl).router(),
    ]
