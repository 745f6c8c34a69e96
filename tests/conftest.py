"""The servers that tests share. A test that stops its server or chooses its settings takes one of its own."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import engine
from tests.support.browser import Browser
from tests.support.nginx import NginxProxy
from tests.support.postgres import NOT_DURABLE, PostgresServer
from tests.support.programs import NGINX, POSTGRES, VALKEY, Absences, need
from tests.support.server import ADA, BEFORE_A_START, Acme, KeysteadServer, add_acme
from tests.support.valkey import ValkeyServer


def pytest_configure(config: pytest.Config) -> None:
    """Let the run say what it could not run, because a program is missing, and what it starts hear Ctrl-C."""
    config.pluginmanager.register(Absences(), "absences")
    BEFORE_A_START.append(engine.prepare)
    config.addinivalue_line("markers", "sqlite: looks into SQLite itself; left out of a run with TEST_ENGINE=postgres")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell lets what runs in its background ignore it
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """End what the tests stood on."""
    engine.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a run over PostgreSQL cannot look at."""
    if engine.POSTGRES:
        left_out = [item for item in items if item.get_closest_marker("sqlite")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def anyio_backend() -> str:
    """The server runs on asyncio. The tests of the client, which runs on others too, say so themselves."""
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeysteadServer]:
    """Give a fresh server without any organization; ``add_acme`` makes one."""
    with KeysteadServer(tmp_path / "keystead") as fresh:
        yield fresh


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeysteadServer, Acme]]:
    with KeysteadServer(tmp_path_factory.mktemp("shared")) as shared:
        yield shared, add_acme(shared)


@pytest.fixture(scope="session")
def shared_server(_shared: tuple[KeysteadServer, Acme]) -> KeysteadServer:
    """Give the session's server, with the organization acme, ada who owns it and bob who is a member."""
    return _shared[0]


@pytest.fixture(scope="session")
def acme(_shared: tuple[KeysteadServer, Acme]) -> Acme:
    """Give the ids of acme, ada and bob on the shared server."""
    return _shared[1]


@pytest.fixture
def ada(shared_server: KeysteadServer) -> Iterator[Browser]:
    """Give a browser in which ada is signed in at the shared server."""
    with Browser(shared_server.url) as browser:
        browser.sign_in(ADA.username, ADA.password)
        yield browser


@pytest.fixture(scope="session")
def needs_postgres() -> None:
    """Skip the test where PostgreSQL is missing."""
    need(POSTGRES)


@pytest.fixture(scope="session", autouse=engine.POSTGRES)
def _needs_the_engine(needs_postgres: None) -> None:
    """Skip every test of a run over PostgreSQL where that is missing."""


@pytest.fixture(scope="session")
def needs_valkey() -> None:
    """Skip the test where neither Valkey nor Redis is there."""
    need(VALKEY)


@pytest.fixture(scope="session")
def needs_nginx() -> None:
    """Skip the test where nginx is missing."""
    need(NGINX)


@pytest.fixture(scope="session")
def postgres_server(needs_postgres: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Give the session's PostgreSQL, for tests that neither stop it nor choose its settings."""
    with PostgresServer(tmp_path_factory.mktemp("postgres"), NOT_DURABLE) as shared:
        yield shared


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the address of an empty database of the test's own."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def new_postgres(
    needs_postgres: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., PostgresServer]]:
    """Give a function that starts a PostgreSQL of the test's own: ``new_postgres(settings, authentication=...)``."""
    with ExitStack() as stack:
        yield lambda *settings, **options: stack.enter_context(
            PostgresServer(tmp_path_factory.mktemp("postgres"), *settings, **options)
        )


@pytest.fixture(scope="session")
def valkey_server(needs_valkey: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Give the session's Valkey or Redis, for tests that neither stop it nor choose its settings."""
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as shared:
        yield shared


@pytest.fixture
def valkey_url(valkey_server: ValkeyServer) -> str:
    """Give the address of a Valkey or Redis that knows nothing."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture
def new_valkey(needs_valkey: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ValkeyServer]]:
    """Give a function that starts a Valkey or Redis of the test's own: ``new_valkey(settings)``."""
    with ExitStack() as stack:
        yield lambda *settings: stack.enter_context(ValkeyServer(tmp_path_factory.mktemp("valkey"), *settings))


@pytest.fixture
def new_nginx(needs_nginx: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NginxProxy]]:
    """Give a function that starts an nginx in front of servers: ``new_nginx([server.url, other.url])``."""
    with ExitStack() as stack:
        yield lambda upstreams: stack.enter_context(NginxProxy(tmp_path_factory.mktemp("nginx"), upstreams))
