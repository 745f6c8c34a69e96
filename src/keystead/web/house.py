"""Every page there is, put together from the services that pages call."""

from dataclasses import dataclass
from typing import Protocol

from fastapi import APIRouter
from starlette.routing import BaseRoute

from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.balance.service import Balance
from keystead.db import Database
from keystead.factors.service import Factors
from keystead.gate.history import History
from keystead.kernel.clock import Clock
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys
from keystead.mail.service import Mailer
from keystead.oauth.connected import ConnectedDevices
from keystead.oauth.service import OAuth
from keystead.organizations.service import Organizations
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.recovery import Recovery
from keystead.sessions.second_factors import SecondFactors
from keystead.sessions.service import Sessions
from keystead.sessions.sign_ups import SignUps
from keystead.tokens.service import Tokens
from keystead.tokens.signing_keys import SigningKeys
from keystead.web.brand import BrandFiles, read_brand, wear
from keystead.web.device import DevicePages
from keystead.web.entrance.forgotten import ForgottenPages
from keystead.web.entrance.invitations import InvitationPages
from keystead.web.entrance.second_factor import SecondFactorPages
from keystead.web.entrance.sign_in import SignInPages
from keystead.web.entrance.sign_up import SignUpPages
from keystead.web.entrance.switching import SwitchPages
from keystead.web.frame import Frames
from keystead.web.operator.acting import ActingPages
from keystead.web.operator.clients import ClientPages
from keystead.web.operator.health import HealthPages
from keystead.web.operator.organizations import OrganizationPages
from keystead.web.operator.policies import InstallationPolicyPages
from keystead.web.operator.signing_keys import SigningKeyPages
from keystead.web.operator.users import UserPages
from keystead.web.organization.apps import AppPages
from keystead.web.organization.audit import AuditPages
from keystead.web.organization.balance import BalancePages
from keystead.web.organization.members import MemberPages
from keystead.web.organization.policies import PolicyPages
from keystead.web.routes import PageRoutes
from keystead.web.settings.authenticator import AuthenticatorPages
from keystead.web.settings.devices import ConnectedPages
from keystead.web.settings.keys import KeyPages
from keystead.web.settings.new_key import NewKeyPages
from keystead.web.settings.overview import OverviewPages
from keystead.web.settings.passkeys import PasskeyPages
from keystead.web.settings.rotate_key import RotateKeyPages
from keystead.web.settings.second_factors import SecurityDesk
from keystead.web.settings.security import SecurityPages
from keystead.web.settings.sessions import SessionPages
from keystead.web.settings.tokens import TokenPages
from keystead.wire.limiter import Limiter
from keystead.wire.naming import named


class Pages(Protocol):
    """Some pages that belong together."""

    def router(self) -> APIRouter:
        """Return their routes, which are not part of the OpenAPI documents."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The services that pages call."""

    settings: Settings
    clock: Clock
    db: Database
    limiter: Limiter
    audit: AuditLog
    mailer: Mailer
    accounts: Accounts
    factors: Factors
    second_factors: SecondFactors
    sessions: Sessions
    keys: Keys
    signing_keys: SigningKeys
    tokens: Tokens
    balance: Balance
    oauth: OAuth
    connected: ConnectedDevices
    organizations: Organizations
    recovery: Recovery
    sign_ups: SignUps
    impersonating: Impersonating
    history: History


def page_routes(rooms: Rooms) -> list[BaseRoute]:
    """Return the routes of every page, in order. They are added as they are: a router that is included hides them."""
    return named(route for some in pages(rooms) for route in some.router().routes)


def pages(rooms: Rooms) -> list[Pages]:
    """Return every page."""
    frames = Frames(sessions=rooms.sessions, accounts=rooms.accounts, settings=rooms.settings, clock=rooms.clock)
    brand = read_brand(rooms.settings)
    wear(brand)
    return [
        BrandFiles(brand),
        PageRoutes(sessions=rooms.sessions, settings=rooms.settings),
        DevicePages(
            oauth=rooms.oauth,
            sessions=rooms.sessions,
            accounts=rooms.accounts,
            settings=rooms.settings,
            clock=rooms.clock,
            db=rooms.db,
        ),
        *_entrance(rooms, frames),
        *_settings(rooms, frames),
        *_organization(rooms, frames),
        *_operator(rooms, frames),
    ]


