"""What an organization asks of its members and their keys."""

from dataclasses import asdict
from typing import Final

from keystead.db import Transaction
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import Forbidden, NotFound
from keystead.organizations import rules, store
from keystead.organizations.desk import Desk
from keystead.organizations.models import Policies

_YOURSELF_FIRST: Final = (
    "Sign in with a second factor yourself first: this session was begun with a password alone, and would end as well."
)


class Policing(Desk):
    """The policies of organizations. New keys are held to them in ``keys``, sign-ins in ``sessions``."""

    async def policies(self, organization_id: str) -> Policies:
        """Return the policies of an organization. Raises NotFound."""
        found = await self._db.one(store.POLICIES, {"organization_id": organization_id})
        if found is None:
            raise NotFound("There is no organization with this id.")
        return Policies(found.longest_key_life, bool(found.second_factor_required))

    async def set_policies(self, principal: Principal, policies: Policies, address: str | None = None) -> None:
        """Set the policies of the principal's organization.

        A shorter life of keys concerns keys that are made from now on, the successors of rotated ones included. Once a
        second factor is required, the sessions in the organization that were begun without one have ended, on every
        node (promise V1). Raises InvalidParameters, and Forbidden for a member and for somebody who would require a
        second factor without having shown one.
        """
        rules.check_leads(principal.role)
        rules.check_policies(policies)
        identity = principal.identity

        async def work(tx: Transaction) -> None:
            await self._leading(tx, principal)
            before = await tx.one(store.POLICIES, {"organization_id": identity.organization_id})
            if before is None:
                raise NotFound("There is no such organization.")
            if Policies(before.longest_key_life, bool(before.second_factor_required)) == policies:
                return
            row = {
                "organization": identity.organization_id,
                "life": policies.longest_key_life,
                "factor": int(policies.second_factor_required),
            }
            await tx.run(store.SET_POLICIES, row)
            turned_on = policies.second_factor_required and not before.second_factor_required
            ended = await self._end_sessions(tx, principal) if turned_on else 0
            await self._audit.record(
                tx,
                "organization:set-policies",
                actor_id=identity.user_id,
                organization_id=identity.organization_id,
                target=identity.organization_id,
                address=address,
                sessions_ended=ended,
                **asdict(policies),
            )

        await self._db.write(work)

    async def _end_sessions(self, tx: Transaction, principal: Principal) -> int:
        if principal.method is not Method.SESSION or not await self._sessions.begun_with_second_factor(tx, principal):
            raise Forbidden(_YOURSELF_FIRST)
        organization_id = principal.identity.organization_id
        ended = await self._sessions.end_with_password_alone(tx, organization_id)
        await tx.announce(f"organization:{organization_id}")
        return ended
