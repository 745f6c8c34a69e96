"""Members of an organization: their roles, and removing them (promise K8)."""

from typing import Final

from keystead.db import Transaction
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.scopes import Role
from keystead.keys.leaving import Taker
from keystead.mail import letters
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.organizations.models import FateOfKeys, Member, Removed, Standing

_NO_MEMBER: Final = "There is no such person in your organization."


class Members(Desk):
    """What owners and admins do with the members of their organization. An organization always keeps an owner."""

    async def members(self, principal: Principal) -> list[Member]:
        """Return the members of the principal's organization, the earliest first. Raises Forbidden for a member."""
        rules.check_leads(principal.role)
        return await self._db.all(store.MEMBERS, {"organization_id": principal.identity.organization_id})

    async def change_role(
        self, principal: Principal, user_id: str, role: Role | str, address: str | None = None
    ) -> None:
        """Give a member another role; what their credentials may do follows at once, on every node (promise V1).

        Owners may do all, admins change members and admins, and nobody their own role, except an owner who steps down.
        Raises InvalidParameters, Forbidden, NotFound, and Conflict for the last owner.
        """
        new = rules.read_role(role)
        acting, organization_id = principal.identity, principal.identity.organization_id

        async def work(tx: Transaction) -> None:
            actor = await self._leading(tx, principal)
            target = await self._member(tx, user_id, organization_id)
            before = Role(target.role)
            rules.check_change_of_role(actor, before, new, own=user_id == acting.user_id)
            if before is new:
                return
            if before is Role.OWNER:
                await self._keep_an_owner(tx, user_id, organization_id)
            person = {"user_id": user_id, "organization_id": organization_id}
            await tx.run(store.SET_ROLE, {**person, "new_role": new.value})
            await tx.announce(f"user:{user_id}")
            await self._audit.record(
                tx,
                "membership:update",
                actor_id=acting.user_id,
                organization_id=organization_id,
                target=user_id,
                address=address,
                role=new.value,
                before=before.value,
            )

        await self._db.write(work)

    async def remove_member(
        self, principal: Principal, user_id: str, *, keys: FateOfKeys, address: str | None = None
    ) -> Removed:
        """Remove somebody from the principal's organization, and end all that they had there, in one unit of work.

        Their API keys end ("delete"), or become the principal's own ("take"), which does not change their texts:
        whoever knows one can go on using it, until it is rotated. Other organizations of the person are not touched.
        It takes as many statements for one key as for thousands. Raises InvalidParameters, Forbidden, NotFound, and
        Conflict for oneself and for the last owner.
        """
        rules.check_fate(keys)
        acting, organization_id = principal.identity, principal.identity.organization_id

        async def work(tx: Transaction) -> tuple[Standing, Removed]:
            actor = await self._leading(tx, principal)
            target = await self._member(tx, user_id, organization_id)
            role = Role(target.role)
            rules.check_removal(actor, role, own=user_id == acting.user_id)
            if role is Role.OWNER:
                await self._keep_an_owner(tx, user_id, organization_id)
            removed = await self._end_all(tx, user_id, organization_id, role, _taker(keys, acting.user_id, actor))
            await tx.run(store.REMOVE, {"user_id": user_id, "organization_id": organization_id})
            await tx.announce(f"user:{user_id}")
            await self._audit.record(
                tx,
                "membership:delete",
                actor_id=acting.user_id,
                organization_id=organization_id,
                target=user_id,
                address=address,
                role=role.value,
                keys=removed.keys,
                keys_became="taken over" if keys == "take" else "deleted",
                sessions=removed.sessions,
                tokens=removed.tokens,
                grants=removed.grants,
            )
            return target, removed

        target, removed = await self._db.write(work)
        if self._mailer.configured:
            named = acting.organization_display_name
            self._mailer.send_later(letters.removed_from(self._settings.product_name, target.email, named))
        return removed

    async def _end_all(
        self, tx: Transaction, user_id: str, organization_id: str, role: Role, taker: Taker | None
    ) -> Removed:
        if taker is None:
            keys = await self._keys.end_keys_of(tx, user_id, organization_id)
        else:
            keys = await self._keys.hand_over_keys_of(tx, user_id, organization_id, role, taker)
        return Removed(
            keys=keys,
            sessions=await self._sessions.end_in(tx, user_id, organization_id),
            tokens=await self._tokens.end_in(tx, user_id, organization_id),
            grants=await self._oauth.grants.end_in(tx, user_id, organization_id),
        )

    async def _member(self, tx: Transaction, user_id: str, organization_id: str) -> Standing:
        """Return a member; somebody of another organization looks like nobody at all. Raises NotFound."""
        found = await self._standing(tx, user_id, organization_id)
        if found is None:
            raise NotFound(_NO_MEMBER)
        return found

    async def _keep_an_owner(self, tx: Transaction, user_id: str, organization_id: str) -> None:
        """Raise Conflict unless somebody else owns the organization who is not disabled."""
        others = {"user_id": user_id, "organization_id": organization_id}
        if await tx.one(store.ANOTHER_OWNER, others) is None:
            raise Conflict(rules.ONLY_OWNER)


def _taker(keys: FateOfKeys, user_id: str, role: Role) -> Taker | None:
    return Taker(user_id, role) if keys == "take" else None
