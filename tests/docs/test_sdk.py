"""The page of the SDK: what it lists is what the code says, and every example on it works (promise O10).

The examples are run in the page's order, as one program would, against a server of their own. Replaced is only the
server's address. Whatever they print is seen by ada, who opens each address that is shown and approves.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from keystead.client._reference import PAGE, PARTS, page
from tests.cli.machine import ADDRESS, Machine
from tests.support import issued
from tests.support.browser import Browser
from tests.support.server import ADA, KeysteadServer, add_acme

FENCE: Final = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEXT: Final = PAGE.read_text(encoding="utf-8")
SECRET: Final = re.compile(r"pwt_\S+|eyJ\S+")


def blocks() -> list[tuple[str, str]]:
    """Return the language and the text of each example, which begins at its own line, so that tracebacks name it."""
    return [(found[1], "\n" * TEXT.count("\n", 0, found.start(2)) + found[2]) for found in FENCE.finditer(TEXT)]


class Seen:
    """What the examples have printed, and who looks at it."""

    def __init__(self, ada: Browser) -> None:
        """``ada`` is the browser in which sign-ins are approved."""
        self.ada = ada
        self.lines: list[str] = []

    def print(self, *words: object) -> None:
        """Take the place of ``print``."""
        line = " ".join(map(str, words))
        issued.note(*SECRET.findall(line))
        self.lines.append(line)
        for address in ADDRESS.findall(line):
            self.ada.approve(address)

    def with_words(self, words: str) -> list[str]:
        """Return the lines that hold these words."""
        return [line for line in self.lines if words in line]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Machine, Browser]]:
    """Give a machine on which nobody is signed in, whose environment this process has, and ada's browser."""
    with KeysteadServer(tmp_path / "server") as server, Browser(server.url) as ada:
        add_acme(server)
        ada.sign_in(ADA.username, ADA.password)
        other = Machine(tmp_path / "other", server.url)
        other.sign_in(ada)
        machine = Machine(tmp_path / "home", server.url)
        for name in [name for name in os.environ if name.startswith(("KEYSTEAD_", "PW_"))]:
            monkeypatch.delenv(name)
        for name, value in machine.environment.items():
            monkeypatch.setenv(name, value)
        yield machine, ada


def sign_in(machine: Machine, command: str, ada: Browser) -> None:
    """Run ``keystead login`` on a terminal."""
    with machine.terminal("-euc", command, program="/bin/bash", CI="1") as terminal:
        while terminal.next_of(ADDRESS.pattern) is not None:
            ada.approve(ADDRESS.findall(terminal.text)[-1])
        assert terminal.end_code() == 0, terminal.text


@pytest.mark.timeout(240)
def test_every_example_of_the_page_works_in_its_order(house: tuple[Machine, Browser]) -> None:
    machine, ada = house
    seen = Seen(ada)
    names: dict[str, object] = {"print": seen.print, "__name__": "examples"}
    for language, example in blocks():
        typed = example.replace("https://auth.example.com", machine.url)
        if language == "sh":
            sign_in(machine, typed.strip(), ada)
        else:
            exec(compile(typed, PAGE.name, "exec"), names)  # noqa: S102 - they are our own
    machine.stored()

    assert seen.lines[0] == f"{machine.url} ada@example.com"
    assert seen.lines[1].startswith("pwt_")
    assert "['deploy']" in seen.lines
    assert seen.with_words("and the old key works until")
    assert "5.0 True" in seen.lines
    assert "[]" in seen.lines
    assert "200" in seen.lines
    assert len(seen.with_words("It is kept in")) == 1
    assert "Nobody decided, and nothing was stored." in seen.lines
    assert "nightly" in seen.lines
    assert len(seen.with_words("Signed out of")) == 2
    assert len(seen.with_words("https://elsewhere.example.com")) == 1
    assert seen.lines.count("ada") >= 3
    assert [device["current"] for device in machine.run("devices", "list", "--json").json()["devices"]] == [True]


def test_what_the_page_lists_is_what_the_code_says() -> None:
    assert page(TEXT) == TEXT, "run python -m keystead.client._reference"
    assert all(f"<!-- from the code: {name} -->" in TEXT for name in PARTS)


def test_the_page_has_an_example_of_every_call() -> None:
    calls = re.findall(r"^- `(\w+\.\w+)\(", TEXT, re.MULTILINE)
    examples = "".join(example for language, example in blocks() if language == "python")
    assert len(calls) >= 15
    assert [call for call in calls if f".account.{call}(" not in examples] == []
