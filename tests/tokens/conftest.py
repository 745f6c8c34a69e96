"""A desk for each test. One whose keys are already made is copied, because an RSA key takes a while."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import duplicate
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
