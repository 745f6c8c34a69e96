"""A house for each test, with the room of factors set up over it."""

import pytest

from keystead.factors.service import Factors
from tests.accounts.conftest import OpenHouse, _empty, opened
from tests.accounts.house import House
from tests.factors.authenticator import Authenticator
from tests.factors.desk import ORIGIN, Desk

__all__ = ["_empty", "opened"]


@pytest.fixture
def house(opened: OpenHouse) -> House:
    """Give an empty installation that people reach under a name."""
    return opened(public_url=ORIGIN)


@pytest.fixture
async def desk(house: House) -> Desk:
    """Give the room, with ada and bob who have no second factor yet."""
    factors = Factors(db=house.db, clock=house.clock, keys=house.keys, settings=house.settings, audit=house.audit)
    ada = await house.add_ada()
    bob = await house.accounts.create_user(username="bob", email="bob@example.com", organization="acme")
    return Desk(house, factors, ada, bob)


@pytest.fixture
def phone() -> Authenticator:
    """Give an authenticator that sees who uses it."""
    return Authenticator(ORIGIN)
