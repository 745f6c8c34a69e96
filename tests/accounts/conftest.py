"""A house for each test, made from one that is migrated once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.accounts.house import House, open_house
from tests.support.engine import duplicate

OpenHouse = Callable[..., House]


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("empty")
    with open_house(directory):
        pass
    return directory


@pytest.fixture
def opened(tmp_path: Path, _empty: Path) -> Iterator[OpenHouse]:
    """Give a function that opens an empty installation with the settings that it is given."""
    duplicate(_empty, tmp_path / "house")
    with ExitStack() as stack:

        def open_one(**options: Any) -> House:
            return stack.enter_context(open_house(tmp_path / "house", **options))

        yield open_one


@pytest.fixture
def house(opened: OpenHouse) -> House:
    """Give an empty installation with the usual settings."""
    return opened()
