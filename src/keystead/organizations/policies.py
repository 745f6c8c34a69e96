"""What an organization, or the whole platform, asks of people and of their credentials, and who may say so."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from keystead.accounts import policies as asked
from keystead.accounts.models import Policies
from keystead.db import Transaction
from keystead.db.feed import EVERYTHING
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import CredentialNotAllowed, Forbidden
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.organizations.models import DAY, POLICY_NAMES

_FACTOR_YOURSELF_FIRST: Final = (
    "Sign in with a second factor yourself first: this session was begun with a password alone, and would end as well."
)
_PASSKEY_YOURSELF_FIRST: Final = (
    "Sign in with a passkey yourself first, in place of the password: this session was begun with a password, and "
    "nothing shows yet that anybody could still sign in."
)
PLATFORM: Final = "platform"
"""The target of what is recorded of the whole platform."""
Change = Callable[[Policies], Policies]


class Policing(Desk):
    """The policies of organizations and of the platform; of each the stricter one counts.

    They are held to where they concern something: keys in ``keys``, sign-ins in ``sessions``, devices in ``oauth``.
    A change is read, compared and written in one unit of work, so that two changes of different policies both stay.
    """

    async def policies(self, organization_id: str) -> Policies:
        """Return an organization's own policies. Raises NotFound."""
        return await asked.of_organization(self._db, organization_id)

    async def platform_policies(self) -> Policies:
        """Return the policies of the platform."""
        return await asked.of_platform(self._db)

    async def policies_for(self, principal: Principal) -> tuple[Policies, Policies]:
        """Return the policies of the principal's own organization, and the platform's.

        Raises Forbidden for a member.
        """
        rules.check_leads(principal.role)
        return await self.policies(principal.identity.organization_id), await self.platform_policies()

    async def platform_policies_for(self, principal: Principal) -> Policies:
        """Return the policies of the platform. Raises Forbidden for whoever is no operator."""
        rules.check_operates(principal)
        return await self.platform_policies()

    async def set_policies(
        self,
        principal: Principal,
        policies: Policies,
        address: str | None = None,
        *,
        shown: Policies | None = None,
    ) -> None:
        """Set the policies of the principal's organization.

        ``shown`` is what somebody saw when they chose: what they left alone stays as it is by now. Without it all are
        set.

        A shorter life of keys concerns keys that are made from now on, the successors of rotated ones included. Once a
        second factor is required, the sessions in the organization that were begun without one have ended, on every
        node (promise V1). Once sign-in with a password is off, none begins with one any more; those that did go on
        until they end, so that people can add a passkey. Devices that are connected stay so.

        Raises InvalidParameters, CredentialNotAllowed for what is no session, and Forbidden for a member, for somebody
        who would require a second factor without having shown one, and for somebody who would turn passwords off and
        has not signed in with a passkey; and Conflict, with its fields, when somebody else has given a policy that
        would be changed another value since it was shown.
        """
        await self._set_own(principal, _change_to(policies, shown), address)

    async def change_policy(
        self, principal: Principal, name: str, value: int, address: str | None = None
    ) -> tuple[Policies, Policies]:
        """Set one policy of the principal's organization by its name, as ``set_policies`` does, and leave the others.

        Return what ``policies_for`` does. Raises NotFound for a name that is none as well.
        """
        change = rules.change_of(name, value)
        await self._set_own(principal, change, address)
        return await self.policies_for(principal)

    async def set_platform_policies(
        self,
        principal: Principal,
        policies: Policies,
        address: str | None = None,
        *,
        shown: Policies | None = None,
    ) -> None:
        """Set the policies of the platform, which count in every organization. Otherwise as ``set_policies``.

        Once a second factor is required, every session has ended that was begun without one, on every node.
        Raises InvalidParameters, CredentialNotAllowed for what is no session, and Forbidden for whoever is no operator,
        or has not shown themselves what they would ask of all, and Conflict.
        """
        await self._set_platforms(principal, _change_to(policies, shown), address)

    async def change_platform_policy(
        self, principal: Principal, name: str, value: int, address: str | None = None
    ) -> Policies:
        """Set one policy of the platform by its name, leave the others, and return all. Raises NotFound as well."""
        await self._set_platforms(principal, rules.change_of(name, value), address)
        return await self.platform_policies()

    async def set_policy_from_host(self, organization: str | None, name: str, value: int) -> Policies:
        """Set one policy of an organization, by its name, or of the platform, and return which are set there.

        For whoever runs the server's commands on its host. Nothing has to be shown: this is the way out for those who
        locked everybody out (promise W7). Raises NotFound and InvalidParameters.
        """
        change = rules.change_of(name, value)
        found = None if organization is None else await self._accounts.organization_by_name(organization)
        organization_id = None if found is None else found.id

        async def work(tx: Transaction) -> Policies:
            return await self._set(tx, organization_id, change, None, None)

        return await self._db.write(work)

    async def policies_from_host(self, organization: str | None) -> tuple[Policies, Policies]:
        """Return the own policies of an organization, by its name, and the platform's. Raises NotFound."""
        platform = await self.platform_policies()
        if organization is None:
            return Policies(), platform
        return await self.policies((await self._accounts.organization_by_name(organization)).id), platform

    async def _set_own(self, principal: Principal, change: Change, address: str | None) -> None:
        rules.check_leads(principal.role)

        async def work(tx: Transaction) -> None:
            await self._leading(tx, principal)
            await self._set(tx, principal.identity.organization_id, change, principal, address)

        await self._db.write(work)

    async def _set_platforms(self, principal: Principal, change: Change, address: str | None) -> None:
        rules.check_operates(principal)

        async def work(tx: Transaction) -> None:
            found = await tx.one(store.OPERATES, {"user_id": principal.identity.user_id})
            rules.check_still_operates(found)
            await self._set(tx, None, change, principal, address)

        await self._db.write(work)

    async def _set(
        self,
        tx: Transaction,
        organization_id: str | None,
        change: Change,
        principal: Principal | None,
        address: str | None,
    ) -> Policies:
        """Set policies of an organization, or without its id of the platform, and end what they end.

        Without a principal it is done on the host.
        """
        if organization_id is None:
            before = await asked.of_platform(tx)
        else:
            before = await asked.of_organization(tx, organization_id)
        after = change(before)
        if after == before:
            return after
        if principal is not None:
            await self._check_shown(tx, principal, before, after)
        row = {f"new_{name}": None if value is None else int(value) for name, value in asdict(after).items()}
        if organization_id is None:
            await tx.run(store.SET_PLATFORM_POLICIES, row)
        else:
            await tx.run(store.SET_POLICIES, {"organization": organization_id, **row})
        turned_on = after.second_factor_required and not before.second_factor_required
        ended = await self._end_sessions(tx, organization_id) if turned_on else 0
        await self._audit.record(
            tx,
            f"{PLATFORM if organization_id is None else 'organization'}:set-policies",
            actor_id=None if principal is None else principal.identity.user_id,
            organization_id=organization_id,
            target=organization_id or PLATFORM,
            address=address,
            sessions_ended=ended,
            **asdict(after),
        )
        return after

    async def _check_shown(self, tx: Transaction, principal: Principal, before: Policies, after: Policies) -> None:
        """Raise Forbidden for whoever would ask of others what they have not shown themselves in this session."""
        if principal.method is not Method.SESSION:
            raise CredentialNotAllowed()
        factor = after.second_factor_required and not before.second_factor_required
        if factor and not await self._sessions.begun_with_second_factor(tx, principal):
            raise Forbidden(_FACTOR_YOURSELF_FIRST)
        passkey = after.password_sign_in_off and not before.password_sign_in_off
        if passkey and not await self._sessions.begun_without_password(tx, principal):
            raise Forbidden(_PASSKEY_YOURSELF_FIRST)

    async def _end_sessions(self, tx: Transaction, organization_id: str | None) -> int:
        """End the sessions that were begun with a password alone, in an organization or everywhere; return how many."""
        if organization_id is None:
            await tx.announce(EVERYTHING)
            return await self._sessions.end_all_with_password_alone(tx)
        await tx.announce(f"organization:{organization_id}")
        return await self._sessions.end_with_password_alone(tx, organization_id)


def policies_after(before: Policies, shown: Policies, wanted: Policies) -> Policies:
    """Return what ``set_policies`` would make of ``before``. Raises InvalidParameters and Conflict as it does."""
    return rules.change_from(shown, wanted)(before)


def _change_to(policies: Policies, shown: Policies | None) -> Change:
    if shown is not None:
        return rules.change_from(shown, policies)
    rules.check_policies(policies)
    return lambda _: policies


def value_of(policies: Policies, name: str) -> int | bool:
    """Return what a policy is set to, by its name: whole days or whether it is on; 0 or False when it is not set."""
    found = getattr(policies, POLICY_NAMES[name])
    return found if isinstance(found, bool) else -(-(found or 0) // DAY)
