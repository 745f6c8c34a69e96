"""The whole application within this process, over a copy of an installation with ada and bob in acme."""

from collections.abc import AsyncIterator

import pytest

from tests.account.nodes import Node, open_node
from tests.oauth.conftest import Open, house, opened, template
from tests.support.installation import Installation

__all__ = ["Open", "house", "opened", "template"]


@pytest.fixture
async def here(house: Installation) -> AsyncIterator[Node]:
    """Give a node whose clock stands still."""
    async with open_node(house) as node:
        yield node
