"""The page of the command line: it is what the commands say, and every example in it works (promise O10)."""

import re
from typing import Final

import pytest

from keystead.cli.reference import PAGE, examples_of, page
from tests.cli.machine import ADDRESS, Machine
from tests.cli.test_every_command import OURS, Words
from tests.support import issued
from tests.support.browser import Browser
from tests.support.server import ADA

QUESTION: Final = r"\[y/N\]:"
EXAMPLES: Final = [(words, example) for words, command in sorted(OURS.items()) for example in examples_of(command)]
WITHOUT_A_SIGN_IN: Final = {"login", "completion"}
WHAT_ENDS: Final = {"tokens", "sessions", "devices"}


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m keystead.cli.reference"


def test_every_example_of_the_page_is_one_of_a_command() -> None:
    shown = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [line for block in shown for line in block.splitlines()] == [
        line for command in OURS.values() for line in examples_of(command)
    ]


def prepare(machine: Machine, words: Words, ada: Browser) -> dict[str, str]:
    """Make what the examples speak of, and return what stands in them for what is here."""
    host = machine.url.removeprefix("http://")
    replaced = {"https://auth.example.com": machine.url, "ada@auth.example.com": f"ada@{host}"}
    if words[0] in WITHOUT_A_SIGN_IN:
        begun = machine.run("login", machine.url, "--no-wait", "--json").json()
        ada.approve(begun["verification_uri_complete"])
        return {**replaced, '"$ID"': begun["request_id"]}
    machine.sign_in(ada)
    for app in machine.run("apps", "list", "--json").json()["apps"]:
        if app["name"] in {"ci", "nightly"}:
            machine.run("apps", "delete", app["id"], "--yes")
    if words != ("apps", "create"):
        machine.run("apps", "create", "ci")
    machine.run("apps", "create", "other")
    made = None
    if words[0] == "keys" and words != ("keys", "create"):
        made = machine.run("keys", "create", "--app", "ci", "--title", "deploy", "--json").json()
        issued.note(made["secret"])
    (machine.home / "app.json").write_text('{"app_name": "nightly"}', encoding="utf-8")
    machine.run("tokens", "create")
    if words[0] in WHAT_ENDS:
        newest = machine.run(words[0], "list", "--json").json()[words[0]][-1]
        replaced["ID"] = str(newest["id"])
    elif made is not None:
        replaced["ID"] = made["key"]["id"]
    if words == ("api",):
        machine.run("apps", "delete", "ci", "--yes")
    return replaced


@pytest.mark.parametrize(("words", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_every_example_works_as_it_stands_there(
    words: Words, example: str, machine: Machine, shared_server: object
) -> None:
    with Browser(machine.url) as ada:
        ada.sign_in(ADA.username, ADA.password)
        replaced = prepare(machine, words, ada)
        (machine.home / ".config" / "fish" / "completions").mkdir(parents=True)
        for stands, here in sorted(replaced.items(), key=lambda pair: -len(pair[0])):
            example = re.sub(rf"(?<![A-Z]){re.escape(stands)}(?![A-Z=])", here, example)
        with machine.terminal("-euc", example, program="/bin/bash", CI="1") as terminal:
            while (found := terminal.next_of(QUESTION, ADDRESS.pattern)) is not None:
                if found == 0:
                    terminal.type("y")
                elif "--no-wait" not in example and "--resume" not in example:
                    ada.approve(ADDRESS.findall(terminal.text)[-1])
            assert terminal.end_code() == 0, (example, terminal.text)
