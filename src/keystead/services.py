"""Every use case of an installation, each handed what it needs: for the server and for the operator's commands."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from keystead.accounts.passwords import PasswordHasher
from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.balance.payments import OperatorCreditProvider
from keystead.balance.service import Balance
from keystead.db.engine import Database
from keystead.db.installation import Keys as InstallationKeys
from keystead.db.opening import open_database, open_keys
from keystead.factors.service import Factors
from keystead.kernel.clock import Clock
from keystead.kernel.sealing import derive_key
from keystead.kernel.settings import Settings
from keystead.keys.expiring import ExpiringKeys
from keystead.keys.service import Keys
from keystead.mail.service import Mailer
from keystead.oauth.access_tokens import AccessTokens
from keystead.oauth.clients import Clients
from keystead.oauth.connected import ConnectedDevices
from keystead.oauth.devices import Devices
from keystead.oauth.grants import Grants
from keystead.oauth.introspection import Introspection
from keystead.oauth.polls import Polls
from keystead.oauth.service import OAuth
from keystead.oauth.waiting import WaitingRoom
from keystead.organizations.service import Organizations
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.recovery import Recovery
from keystead.sessions.second_factors import SecondFactors
from keystead.sessions.service import Sessions
from keystead.sessions.sign_ups import SignUps
from keystead.tokens.followers import Followers
from keystead.tokens.id_tokens import IdTokens
from keystead.tokens.revocations import RevocationFeed
from keystead.tokens.service import Tokens
from keystead.tokens.signing_keys import SigningKeys
from keystead.wire.limiter import Limiter


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
    oauth, connected = _build_oauth(
        settings,
        clock,
        db,
        keys,
        sessions=sessions,
        api_keys=api_keys,
        tokens=tokens,
        signing=signing_keys,
        audit=audit,
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
    db.listen(oauth.waiting.hear)
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


def _build_oauth(
    settings: Settings,
    clock: Clock,
    db: Database,
    keys: InstallationKeys,
    *,
    sessions: Sessions,
    api_keys: Keys,
    tokens: Tokens,
    signing: SigningKeys,
    audit: AuditLog,
) -> tuple[OAuth, ConnectedDevices]:
    """Hand every part of device sign-in what it needs."""
    waiting = WaitingRoom(None if db.hears_by_itself else db.changes, most=settings.device_polls_held)
    clients = Clients(db=db, clock=clock, key=keys.clients, tokens=tokens, audit=audit)
    access = AccessTokens(db=db, clock=clock, key=derive_key(keys.refresh, "opaque-access"), settings=settings)
    id_tokens = IdTokens(clock=clock, signing=signing, issuer=settings.public_url)
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
    return oauth, connected
