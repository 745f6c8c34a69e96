"""Removing the second factors of a member who has lost theirs."""

from typing import Final

from keystead.db import Transaction
from keystead.kernel.principal import Principal
from keystead.organizations.models import Account
from keystead.organizations.resets import Resets

_ONESELF: Final = (
    "Nobody removes their own second factors here. Do it on the Security page of Account Settings, or with "
    "DELETE /api/sso/mfa."
)


class FactorsOfMembers(Resets):
    """What owners, admins and operators do for somebody whose phone or security key is gone."""

    async def remove_factors_of(
        self, principal: Principal, organization: str, username: str, address: str | None = None
    ) -> None:
        """Remove every second factor of a member, end their sessions everywhere, and write to them.

        Their password alone is enough to sign in afterwards; where the organization asks for a second factor, they set
        one up as they do. To have none is no mistake. ``organization`` and ``username`` are names. Raises as
        ``_account_to_reset`` does: NotFound, Forbidden, and Conflict for oneself.
        """

        async def work(tx: Transaction) -> Account:
            account = await self._account_to_reset(tx, principal, organization, username, oneself=_ONESELF)
            await self._second_factors.remove_lost(
                tx,
                account.user_id,
                actor_id=principal.identity.user_id,
                organization_id=account.organization_id,
                address=address,
            )
            return account

        account = await self._db.write(work)
        who = "an operator" if principal.identity.platform_admin else f"an owner or an admin of {account.organization}"
        self._second_factors.tell_of_loss(
            account.email, f"Your authenticator app, passkeys and recovery codes were removed by {who}"
        )
