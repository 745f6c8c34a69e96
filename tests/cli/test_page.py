"""The page of the command line: it is what the commands say, and every example in it works (promise O10)."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from keystead.cli.reference import PAGE, examples_of, page
from tests.cli.machine import ADDRESS, Machine
from tests.cli.test_every_command import OURS, Words
from tests.support import issued
from tests.support.browser import Browser
from tests.support.server import ADA, KeysteadServer, add_acme

QUESTION: Final = r"\[y/N\]:"
EXAMPLES: Final = [(words, example) for words, command in sorted(OURS.items()) for example in examples_of(command)]


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m keystead.cli.reference"


def test_every_example_of_the_page_is_one_of_a_command() -> None:
    shown = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [line for block in shown for line in block.splitlines()] == [
        line for command in OURS.values() for line in examples_of(command)
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Browser]]:
    """Give a server of this file's own, a machine on which ada is signed in, and her browser."""
    place = tmp_path_factory.mktemp("page")
    with KeysteadServer(place / "server") as server, Browser(server.url) as ada:
        add_acme(server)
        ada.sign_in(ADA.username, ADA.password)
        machine = Machine(place / "home", server.url)
        machine.sign_in(ada)
        yield machine, ada


def prepare(machine: Machine, words: Words, ada: Browser) -> dict[str, str]:
    """Make what the examples speak of, and return what stands in them for what is here."""
    host = machine.url.removeprefix("http://")
    replaced = {"https://auth.example.com": machine.url, "ada@auth.example.com": f"ada@{host}"}
    if words[0] in {"login", "logout"}:
        shutil.rmtree(machine.config)  # the sign-in in it is the other examples' too, and would be taken back
    if words == ("login",):
        begun = machine.run("login", machine.url, "--no-wait", "--json").json()
        ada.approve(begun["verification_uri_complete"])
        return {**replaced, '"$ID"': begun["request_id"]}
    if words == ("logout",):
        machine.sign_in(ada)
    elif words[0] in {"keys", "apps", "api"}:
        for app in machine.run("apps", "list", "--json").json()["apps"]:
            machine.run("apps", "delete", app["id"], "--yes")
        if words not in {("apps", "create"), ("api",)}:
            machine.run("apps", "create", "ci")
        (machine.home / "app.json").write_text('{"app_name": "nightly"}', encoding="utf-8")
        if words[0] == "keys" and words != ("keys", "create"):
            made = machine.run("keys", "create", "--app", "ci", "--title", "deploy", "--json").json()
            issued.note(made["secret"])
            replaced["ID"] = made["key"]["id"]
    elif words == ("tokens", "revoke"):
        made = machine.run("tokens", "create", "--json").json()
        issued.note(made["secret"])
        replaced["ID"] = made["token"]["id"]
    elif words == ("devices", "revoke"):
        other = Machine(machine.home / "other", machine.url)
        other.sign_in(ada)
        replaced["ID"] = newest(machine.run("devices", "list", "--json").json()["devices"])
    elif words == ("sessions", "revoke"):
        with Browser(machine.url) as another:
            another.sign_in(ADA.username, ADA.password)
        replaced["ID"] = newest(machine.run("sessions", "list", "--json").json()["sessions"])
    return replaced


def newest(things: list[dict[str, Any]]) -> str:
    """Return the id of what was made last; ids sort by when they were made."""
    return str(max(thing["id"] for thing in things))


def typed(example: str, replaced: dict[str, str]) -> str:
    """Return an example with what is here in the place of what stands there."""
    for stands, here in sorted(replaced.items(), key=lambda pair: -len(pair[0])):
        example = re.sub(rf"(?<![A-Z]){re.escape(stands)}(?![A-Z=])", here, example)
    return example.replace('eval "$(keystead completion zsh)"', "keystead completion zsh")  # for which zsh is needed


@pytest.mark.parametrize(("words", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_every_example_works_as_it_stands_there(
    words: Words, example: str, tmp_path: Path, house: tuple[Machine, Browser]
) -> None:
    signed_in, ada = house
    machine = Machine(tmp_path / "home", signed_in.url)
    shutil.copytree(signed_in.config, machine.config)
    (machine.home / ".config" / "fish" / "completions").mkdir(parents=True)
    command = typed(example, prepare(machine, words, ada))
    with machine.terminal("-euc", command, program="/bin/bash", CI="1") as terminal:
        while (found := terminal.next_of(QUESTION, ADDRESS.pattern)) is not None:
            if found == 0:
                terminal.type("y")
            elif "--no-wait" not in command and "--resume" not in command:
                ada.approve(ADDRESS.findall(terminal.text)[-1])
        assert terminal.end_code() == 0, (command, terminal.text)
