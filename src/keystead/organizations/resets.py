"""Setting anew how a member signs in: whose account somebody may touch, whichever part of it they would change."""

from keystead.db import Transaction
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.organizations.models import Account

_NO_MEMBER = "There is no such person in this organization, or you do not belong to it."


class Resets(Desk):
    """The question that comes before each change of somebody else's account."""

    async def _account_to_reset(
        self, tx: Transaction, principal: Principal, organization: str, username: str, *, oneself: str
    ) -> Account:
        """Return the account of a member that the principal may set anew, as it is within ``tx``.

        ``organization`` and ``username`` are names. Owners and admins name their own organization, operators any.
        Raises NotFound for anybody else's members, Forbidden (see ``rules.check_may_reset``), and Conflict with the
        sentence ``oneself`` for the principal's own account.
        """
        identity = principal.identity
        operates = await tx.one(store.OPERATES, {"user_id": identity.user_id}) == 1
        if organization != identity.organization and not operates:
            raise NotFound(_NO_MEMBER)
        actor = None if operates else await self._leading(tx, principal)
        named = self._accounts.normal_name(organization)
        wanted = {"named": named, "username": self._accounts.normal_name(username)}
        account = await tx.one(store.ACCOUNT_IN, wanted)
        if account is None:
            raise NotFound(_NO_MEMBER)
        if account.user_id == identity.user_id:
            raise Conflict(oneself)
        rules.check_may_reset(actor, account)
        return account
