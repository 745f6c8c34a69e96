"""``pip install keystead`` brings the command line and the SDK, without a server, in less than 15 MB."""

from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, requires
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import keystead

MOST: Final = 15_000_000
OF_THE_SERVER: Final = {"fastapi", "sqlalchemy", "uvicorn", "pydantic", "cryptography", "jinja2", "asyncpg", "redis"}
LINUX: Final = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}


def needed(name: str, found: dict[str, Distribution]) -> None:
    """Add what a package needs on Linux without any extra, and what that needs."""
    for line in requires(name) or ():
        requirement = Requirement(line)
        wanted = canonicalize_name(requirement.name)
        if wanted not in found and (requirement.marker is None or requirement.marker.evaluate(LINUX)):
            found[wanted] = distribution(wanted)
            needed(wanted, found)


def files_of(package: Distribution) -> Iterator[Path]:
    for file in package.files or ():
        place = Path(str(package.locate_file(file)))
        if place.suffix != ".pyc" and place.is_file():
            yield place


@pytest.fixture(scope="module")
def closure() -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    needed("keystead", found)
    return found


def test_a_plain_install_is_under_fifteen_megabytes_with_everything_it_needs(closure: dict[str, Distribution]) -> None:
    others = {name: sum(file.stat().st_size for file in files_of(package)) for name, package in closure.items()}
    own = [file for file in Path(keystead.__file__).parent.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    sizes = {**others, "keystead": sum(file.stat().st_size for file in own)}
    assert sum(sizes.values()) < MOST, sizes


def test_a_plain_install_brings_nothing_of_the_server(closure: dict[str, Distribution]) -> None:
    assert not closure.keys() & OF_THE_SERVER
    assert {"click", "httpx2", "rich", "segno"} <= closure.keys()
