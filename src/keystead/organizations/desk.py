"""What every part of the room works with."""

from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.db.installation import Keys as InstallationKeys
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.scopes import Role
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys
from keystead.mail.service import Mailer
from keystead.oauth.connected import ConnectedDevices
from keystead.oauth.service import OAuth
from keystead.organizations import rules, store
from keystead.organizations.models import Standing
from keystead.sessions.second_factors import SecondFactors
from keystead.sessions.service import Sessions
from keystead.tokens.service import Tokens
from keystead.wire.limiter import Limiter


class Desk:
    """The services that the parts of the room call, and the question that each of them asks first."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        installation: InstallationKeys,
        settings: Settings,
        limiter: Limiter,
        audit: AuditLog,
        mailer: Mailer,
        accounts: Accounts,
        sessions: Sessions,
        second_factors: SecondFactors,
        keys: Keys,
        tokens: Tokens,
        oauth: OAuth,
        connected: ConnectedDevices,
    ) -> None:
        """Hash the secrets of invitations with the key for credentials."""
        self._db = db
        self._clock = clock
        self._key = installation.credentials
        self._settings = settings
        self._limiter = limiter
        self._audit = audit
        self._mailer = mailer
        self._accounts = accounts
        self._sessions = sessions
        self._second_factors = second_factors
        self._keys = keys
        self._tokens = tokens
        self._oauth = oauth
        self._connected = connected

    async def _standing(self, tx: Transaction, user_id: str, organization_id: str) -> Standing | None:
        return await tx.one(store.STANDING, {"user_id": user_id, "organization_id": organization_id})

    async def _leading(self, tx: Transaction, principal: Principal) -> Role:
        """Return the role that the acting person has within ``tx``. Raises Forbidden unless they lead.

        What the principal says may have changed a moment ago, by another unit of work.
        """
        identity = principal.identity
        return rules.role_of_leader(await self._standing(tx, identity.user_id, identity.organization_id))