def _entrance(rooms: Rooms, frames: Frames) -> list[Pages]:
    """How people come in."""
    sessions, settings = rooms.sessions, rooms.settings
    return [
        SignInPages(sessions=sessions, settings=settings, sign_up=rooms.sign_ups.open),
        SecondFactorPages(sessions=sessions, settings=settings),
        ForgottenPages(recovery=rooms.recovery, settings=settings),
        SignUpPages(sign_ups=rooms.sign_ups, sessions=sessions, settings=settings),
        InvitationPages(
            organizations=rooms.organizations,
            accounts=rooms.accounts,
            sessions=sessions,
            limiter=rooms.limiter,
            settings=settings,
        ),
        SwitchPages(frames=frames, sessions=sessions),
    ]


def _settings(rooms: Rooms, frames: Frames) -> list[Pages]:
    """What everybody manages of their own."""
    desk = SecurityDesk(
        settings=rooms.settings,
        frames=frames,
        accounts=rooms.accounts,
        sessions=rooms.sessions,
        factors=rooms.factors,
        second_factors=rooms.second_factors,
        mailer=rooms.mailer,
        limiter=rooms.limiter,
    )
    return [
        SecurityPages(desk, audit=rooms.audit, db=rooms.db, recovery=rooms.recovery, impersonating=rooms.impersonating),
        PasskeyPages(desk),
        AuthenticatorPages(desk),
        OverviewPages(
            frames=frames,
            db=rooms.db,
            audit=rooms.audit,
            keys=rooms.keys,
            connected=rooms.connected,
            impersonating=rooms.impersonating,
        ),
        TokenPages(frames=frames, tokens=rooms.tokens, settings=rooms.settings),
        NewKeyPages(frames=frames, keys=rooms.keys, settings=rooms.settings),
        KeyPages(frames=frames, keys=rooms.keys, settings=rooms.settings),
        RotateKeyPages(frames=frames, keys=rooms.keys, settings=rooms.settings),
        ConnectedPages(frames=frames, connected=rooms.connected, access_token_ttl=rooms.settings.access_token_ttl),
        SessionPages(frames=frames, sessions=rooms.sessions),
    ]


def _organization(rooms: Rooms, frames: Frames) -> list[Pages]:
    """What owners and admins manage."""
    mails = rooms.mailer.configured
    return [
        MemberPages(frames=frames, organizations=rooms.organizations, mails=mails),
        AppPages(frames=frames, keys=rooms.keys),
        PolicyPages(frames=frames, organizations=rooms.organizations),
        BalancePages(frames=frames, balance=rooms.balance),
        AuditPages(frames=frames, audit=rooms.audit, accounts=rooms.accounts, db=rooms.db),
    ]


def _operator(rooms: Rooms, frames: Frames) -> list[Pages]:
    """What the operators of the installation manage."""
    return [
        OrganizationPages(
            frames=frames,
            organizations=rooms.organizations,
            accounts=rooms.accounts,
            mails=rooms.mailer.configured,
        ),
        UserPages(
            frames=frames,
            accounts=rooms.accounts,
            organizations=rooms.organizations,
            factors=rooms.factors,
            second_factors=rooms.second_factors,
        ),
        ActingPages(
            frames=frames,
            accounts=rooms.accounts,
            impersonating=rooms.impersonating,
            session_lifetime=rooms.sessions.lifetime,
            mails=rooms.mailer.configured,
        ),
        InstallationPolicyPages(frames=frames, organizations=rooms.organizations),
        ClientPages(frames=frames, clients=rooms.oauth.clients),
        SigningKeyPages(frames=frames, signing_keys=rooms.signing_keys, settings=rooms.settings),
        HealthPages(frames=frames, history=rooms.history, db=rooms.db, settings=rooms.settings),
    ]
