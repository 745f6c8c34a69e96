"""Machines for tests of the command line: one on which nobody is signed in, and one on which ada is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.machine import Machine
from tests.support.browser import Browser
from tests.support.server import ADA, Acme, KeysteadServer


@pytest.fixture
def machine(tmp_path: Path, shared_server: KeysteadServer) -> Machine:
    """Give a machine on which nobody is signed in, beside the shared server."""
    return Machine(tmp_path / "home", shared_server.url)


@pytest.fixture(scope="module")
def _signed_in(tmp_path_factory: pytest.TempPathFactory, shared_server: KeysteadServer, acme: Acme) -> Machine:
    """Sign ada in once for each file of tests, so that no token is old enough to be renewed by the way."""
    machine = Machine(tmp_path_factory.mktemp("signed-in"), shared_server.url)
    with Browser(shared_server.url) as browser:
        browser.sign_in(ADA.username, ADA.password)
        machine.sign_in(browser)
    return machine


@pytest.fixture
def signed_in(machine: Machine, _signed_in: Machine) -> Machine:
    """Give a machine on which ada is signed in. Its sign-in is one for all tests of a file: none may end it."""
    shutil.copytree(_signed_in.config, machine.config)
    return machine


@pytest.fixture
def signed_in_alone(machine: Machine, ada: Browser) -> Iterator[Machine]:
    """Give a machine on which ada is signed in, with a sign-in of its own."""
    machine.sign_in(ada)
    yield machine
    if machine.file.exists():
        machine.run("logout", "--all")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, shared_server: KeysteadServer, acme: Acme) -> Machine:
    """Give a machine whose sign-in may do nothing that tests of refusals ask for. None may end it."""
    machine = Machine(tmp_path_factory.mktemp("narrow"), shared_server.url)
    with Browser(shared_server.url) as browser:
        browser.sign_in(ADA.username, ADA.password)
        machine.sign_in(browser, "--scope", "keys:rotate")
    return machine
