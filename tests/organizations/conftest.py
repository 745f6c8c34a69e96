"""A company for each test, copied from one that is made once."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.organizations.company import Company, make_company
from tests.support.installation import Template

Open = Callable[..., Company]


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Give the installation to copy from."""
    return make_company(tmp_path_factory.mktemp("company"))


@pytest.fixture
def opened(founded: Template, tmp_path: Path) -> Iterator[Open]:
    """Give a function that opens a company with the settings that it is given, and a neighbour the next time."""
    with ExitStack() as stack:
        first: list[Company] = []

        def open_one(**settings: Any) -> Company:
            directory = tmp_path / "company"
            one = first[0].neighbour(**settings) if first else Company(founded.copy_to(directory, **settings))
            first.append(one)
            stack.callback(one.close)
            return one

        yield open_one


@pytest.fixture
def company(opened: Open) -> Company:
    """Give a company with the usual settings."""
    return opened()
