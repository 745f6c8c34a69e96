"""What the operators of the installation manage: its organizations and its users."""

from collections.abc import Sequence
from typing import Final, TypeVar

from keystead.db import Transaction
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.secrets import Secret
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.organizations.models import PAGE, ListedOrganization, ListedUser, Listing

_NO_USER: Final = "There is no user with this id."

T = TypeVar("T")


class People(Desk):
    """Organizations and users, whichever they are, for operators and nobody else."""

    async def all_organizations(
        self, principal: Principal, search: str = "", after: str = ""
    ) -> Listing[ListedOrganization]:
        """Return 40 organizations by name, those whose names hold ``search``; ``after`` goes on with a list.

        Raises Forbidden.
        """
        rules.check_operates(principal)
        asked = {"pattern": rules.like(search), "after": rules.typed(after), "most": PAGE + 1}
        found = await self._db.all(store.ORGANIZATIONS, asked)
        return _listing(found, found[PAGE - 1].name if len(found) > PAGE else "")

    async def all_users(self, principal: Principal, search: str = "", after: str = "") -> Listing[ListedUser]:
        """Return 40 users by user name, those whose user name or e-mail address holds ``search``. Raises Forbidden."""
        rules.check_operates(principal)
        asked = {"pattern": rules.like(search), "after": rules.typed(after), "most": PAGE + 1}
        found = await self._db.all(store.USERS, asked)
        return _listing(found, found[PAGE - 1].username if len(found) > PAGE else "")

    async def create_organization(
        self, principal: Principal, name: str, display_name: str | None, address: str | None = None
    ) -> str:
        """Make an organization and return its id; ``invite_owner`` gives it somebody who leads it.

        Raises Forbidden, InvalidParameters, and Conflict for a name that another one has.
        """
        rules.check_operates(principal)
        return await self._accounts.create_organization(
            name, display_name or None, actor_id=principal.identity.user_id, address=address
        )

    async def disable_user(self, principal: Principal, user_id: str, address: str | None = None) -> None:
        """Let nobody in who presents a credential of this user, on any node (promise V1).

        The user's sessions and short-term tokens end; API keys and devices rest until the user is enabled again.
        Raises Forbidden, NotFound, and Conflict for oneself.
        """
        rules.check_operates(principal)
        if user_id == principal.identity.user_id:
            raise Conflict("Nobody disables themselves. Ask another operator.")

        async def work(tx: Transaction) -> None:
            if await self._change(tx, principal, user_id, disable=True, address=address):
                await self._sessions.end_all(tx, user_id)  # which announces the user
                await self._tokens.end_of_user(tx, user_id)

        await self._db.write(work)

    async def enable_user(self, principal: Principal, user_id: str, address: str | None = None) -> None:
        """Let a disabled user in again. Raises Forbidden and NotFound."""
        rules.check_operates(principal)

        async def work(tx: Transaction) -> None:
            if await self._change(tx, principal, user_id, disable=False, address=address):
                await tx.announce(f"user:{user_id}")

        await self._db.write(work)

    async def reset_link(self, principal: Principal, user_id: str, address: str | None = None) -> Secret:
        """Return the address of a page on which a user chooses a new password: good once, for an hour.

        Whoever has it can do so, so the operator hands it to the user alone. Raises Forbidden, NotFound, and Conflict
        for a disabled user.
        """
        rules.check_operates(principal)
        user = await self._accounts.user_by_id(user_id)
        if user is None:
            raise NotFound(_NO_USER)
        if user.disabled_at is not None:
            raise Conflict("A disabled user cannot choose a password. Enable the user first.")
        path = await self._sessions.reset_link(user)

        async def work(tx: Transaction) -> None:
            await self._audit.record(
                tx, "user:reset-link", actor_id=principal.identity.user_id, target=user_id, address=address
            )

        await self._db.write(work)
        return Secret(self._settings.public_url + path)

    async def _change(
        self, tx: Transaction, principal: Principal, user_id: str, *, disable: bool, address: str | None
    ) -> bool:
        """Disable or enable a user and record it; False when there was nothing to do. Raises NotFound."""
        if disable:
            changed = await tx.run(store.DISABLE, {"user_id": user_id, "at": self._clock.now()})
        else:
            changed = await tx.run(store.ENABLE, {"user_id": user_id})
        if changed:
            await self._audit.record(
                tx,
                "user:disable" if disable else "user:enable",
                actor_id=principal.identity.user_id,
                target=user_id,
                address=address,
            )
        elif await self._accounts.user_by_id(user_id, tx) is None:
            raise NotFound(_NO_USER)
        return bool(changed)


def _listing(found: Sequence[T], after: str) -> Listing[T]:
    return Listing(tuple(found[:PAGE]), after)
