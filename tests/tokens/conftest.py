"""A desk for each test. One whose keys are already made is copied, because an RSA key takes a while."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import duplicate
from tests.support.installation import Installation, Template, make_template
from tests.tokens.desk import Desk, open_desk


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Desk]:
    """Give a desk over a new installation without any signing key."""
    desk = open_desk(tmp_path / "fresh")
    yield desk
    desk.close()


@pytest.fixture(scope="session")
def _with_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("with-keys")
    desk = open_desk(directory)
    asyncio.run(desk.signing.ensure())
    desk.close()
    return directory


@pytest.fixture
def desk(tmp_path: Path, _with_keys: Path) -> Iterator[Desk]:
    """Give a desk whose first signing keys are in force."""
    duplicate(_with_keys, tmp_path / "desk")
    copied = open_desk(tmp_path / "desk")
    yield copied
    copied.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Give an installation with all rooms to copy from."""
    return make_template(tmp_path_factory.mktemp("template"))


OpenInstallation = Callable[..., Installation]


@pytest.fixture
def opened(template: Template, tmp_path: Path) -> Iterator[OpenInstallation]:
    """Give a function that opens an installation with the settings that it is given, and a neighbour the next time."""
    with ExitStack() as stack:
        first: list[Installation] = []

        def open_one(**settings: Any) -> Installation:
            one = first[0].neighbour(**settings) if first else template.copy_to(tmp_path / "all", **settings)
            first.append(one)
            stack.callback(one.close)
            return one

        yield open_one
