"""An installation for each test, copied from one that is made once."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from keystead.app import build_application
from tests.support.installation import PUBLIC_URL, Installation, Template, make_template

Open = Callable[..., Installation]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Give the installation to copy from."""
    return make_template(tmp_path_factory.mktemp("template") / "installation")


@pytest.fixture
def opened(template: Template, tmp_path: Path) -> Iterator[Open]:
    """Give a function that opens an installation with the settings that it is given, and a neighbour the next time."""
    with ExitStack() as stack:
        first: list[Installation] = []

        def open_one(**settings: Any) -> Installation:
            one = first[0].neighbour(**settings) if first else template.copy_to(tmp_path / "installation", **settings)
            first.append(one)
            stack.callback(one.close)
            return one

        yield open_one


@pytest.fixture
def house(opened: Open) -> Installation:
    """Give an installation that answers every poll at once."""
    return opened()


@pytest.fixture
async def web(house: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that speaks HTTP to the whole application, within this process."""
    application = build_application(house.services, dev=False)
    transport = httpx.ASGITransport(app=application.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False) as client:
        yield client
