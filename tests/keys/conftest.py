"""A house for each test, made from one that is migrated and moved into once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.keys.house import House, make_people, open_house
from tests.support.engine import duplicate

OpenHouse = Callable[..., House]


@pytest.fixture(scope="session")
def inhabited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the directory of an installation with its people, to be copied and not to be changed."""
    directory = tmp_path_factory.mktemp("inhabited")
    make_people(directory)
    return directory


@pytest.fixture
def opened(tmp_path: Path, inhabited: Path) -> Iterator[OpenHouse]:
    """Give a function that opens an installation with its people, with the settings that it is given."""
    duplicate(inhabited, tmp_path / "house")
    with ExitStack() as stack:

        def open_one(**options: Any) -> House:
            return stack.enter_context(open_house(tmp_path / "house", **options))

        yield open_one


@pytest.fixture
def house(opened: OpenHouse) -> House:
    """Give an installation with the usual settings."""
    return opened()
