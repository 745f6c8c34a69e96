"""Opening an installation for a command: its settings, then every service over its database.

The server may be running or not: it is the same file, and a server hears of each change through the feed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from keystead.cli.refusal import Refusal
from keystead.db.master_secret import InstallationError
from keystead.kernel.clock import SystemClock
from keystead.kernel.problems import Problem
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import FILE_NAME, Settings, SettingsError, load_settings
from keystead.services import Services, open_services

T = TypeVar("T")

USUAL_ADDRESS: Final = "http://127.0.0.1:8080"
ADDRESS_FILE: Final = "address"
"""Holds the address of a development server, whose port is not known before it runs."""


def read_settings(data: Path, **given: Any) -> Settings:
    """Return the settings of an installation: ``given``, then the environment, then ``keystead.toml``.

    A development server has no configured address; the one that it wrote down when it started is used instead. Raises
    SettingsError.
    """
    settings = load_settings(file=data / FILE_NAME, **given)
    if not settings.public_url and (data / ADDRESS_FILE).exists():
        address = (data / ADDRESS_FILE).read_text(encoding="utf-8").strip()
        settings = load_settings(file=data / FILE_NAME, **{**given, "public_url": address})
    return settings


def master_secret_of(settings: Settings) -> Secret | None:
    """Return the configured master secret, or None when it is in its file."""
    configured = settings.master_secret
    return None if configured is None else Secret(configured.get_secret_value())


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what an operator can mend into a sentence on standard error and exit code 1."""
    try:
        yield
    except (InstallationError, SettingsError) as error:
        raise Refusal(str(error)) from error
    except Problem as problem:
        raise Refusal(problem.detail) from problem


def run(data: Path, work: Callable[[Services], Coroutine[Any, Any, T]], *, names_address: bool = False) -> T:
    """Run ``work`` with the services of the installation in ``data``, made when there is none. Raises Refusal.

    What it makes may name the address of the server; one that is not known yet is taken to be a development server's.
    """
    with plain_errors():
        settings = read_settings(data)
        if names_address and not settings.public_url:
            click.echo(f"The server's address is not set, so this names {USUAL_ADDRESS}.", err=True)
            settings = read_settings(data, public_url=USUAL_ADDRESS)
        services = open_services(data, settings, SystemClock())

        async def whole() -> T:
            try:
                return await work(services)
            finally:
                await services.aclose()

        return asyncio.run(whole())
