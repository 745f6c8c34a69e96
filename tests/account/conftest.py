"""The whole application twice over one installation, as two nodes are, with one clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.account.nodes import Node, open_node
from tests.oauth.conftest import Open, house, opened, template
from tests.support.installation import Installation

__all__ = ["Open", "house", "opened", "template"]


@pytest.fixture
async def nodes(house: Installation, opened: Open) -> AsyncIterator[tuple[Node, Node]]:
    """Give two nodes."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(open_node(house))
        there = await stack.enter_async_context(open_node(opened()))
        yield here, there


@pytest.fixture
def here(nodes: tuple[Node, Node]) -> Node:
    """Give the node that most is asked of."""
    return nodes[0]


@pytest.fixture
def there(nodes: tuple[Node, Node]) -> Node:
    """Give the other node."""
    return nodes[1]
