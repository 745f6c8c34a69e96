"""What the page of the command line begins with works in its order; its other examples are run in tests/cli."""

import re
from pathlib import Path

from tests.cli.machine import ADDRESS, Machine
from tests.docs.pages import DOCS, page
from tests.support.browser import Browser
from tests.support.server import KeysteadServer


def test_the_first_commands_of_the_page_work_in_their_order(
    tmp_path: Path, shared_server: KeysteadServer, ada: Browser
) -> None:
    commands = page(DOCS / "cli.md").fences[0].splitlines()
    machine = Machine(tmp_path / "home", shared_server.url)
    shown = ""
    for command in commands:
        typed = command.replace("https://auth.example.com", machine.url)
        with machine.terminal("-euc", typed, program="/bin/bash", CI="1") as terminal:
            while terminal.next_of(ADDRESS.pattern) is not None:
                ada.approve(ADDRESS.findall(terminal.text)[-1])
            assert terminal.end_code() == 0, (command, terminal.text)
        shown += terminal.text
    assert [command.split()[1] for command in commands] == ["login", "whoami", "logout"]
    assert re.search(r"Signed in as ada.*ada@example\.com.*Signed out", shown, re.DOTALL)
