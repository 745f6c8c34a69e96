"""Setting a member's password, for those who lead the organization or operate the installation."""

from typing import Final

from keystead.db import Transaction
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.secrets import Secret
from keystead.mail import letters
from keystead.organizations.models import Account
from keystead.organizations.resets import Resets
from keystead.sessions.recovery import FORGOT_PATH

_ONESELF: Final = "Nobody sets their own password here. Change it with the present one, under Security."


class Passwords(Resets):
    """What owners, admins and operators do with somebody else's password."""

    async def set_password(
        self, principal: Principal, organization: str, username: str, password: Secret, *, address: str | None = None
    ) -> None:
        """Give a member another password, end all their sessions and sign-ins, and write to them.

        ``organization`` and ``username`` are names. An account that opens another organization as well is for operators
        alone, or an admin of one organization could walk into the other. Raises NotFound, Forbidden (see
        ``rules.check_may_reset``), Conflict for oneself and for a disabled person, InvalidParameters on ``password``
        and RateLimited.
        """
        acting = principal.identity
        await self._limiter.charge("sign_in", f"set-password:{acting.user_id}", times=3)

        async def allowed(tx: Transaction) -> Account:
            return await self._account_to_reset(tx, principal, organization, username, oneself=_ONESELF)

        before = await self._db.write(allowed)  # before it costs a hash
        user = await self._accounts.user_by_id(before.user_id)
        if user is None:
            raise NotFound()
        hashed = await self._accounts.hash_new_password(user, password)

        async def work(tx: Transaction) -> Account:
            account = await allowed(tx)
            now = await self._accounts.user_by_id(user.id, tx)
            if now is None or account.user_id != user.id:
                raise NotFound()
            if now.disabled_at is not None:
                raise Conflict("A disabled person cannot sign in with any password. Ask an operator to enable them.")
            await self._accounts.keep_password(
                tx,
                now,
                hashed,
                actor_id=acting.user_id,
                organization_id=account.organization_id,
                address=address,
            )
            await self._sessions.end_all(tx, user.id)
            return account

        account = await self._db.write(work)
        product, url = self._settings.product_name, self._settings.public_url + FORGOT_PATH
        self._mailer.send_later(letters.password_set(product, account.email, account.organization, url))
