"""A whole application within this process, with its entrance: with a mail server or without, open to all or not."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.account.nodes import Node, open_node
from tests.oauth.conftest import Open, house, opened, template
from tests.support.installation import Installation
from tests.support.mail import PostOffice
from tests.web.entrance.guest import Guest, give_password

__all__ = ["Open", "house", "opened", "template"]


@pytest.fixture
async def here(house: Installation) -> AsyncIterator[Node]:
    """Give a node that sends no e-mail, at which ada and bob have a password."""
    async with open_node(house) as node:
        await give_password(node, "ada")
        await give_password(node, "bob")
        yield node


@pytest.fixture
def post() -> Iterator[PostOffice]:
    """Give a mail server."""
    with PostOffice() as office:
        yield office


@pytest.fixture
async def open_house(opened: Open, post: PostOffice) -> AsyncIterator[Node]:
    """Give a node that sends e-mail and lets anybody sign up, at which ada has a password."""
    async with open_node(opened(**post.settings, sign_up=True)) as node:
        await give_password(node, "ada")
        yield node
        await node.house.services.mailer.aclose()


@pytest.fixture
def guest(here: Node) -> Guest:
    """Give a browser at the node that sends no e-mail."""
    return Guest(here)


@pytest.fixture
def visitor(open_house: Node) -> Guest:
    """Give a browser at the node that sends e-mail."""
    return Guest(open_house)
