"""Databases that several nodes share, and the nodes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, furnish
from tests.support.postgres import PostgresServer

TEMPLATE = "furnished"


@pytest.fixture(scope="session")
def new_database(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Give a function that returns the address of a fresh database with acme, ada who owns it, and bob."""
    furnish(tmp_path_factory.mktemp("furnishing"), postgres_server.create_database(TEMPLATE))
    return lambda: postgres_server.create_database(template=TEMPLATE)


@pytest.fixture
def furnished_url(new_database: Callable[[], str]) -> str:
    """Give the address of a fresh database with acme, ada who owns it, and bob."""
    return new_database()


@pytest.fixture
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Cluster]]:
    """Give a function that starts nodes over a database: ``new_cluster(url, size, settings)``."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(Cluster(tmp_path_factory.mktemp("cluster"), *arguments))


@pytest.fixture
def node_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory for one more node."""
    return tmp_path_factory.mktemp("node")
