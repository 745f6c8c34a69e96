"""Of two policies the stricter counts, however either is set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert, update

from keystead.accounts import policies
from keystead.accounts.models import Policies
from keystead.accounts.policies import stricter
from keystead.db import Command
from keystead.db.tables import NO_POLICIES, organization, platform_policy
from keystead.kernel.problems import Forbidden, NotFound
from tests.accounts.house import House

ANY = st.builds(
    Policies,
    st.none() | st.integers(1, 10**9),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
_SET = Command(update(organization).values({name: bindparam(f"new_{name}") for name in NO_POLICIES}))
_SET_PLATFORM = Command(
    insert(platform_policy).values(id=1, **{name: bindparam(f"new_{name}") for name in NO_POLICIES})
)
ALL = Policies(86_400, second_factor_required=True, password_sign_in_off=True, device_sign_in_off=True)


def row(asked: Policies) -> dict[str, int | None]:
    return {
        "new_longest_key_life": asked.longest_key_life,
        "new_second_factor_required": int(asked.second_factor_required),
        "new_password_sign_in_off": int(asked.password_sign_in_off),
        "new_device_sign_in_off": int(asked.device_sign_in_off),
    }


@given(ANY, ANY)
def test_whichever_asks_for_more_is_heeded_and_nothing_more_is_asked(one: Policies, other: Policies) -> None:
    both = stricter(one, other)
    lives = [life for life in (one.longest_key_life, other.longest_key_life) if life is not None]
    assert both.longest_key_life == (min(lives) if lives else None)
    for name in ("second_factor_required", "password_sign_in_off", "device_sign_in_off"):
        assert getattr(both, name) == (getattr(one, name) or getattr(other, name))


@given(ANY, ANY, ANY)
def test_it_makes_no_difference_who_is_asked_first_or_twice(one: Policies, two: Policies, three: Policies) -> None:
    assert stricter(one, two) == stricter(two, one)
    assert stricter(one, one) == one == stricter(one, Policies())
    assert stricter(stricter(one, two), three) == stricter(one, stricter(two, three))


async def test_without_a_row_the_platform_asks_for_nothing(house: House) -> None:
    acme = await house.accounts.create_organization("acme")
    assert await policies.of_platform(house.db) == Policies()
    assert await policies.of_organization(house.db, acme) == await policies.effective(house.db, acme) == Policies()
    await policies.check_devices(house.db, acme)
    await policies.check_new_password(house.db, acme)
    await policies.check_new_password(house.db, None)


async def test_an_organization_that_is_not_there_has_no_policies(house: House) -> None:
    for ask in (policies.of_organization, policies.effective):
        with pytest.raises(NotFound):
            await ask(house.db, "no such id")
    assert await policies.of_platform(house.db) == Policies()


@pytest.mark.parametrize("of_platform", [True, False])
async def test_a_person_is_asked_what_the_organization_or_the_platform_asks(house: House, of_platform: bool) -> None:
    acme = await house.accounts.create_organization("acme")
    user_id = await house.accounts.create_user(username="zoe", email="zoe@example.com", organization="acme")
    (before,) = await house.accounts.memberships_of(user_id)
    assert (before.second_factor_required, before.password_sign_in_off, before.device_sign_in_off) == (0, 0, 0)
    await house.db.run(_SET_PLATFORM if of_platform else _SET, row(ALL))
    (after,) = await house.accounts.memberships_of(user_id)
    assert (after.second_factor_required, after.password_sign_in_off, after.device_sign_in_off) == (1, 1, 1)
    assert await policies.effective(house.db, acme) == ALL
    for ask in (policies.check_devices, policies.check_new_password):
        with pytest.raises(Forbidden):
            await ask(house.db, acme)
