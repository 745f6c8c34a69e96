"""Several nodes over one PostgreSQL: real processes, each with a data directory and a port of its own."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from keystead.kernel.clock import SystemClock
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.services import Services, open_services
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient, Tokens
from tests.support.processes import free_port
from tests.support.server import ADA, ADMIN_SECONDS, BOB, KeysteadServer

T = TypeVar("T")

MASTER_SECRET: Final = "the master secret that every node of a cluster is given"
_SHOWN_OF_A_LOG: Final = 6_000


@dataclass(frozen=True, slots=True)
class Key:
    """An API key: its id, the app that it belongs to, and its text."""

    id: str
    app_id: str
    text: str


class Cluster:
    """``size`` nodes that share a database and a master secret.

    ``urls`` is the database's address, or one for each node, which may reach it in different ways. ``settings`` are
    KEYSTEAD_* variables for all of them. As a context manager it starts all nodes at the same moment, and in the end
    stops those that run; what they logged is then shown with a test that failed.
    """

    def __init__(
        self,
        directory: Path,
        urls: str | Sequence[str],
        size: int = 3,
        settings: Mapping[str, str] | None = None,
        workers: int = 1,
    ) -> None:
        """Make the nodes' directories in ``directory``. Nothing runs before ``start``."""
        addresses = [urls] * size if isinstance(urls, str) else list(urls)
        shared = {"KEYSTEAD_MASTER_SECRET": MASTER_SECRET, "KEYSTEAD_LOG_LEVEL": "WARNING", **(settings or {})}
        self.database = addresses[0]
        self.nodes = [
            KeysteadServer(
                directory / f"node-{number}",
                {**shared, "KEYSTEAD_DATABASE_URL": url},
                port=free_port(),
                workers=workers,
            )
            for number, url in enumerate(addresses)
        ]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start every node at the same moment. Raises ServerError with the logs of one that does not become ready."""
        each(self.nodes, KeysteadServer.start)

    def close(self) -> None:
        """Stop what runs."""
        try:
            each([node for node in self.nodes if node.running], KeysteadServer.stop)
        finally:
            for number, node in enumerate(self.nodes):
                print(f"--- node {number} ---\n{node.log_text()[-_SHOWN_OF_A_LOG:]}")  # noqa: T201 - pytest shows it

    @property
    def urls(self) -> list[str]:
        """Where the nodes listen."""
        return [node.url for node in self.nodes]

    def admin(self, command: str, *arguments: str, stdin: str | None = None) -> str:
        """Run an operator's command on the first node's host."""
        return self.nodes[0].admin(command, *arguments, stdin=stdin)

    def new_keys(self, titles: Iterable[str]) -> list[Key]:
        """Return fresh API keys of ada's."""

        async def work(services: Services) -> list[Key]:
            made = [await services.keys.create_key_for_user(ADA.username, title) for title in titles]
            return [Key(one.record.id, one.record.app_id, one.secret.reveal()) for one in made]

        return in_process(self.nodes[0].data, self.database, work)

    def sign_in(self, number: int = 1, urls: Sequence[str] = ()) -> list[Tokens]:
        """Sign ``number`` devices in for ada, each over the next node, or over the next of ``urls``."""
        doors = list(urls) or self.urls
        with DeviceClient(doors[0]) as first, Browser(doors[0]) as ada:
            client_id = first.register()
            ada.sign_in(ADA.username, ADA.password)
            found = []
            for _, door in zip(range(number), cycle(doors), strict=False):
                with DeviceClient(door, client_id) as device:
                    authorization = device.device_code()
                    ada.approve(page_of(authorization))
                    found.append(device.poll_until_decided(authorization))
        return found


def page_of(authorization: DeviceAuthorization) -> str:
    """Return the path of the page on which a code is decided, which is the same on every node."""
    parts = urlsplit(authorization.verification_uri_complete)
    return f"{parts.path}?{parts.query}"


def each(things: Sequence[T], act: Callable[[T], object]) -> None:
    """Do the same to all of these at the same moment. What one of them raises is raised after all have ended."""
    if things:
        with ThreadPoolExecutor(len(things)) as pool:
            done = [pool.submit(act, thing) for thing in things]
        for one in done:
            one.result()


def in_process(directory: Path, database_url: str, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Do something to an installation as one more node would, whether or not others run."""
    settings = Settings.model_validate(
        {"public_url": "https://auth.example.com", "master_secret": MASTER_SECRET, "database_url": database_url}
    )

    async def whole() -> T:
        services = open_services(directory, settings, SystemClock())
        try:
            return await work(services)
        finally:
            await services.aclose()

    return asyncio.run(whole())


def furnish(directory: Path, database_url: str) -> str:
    """Fill an empty database: acme, ada who owns it, bob who is a member, and signing keys. Return acme's id."""

    async def work(services: Services) -> str:
        acme = await services.accounts.create_organization("acme", "Acme")
        for person in (ADA, BOB):
            await services.accounts.create_user(
                username=person.username,
                email=person.email,
                organization="acme",
                role=Role(person.role),
                password=Secret(person.password),
            )
        await services.signing_keys.ensure()
        return acme

    return in_process(directory, database_url, work)


def through(url: str, *ports: int) -> str:
    """Return a database's address with another port, or with several, each a host of its own."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return re.sub(r"@[^/]+/", f"@{hosts}/", url)


def refused_start(directory: Path, settings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Return how a node ended that was started alone and did not become ready."""
    node = KeysteadServer(directory, {"KEYSTEAD_MASTER_SECRET": MASTER_SECRET, **settings})
    return subprocess.run(
        [sys.executable, "-m", "keystead", "serve", "--dev", "--data", str(node.data), "--port", "0"],
        capture_output=True,
        text=True,
        env=node.environment(),
        timeout=ADMIN_SECONDS,
        check=False,
    )
