"""The same houses as for the tests of accounts, and one whose entrance asks for a second factor."""

import pytest

from tests.accounts.conftest import OpenHouse, _empty, house, opened
from tests.accounts.house import House
from tests.factors.desk import ORIGIN
from tests.sessions.acting import Theatre, open_theatre
from tests.sessions.entering import Entrance, open_entrance

__all__ = ["_empty", "house", "opened"]


@pytest.fixture
async def entrance(opened: OpenHouse) -> Entrance:
    """Give a house in which ada has an authenticator app."""
    return await open_entrance(opened(public_url=ORIGIN))


@pytest.fixture
async def plain_entrance(opened: OpenHouse) -> Entrance:
    """Give a house in which ada has a password and nothing else."""
    return await open_entrance(opened(public_url=ORIGIN), app=False)


@pytest.fixture
async def theatre(house: House) -> Theatre:
    """Give a house in which root operates and ada may be acted as."""
    return await open_theatre(house)
