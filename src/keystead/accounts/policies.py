"""What organizations and the whole platform ask, as one answer: of each policy the stricter one counts.

Policies are set in ``keystead.organizations``. Each room holds to those that concern it, within the unit of work that
rests on them, so that nothing slips past a policy in the moment in which it is turned on.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, bindparam, exists, or_, select

from keystead.accounts.models import Policies
from keystead.db import Query
from keystead.db.engine import Reader
from keystead.db.tables import organization, platform_policy
from keystead.kernel.problems import Forbidden, NotFound

__all__ = [
    "Policies",
    "asked_for",
    "check_devices",
    "check_new_password",
    "effective",
    "of_organization",
    "of_platform",
    "stricter",
]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """Policies as they are stored."""

    longest_key_life: int | None
    second_factor_required: int
    password_sign_in_off: int
    device_sign_in_off: int

    def policies(self) -> Policies:
        """Return what the row says."""
        return Policies(
            longest_key_life=self.longest_key_life,
            second_factor_required=bool(self.second_factor_required),
            password_sign_in_off=bool(self.password_sign_in_off),
            device_sign_in_off=bool(self.device_sign_in_off),
        )


def asked_for(policy: Column[Any]) -> ColumnElement[bool]:
    """Return the condition that the organization of a row, or the platform, has this policy: a column of 0 or 1."""
    by_platform = platform_policy.c[policy.name]
    return or_(policy == 1, exists(select(platform_policy.c.id).where(platform_policy.c.id == 1, by_platform == 1)))


OF_ORGANIZATION: Final = Query(
    select(*(organization.c[name] for name in PolicyRow.__slots__)).where(
        organization.c.id == bindparam("organization_id")
    ),
    PolicyRow,
)
OF_PLATFORM: Final = Query(
    select(*(platform_policy.c[name] for name in PolicyRow.__slots__)).where(platform_policy.c.id == 1), PolicyRow
)
REFUSES_DEVICES: Final = Query(
    select(organization.c.display_name).where(
        organization.c.id == bindparam("organization_id"), asked_for(organization.c.device_sign_in_off)
    ),
    str,
)


async def of_organization(reader: Reader, organization_id: str) -> Policies:
    """Return what an organization itself asks. Raises NotFound."""
    found = await reader.one(OF_ORGANIZATION, {"organization_id": organization_id})
    if found is None:
        raise NotFound("There is no organization with this id.")
    return found.policies()


async def of_platform(reader: Reader) -> Policies:
    """Return what the whole platform asks; nothing while nothing was set."""
    found = await reader.one(OF_PLATFORM, {})
    return Policies() if found is None else found.policies()


async def effective(reader: Reader, organization_id: str) -> Policies:
    """Return what counts in an organization: of its own policies and the platform's the stricter. Raises NotFound."""
    return stricter(await of_organization(reader, organization_id), await of_platform(reader))


async def check_devices(reader: Reader, organization_id: str) -> None:
    """Raise Forbidden when nobody may sign in a device to an organization any more."""
    name = await reader.one(REFUSES_DEVICES, {"organization_id": organization_id})
    if name is not None:
        raise Forbidden(
            f"{name} lets nobody sign in a device any more. Use an API key or a short-term token instead, or ask an "
            f"owner of {name} or the operator."
        )


async def check_new_password(reader: Reader, organization_id: str | None) -> None:
    """Raise Forbidden when an account that is made with a password could never be signed in to.

    ``organization_id`` is where it would belong to, None for an organization of its own.
    """
    asked = await of_platform(reader) if organization_id is None else await effective(reader, organization_id)
    if asked.password_sign_in_off:
        own = organization_id is None
        whom = "the people who run this service" if own else "an owner of the organization or the operator"
        raise Forbidden(
            "No account can be made with a password just now, because nobody could sign in with it. Ask "
            f"{whom} to allow passwords until you have added a passkey."
        )


def stricter(one: Policies, other: Policies) -> Policies:
    """Return what is asked of somebody of whom both are asked: the shorter life, and whatever either requires."""
    lives = [life for life in (one.longest_key_life, other.longest_key_life) if life is not None]
    return Policies(
        longest_key_life=min(lives, default=None),
        second_factor_required=one.second_factor_required or other.second_factor_required,
        password_sign_in_off=one.password_sign_in_off or other.password_sign_in_off,
        device_sign_in_off=one.device_sign_in_off or other.device_sign_in_off,
    )
