"""Invitations: a link lets whoever has it join an organization, once, within seven days.

The secret of the link is stored as a keyed hash. An invitation counts for as long as whoever made it could make it
still: with their membership, or their role, it ends by itself.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from keystead.accounts import policies
from keystead.db import Transaction, UniqueViolation
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, FieldProblem, InvalidParameters, NotFound
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import INVITATION_PREFIX, Secret, is_opaque, keyed_hash, new_opaque
from keystead.mail import letters
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.organizations.models import (
    DAY,
    INVITATION_LIFE,
    INVITATION_PATH,
    FoundInvitation,
    Invitation,
    Invited,
    OpenInvitation,
)

_OVER: Final = "This invitation cannot be used: it was used before, taken back, or is too old. Ask for a new one."


class Invitations(Desk):
    """Inviting people, and accepting an invitation."""

    async def invite(self, principal: Principal, email: str, role: Role | str, address: str | None = None) -> Invited:
        """Invite the owner of an e-mail address; an earlier invitation of the same address ends.

        A letter goes there when a mail server is set. Nobody invites to more than their own role. Raises Forbidden,
        InvalidParameters, Conflict for a member, and RateLimited (``limit_invitations``): nobody sends spam this way.
        """
        rules.check_leads(principal.role)
        wanted = rules.read_role(role)
        rules.check_may_give(principal.role, wanted)
        identity = principal.identity

        async def check(tx: Transaction) -> None:
            rules.check_may_give(await self._leading(tx, principal), wanted)

        organization = (identity.organization_id, identity.organization_display_name)
        return await self._invite(principal, organization, email, wanted, address=address, check=check)

    async def invitations(self, principal: Principal) -> list[Invitation]:
        """Return the invitations that nobody has accepted, the newest first; some have expired. Raises Forbidden."""
        rules.check_leads(principal.role)
        return await self._db.all(store.INVITATIONS, {"organization_id": principal.identity.organization_id})

    async def revoke_invitation(self, principal: Principal, invitation_id: str, address: str | None = None) -> None:
        """Take an invitation back. Raises Forbidden and NotFound."""
        identity = principal.identity

        async def work(tx: Transaction) -> None:
            await self._leading(tx, principal)
            named = {"invitation_id": invitation_id, "organization_id": identity.organization_id}
            email = await tx.one(store.REVOKE_INVITATION, named)
            if email is None:
                raise NotFound("There is no such invitation in your organization.")
            await self._audit.record(
                tx,
                "invitation:delete",
                actor_id=identity.user_id,
                organization_id=identity.organization_id,
                target=invitation_id,
                address=address,
                email=email,
            )

        await self._db.write(work)

    async def invitation_by_secret(self, text: str) -> OpenInvitation | None:
        """Return what the link of an invitation shows, or None when it cannot be accepted any more."""
        if not is_opaque(text, INVITATION_PREFIX):
            return None
        found = await self._db.one(store.INVITATION_BY_HASH, self._by(text))
        return _open(found) if found is not None and rules.still_stands(found) else None

    async def check_may_be_new(self, invited: OpenInvitation) -> None:
        """Raise Forbidden where nobody signs in with a password: an account made by invitation begins with one."""
        await policies.check_new_password(self._db, invited.organization_id)

    async def accept(self, user_id: str, text: str, address: str | None = None) -> OpenInvitation:
        """Let a person into the organization that a link invites to, and return the invitation, which is used now.

        The person need not have the invited e-mail address: who has the link was given it. Raises NotFound for an
        invitation that is over, and Conflict for somebody who is a member already, which leaves it as it is.
        """

        async def work(tx: Transaction) -> OpenInvitation:
            found = await self._take(tx, text)
            await self._enter(tx, user_id, found, address)
            return found

        try:
            return await self._db.write(work)
        except UniqueViolation:
            raise Conflict("You are a member of this organization already. There is nothing to accept.") from None

    async def accept_as_new(
        self, text: str, username: str, name: str | None, password: Secret, address: str | None = None
    ) -> str:
        """Make a user with the invited e-mail address, which the link proves (W8), and return the user's id.

        The user and the membership are made in one unit of work. Raises NotFound for an invitation that is over,
        InvalidParameters with the field that does not fit, Conflict when the address has an account already, Forbidden
        where nobody signs in with a password, and RateLimited when too many passwords are being hashed.
        """
        invited = await self.invitation_by_secret(text)
        if invited is None:
            raise NotFound(_OVER)
        new = await self._accounts.new_user(
            username=username, email=invited.email, password=password, name=name or None
        )

        async def work(tx: Transaction) -> None:
            found = await self._take(tx, text)
            await policies.check_new_password(tx, found.organization_id)
            await self._accounts.add_user(tx, new, actor_id=new.id, address=address)
            await self._enter(tx, new.id, found, address)

        try:
            await self._db.write(work)
        except UniqueViolation:
            taken = await self._accounts.taken(new)
            if taken.fields and taken.fields[0].name == "username":
                raise InvalidParameters(taken.detail, fields=taken.fields) from None
            raise Conflict(
                f"There is an account with the e-mail address '{new.email}' already. Sign in with it, then open the "
                "invitation again."
            ) from None
        return new.id

    async def invite_owner(
        self, principal: Principal, organization_id: str, email: str, address: str | None = None
    ) -> Invited:
        """Invite an owner into any organization, for an operator: a new organization has nobody who could.

        Raises Forbidden, NotFound, and what ``invite`` raises.
        """
        rules.check_operates(principal)
        named = await self._db.one(store.NAME_OF_ORGANIZATION, {"organization_id": organization_id})
        if named is None:
            raise NotFound("There is no organization with this id.")

        async def check(_: Transaction) -> None:
            return

        return await self._invite(principal, (organization_id, named), email, Role.OWNER, address=address, check=check)

    async def invite_from_host(self, organization: str, email: str, role: Role) -> Invited:
        """Invite somebody into an organization, by its name, for whoever runs the server's commands on its host.

        No letter is sent: the link is theirs to hand on. Raises NotFound, InvalidParameters, and Conflict for a member.
        """
        found = await self._accounts.organization_by_name(organization)

        async def check(_: Transaction) -> None:
            return

        return await self._invite(None, (found.id, found.display_name), email, role, address=None, check=check)

    async def _invite(
        self,
        principal: Principal | None,
        organization: tuple[str, str],
        email: str,
        role: Role,
        *,
        address: str | None,
        check: Callable[[Transaction], Awaitable[None]],
    ) -> Invited:
        """Store an invitation into an organization, given by its id and its name for people, and send its letter.

        Without a principal it is made on the host: nobody's limit counts, and no letter goes out.
        """
        organization_id, organization_name = organization
        email = self._accounts.normal_email(email)
        identity = None if principal is None else principal.identity
        if identity is not None:
            await self._limiter.charge("invitations", f"organization:{organization_id}")
        inviter_id = None if identity is None else identity.user_id
        secret, invitation_id, now = new_opaque(INVITATION_PREFIX), new_id(), self._clock.now()
        row = {
            "id": invitation_id,
            "secret_hash": keyed_hash(self._key, secret.reveal()),
            "organization_id": organization_id,
            "email": email,
            "role": role.value,
            "invited_by": inviter_id,
            "created_at": now,
            "expires_at": now + INVITATION_LIFE,
        }

        async def work(tx: Transaction) -> None:
            await check(tx)
            if await tx.one(store.MEMBER_BY_EMAIL, {"organization_id": organization_id, "email": email}) is not None:
                sentence = f"The person with the e-mail address '{email}' is a member of this organization already."
                raise Conflict(sentence, fields=[FieldProblem("body", "email", "member", sentence)])
            await tx.run(store.PUT_INVITATION, row)
            await self._audit.record(
                tx,
                "invitation:create",
                actor_id=inviter_id,
                organization_id=organization_id,
                target=invitation_id,
                address=address,
                email=email,
                role=role.value,
            )

        await self._db.write(work)
        url = Secret(f"{self._settings.public_url}{INVITATION_PATH}/{secret.reveal()}")
        mailed = identity is not None and self._mailer.configured
        if identity is not None and mailed:
            product, days = self._settings.product_name, INVITATION_LIFE // DAY
            self._mailer.send_later(
                letters.invitation(product, email, organization_name, identity.name, role.value, url, days)
            )
        username = None if identity is None else identity.username
        made = Invitation(invitation_id, email, role.value, username, now, now + INVITATION_LIFE)
        return Invited(made, url, mailed)

    async def _take(self, tx: Transaction, text: str) -> OpenInvitation:
        """Use an invitation up in ``tx``: of many who accept it at once, one does. Raises NotFound."""
        if not is_opaque(text, INVITATION_PREFIX):
            raise NotFound(_OVER)
        found = await tx.one(store.INVITATION_BY_HASH, self._by(text))
        if found is None or not rules.still_stands(found):
            raise NotFound(_OVER)
        if await tx.one(store.TAKE_INVITATION, self._by(text)) is None:
            raise NotFound(_OVER)
        return _open(found)

    async def _enter(self, tx: Transaction, user_id: str, found: OpenInvitation, address: str | None) -> None:
        await self._accounts.join(
            tx, user_id, found.organization_id, Role(found.role), actor_id=user_id, address=address
        )
        await self._audit.record(
            tx,
            "invitation:accept",
            actor_id=user_id,
            organization_id=found.organization_id,
            target=found.id,
            address=address,
            email=found.email,
        )

    def _by(self, text: str) -> dict[str, bytes | int]:
        return {"secret_hash": keyed_hash(self._key, text), "now": self._clock.now()}


def _open(found: FoundInvitation) -> OpenInvitation:
    return OpenInvitation(
        id=found.id,
        organization_id=found.organization_id,
        organization=found.organization,
        email=found.email,
        role=found.role,
        inviter=found.inviter,
        expires_at=found.expires_at,
    )
