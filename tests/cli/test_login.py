"""Signing in with the command line: on a terminal, in a pipe, over two commands (promises D10, D11 and C2)."""

import os
import re
import stat
import sys
from pathlib import Path
from typing import Final

import pytest
import segno

from keystead.cli.login import EVENTS
from keystead.cli.qr import qr_code
from tests.cli.machine import ADDRESS, CLOSED, Machine, events_of
from tests.cli.test_every_command import fits
from tests.support import issued
from tests.support.browser import Browser
from tests.support.device import DeviceClient, OAuthError
from tests.support.server import BOB, KeysteadServer

KEYRINGS: Final = Path(__file__).parents[1] / "client" / "store" / "keyrings"
OUTSIDE_A_CONTAINER: Final = (
    "from pathlib import Path; from keystead.cli import headless; headless.CONTAINER_MARK = Path('/nowhere'); "
    "from keystead.__main__ import main; main()"
)
"""Runs the command where the mark of a container is looked for at a place where none is: tests may run in one."""
FINDER: Final = "█▀▀▀▀▀█"
"""The top of a corner of a QR code."""
HEADLESS: Final = {
    "SSH_CLIENT": "10.0.0.1 1 22",
    "SSH_TTY": "/dev/pts/1",
    "CI": "true",
    "container": "podman",
}


def test_on_a_terminal_the_address_comes_first_then_the_code_a_qr_code_and_a_countdown(
    machine: Machine, ada: Browser
) -> None:
    with machine.terminal("login", machine.url) as terminal:
        address = terminal.expect(ADDRESS.pattern)[0]
        terminal.expect(f"code, or asks for it: {address[-9:]}")
        terminal.expect("No browser is opened, because")
        terminal.expect(FINDER)
        first = terminal.expect(r"The code is good for (\d+:\d\d)")[1]
        assert terminal.expect(r"The code is good for (\d+:\d\d)")[1] != first
        ada.approve(address)
        assert terminal.end() == 0
    assert f"Signed in as ada (acme) at {machine.url}." in terminal.text
    assert "in 7 days" in terminal.text
    assert machine.the_context()["username"] == "ada"


def test_a_qr_code_that_would_not_fit_is_left_out(machine: Machine) -> None:
    with machine.terminal("login", machine.url, lines=20) as terminal:
        terminal.expect(ADDRESS.pattern)
        terminal.expect("The code is good for")
        terminal.interrupt()
        assert terminal.end() == 130
    assert not re.search(FINDER, terminal.text)


def test_a_qr_code_has_the_modules_that_the_standard_asks_for() -> None:
    text = "https://auth.example.com/getServiceKeys/device?user_code=BCDF-GHJK"
    shown = qr_code(text, width=80, height=40, colour=False).splitlines()
    dark = [[sign in " ▄" for sign in line] + [sign in " ▀" for sign in line] for line in shown]
    width = len(shown[0])
    rows = [half for row in dark for half in (row[:width], row[width:])][2 : width - 2]
    asked = segno.make(text, error="l", micro=False).matrix
    assert [row[2:-2] for row in rows] == [[bool(module) for module in row] for row in asked]


def test_without_colours_the_qr_code_is_drawn_in_the_terminals_own(machine: Machine) -> None:
    with machine.terminal("login", machine.url, NO_COLOR="1") as terminal:
        terminal.expect("█{20,}")
        terminal.interrupt()
        assert terminal.end() == 130
    assert "\x1b[30;107m" not in terminal.seen


@pytest.mark.parametrize("variable", sorted(HEADLESS))
def test_where_nobody_sits_in_front_no_browser_is_opened_and_the_reason_is_told(
    machine: Machine, variable: str
) -> None:
    machine.environment |= {"DISPLAY": ":0", variable: HEADLESS[variable]}
    with machine.terminal("-c", OUTSIDE_A_CONTAINER, "login", machine.url, program=sys.executable) as terminal:
        terminal.expect(ADDRESS.pattern)
        terminal.expect("No browser is opened, because")
        terminal.interrupt()
        assert terminal.end() == 130


def test_without_a_display_or_a_terminal_no_browser_is_opened(machine: Machine, ada: Browser) -> None:
    with machine.terminal("-c", OUTSIDE_A_CONTAINER, "login", machine.url, program=sys.executable) as terminal:
        terminal.expect("because this machine has no display")
        terminal.interrupt()
        assert terminal.end() == 130
    with machine.start("login", machine.url, "--json", DISPLAY=":0") as process:
        stdout = process.stdout
        assert stdout is not None
        stdout.readline()
        (event,) = events_of(stdout.readline())
        assert (event["browser_open_attempted"], event["browser_opened"]) == (False, False)
        ada.approve(event["verification_uri_complete"])
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("option", [[], ["--no-browser"]])
def test_in_front_of_a_display_a_browser_is_opened_unless_it_is_not_wanted(machine: Machine, option: list[str]) -> None:
    told = machine.home / "told"
    os.mkfifo(told)
    browser = machine.home / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}\n', encoding="utf-8")
    browser.chmod(stat.S_IRWXU)
    machine.environment |= {"DISPLAY": ":0", "BROWSER": f"{browser} %s"}
    with machine.terminal("-c", OUTSIDE_A_CONTAINER, "login", machine.url, *option, program=sys.executable) as terminal:
        address = terminal.expect(ADDRESS.pattern)[0]
        if option:
            terminal.expect("because of --no-browser")
        else:
            terminal.expect("A browser was asked to open that page")
            assert told.read_text(encoding="utf-8").strip() == address
        terminal.interrupt()
        assert terminal.end() == 130


def test_ctrl_c_while_waiting_ends_with_130_and_keeps_nothing(machine: Machine, ada: Browser) -> None:
    with machine.terminal("login", machine.url) as terminal:
        address = terminal.expect(ADDRESS.pattern)[0]
        terminal.expect("The code is good for")
        terminal.interrupt()
        assert terminal.end() == 130
    assert terminal.text.rstrip().endswith("Stopped.")
    assert "Traceback" not in terminal.text
    assert machine.stored()["contexts"] == {}
    ada.approve(address)  # too late: nobody polls any more
    assert machine.run("auth", "status").code == 3


def test_for_a_program_a_sign_in_is_events_and_nothing_else(machine: Machine, ada: Browser) -> None:
    with machine.start("login", machine.url, "--json") as process:
        stdout = process.stdout
        assert stdout is not None
        lines = [stdout.readline(), stdout.readline()]
        ada.approve(events_of(lines[1])[0]["verification_uri_complete"])
        rest = stdout.read()
    events = events_of("".join(lines) + rest)
    assert process.returncode == 0
    assert [event.pop("event") for event in events] == ["auth_start", "device_code", "auth_waiting", "auth_success"]
    shapes = (EVENTS["auth_start"], EVENTS["device_code"], EVENTS["auth_waiting"], EVENTS["auth_success"])
    assert all(fits(shape, event) for shape, event in zip(shapes, events, strict=True)), events
    secrets = machine.the_context()
    assert secrets["refresh_token"] not in rest
    assert secrets["access_token"] not in rest


def test_in_a_pipe_the_sign_in_is_told_on_standard_error_and_asks_nothing(machine: Machine, ada: Browser) -> None:
    with machine.start("login", machine.url) as process:
        stderr = process.stderr
        assert stderr is not None
        shown = ""
        while not (found := ADDRESS.search(shown)):
            shown += stderr.readline()
        ada.approve(found[0])
        rest, stdout = stderr.read(), process.stdout
        assert stdout is not None
        out = stdout.read()
    assert (process.returncode, out) == (0, "")
    assert "\x1b" not in shown + rest
    assert "Waiting for the decision. The code is good for" in rest
    assert str(machine.file) in rest
    assert "only you can read" in rest
    assert stat.S_IMODE(machine.file.stat().st_mode) == 0o600


def test_a_refusal_on_the_page_is_exit_code_3_and_says_so(machine: Machine, ada: Browser) -> None:
    begun = machine.run("login", machine.url, "--no-wait", "--json").json()
    ada.deny(begun["verification_uri_complete"])
    ended = machine.run("login", "--resume", begun["request_id"], "--json")
    last = events_of(ended.out)[-1]
    assert ended.code == 3
    assert last.pop("event") == "auth_error"
    assert fits(EVENTS["auth_error"], last)
    assert last["error"]["code"] == "sign_in_refused"
    assert machine.run("login", "--resume", begun["request_id"]).code == 2


def test_a_code_that_ran_out_is_exit_code_3_and_says_so(tmp_path: Path) -> None:
    with KeysteadServer(tmp_path / "server", {"KEYSTEAD_DEVICE_CODE_TTL": "1"}) as server:
        ended = Machine(tmp_path / "home", server.url).run("login", server.url)
    assert ended.code == 3
    assert "Start again: keystead login" in ended.err


def test_a_server_that_cannot_be_reached_is_exit_code_5_and_says_so(machine: Machine) -> None:
    plain, in_json = machine.run("login", CLOSED), machine.run("login", CLOSED, "--json")
    assert (plain.code, in_json.code, plain.out) == (5, 5, "")
    assert f"{CLOSED} cannot be reached" in plain.err
    assert "Check the address" in plain.err
    assert [event["event"] for event in events_of(in_json.out)] == ["auth_start", "auth_error"]
    assert machine.run("login", CLOSED, "--no-wait").code == 5


@pytest.mark.parametrize("address", ["http://auth.example.com", "ftp://auth.example.com", "https://a b"])
def test_an_address_that_is_none_or_is_not_safe_is_exit_code_2(machine: Machine, address: str) -> None:
    refused = machine.run("login", address)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.count("\n") == 2


def test_the_request_id_alone_is_printed_and_resuming_it_signs_in_once(machine: Machine, ada: Browser) -> None:
    begun = machine.run("login", machine.url, "--no-wait", "--context", "work")
    request = begun.out.strip()
    assert begun.code == 0
    assert re.fullmatch(r"[0-9a-f]+\n", begun.out)
    address = ADDRESS.search(begun.err)
    assert address is not None
    ada.approve(address[0])
    ended = machine.run("login", "--resume", request)
    assert (ended.code, ended.out) == (0, "")
    assert "Signed in as ada (acme)" in ended.err
    assert list(machine.stored()["contexts"]) == ["work"]
    again = machine.run("login", "--resume", request)
    assert again.code == 2
    assert "Start one: keystead login --no-wait" in again.err


def test_resume_takes_no_other_option_because_all_was_said_when_it_began(machine: Machine) -> None:
    refused = machine.run("login", machine.url, "--resume", "0")
    assert refused.code == 2
    assert "--resume goes on with a sign-in as it was begun" in refused.err


def test_without_an_address_the_variable_names_the_server_else_the_sign_in_that_is_there(
    machine: Machine, ada: Browser
) -> None:
    unnamed = machine.run("login", "--no-wait")
    named = machine.run("login", "--no-wait", "--json", KEYSTEAD_URL=machine.url + "/")
    assert unnamed.code == 2
    assert "keystead login https://auth.example.com" in unnamed.err
    assert named.json()["server"] == machine.url
    machine.sign_in(ada)
    assert machine.run("login", "--no-wait", "--json").json()["server"] == machine.url


def test_signing_in_again_says_so_and_takes_the_earlier_sign_in_back(machine: Machine, ada: Browser) -> None:
    machine.sign_in(ada)
    earlier = machine.the_context()
    with machine.terminal("login", machine.url) as terminal:
        terminal.expect("You are signed in already, as ada")
        ada.approve(terminal.expect(ADDRESS.pattern)[0])
        assert terminal.end() == 0
    assert machine.the_context()["refresh_token"] != earlier["refresh_token"]
    with DeviceClient(machine.url, earlier["client_id"]) as client, pytest.raises(OAuthError) as refused:
        client.refresh(earlier["refresh_token"])
    assert refused.value.error == "invalid_grant"


def test_two_people_sign_in_on_one_machine_and_one_switches_between_them(machine: Machine, ada: Browser) -> None:
    machine.sign_in(ada)
    with Browser(machine.url) as bob:
        bob.sign_in(BOB.username, BOB.password)
        machine.sign_in(bob, "--context", "bobs")
    listed = machine.run("context", "list", "--json").json()["contexts"]
    assert [(one["username"], one["current"]) for one in listed] == [("ada", False), ("bob", True)]
    assert machine.run("whoami", "--json").json()["username"] == "bob"
    assert machine.run("whoami", "--json", "--context", listed[0]["context"]).json()["username"] == "ada"
    assert machine.run("whoami", "--json", KEYSTEAD_CONTEXT=listed[0]["context"]).json()["username"] == "ada"
    assert machine.run("context", "use", listed[0]["context"]).code == 0
    assert machine.run("whoami", "--json").json()["username"] == "ada"
    unknown = machine.run("context", "use", "nobody")
    assert unknown.code == 3
    assert "bobs" in unknown.err


def test_all_scopes_are_asked_for_unless_some_are_named(machine: Machine, ada: Browser) -> None:
    machine.sign_in(ada)
    assert "devices:delete" in machine.the_context()["scopes"]
    machine.sign_in(ada, "--scope", "keys:read", "--scope", "apps:read")
    assert sorted(machine.the_context()["scopes"]) == ["apps:read", "keys:read"]
    refused = machine.run("login", machine.url, "--scope", "everything")
    assert refused.code == 4
    assert "There is no scope" in refused.err


def test_the_files_of_other_programs_get_the_sign_in_when_that_is_asked_for(machine: Machine, ada: Browser) -> None:
    machine.sign_in(ada, "--also", "parallel-cli", "--also", "pw")
    status = machine.run("auth", "status")
    for path in (".config/parallel-web-tools/auth.json", ".config/pw/credentials"):
        assert machine.url.removeprefix("http://") in (machine.home / path).read_text(encoding="utf-8") or path
        assert str(machine.home / path) in status.out
    assert machine.run("login", machine.url, "--also", "other").code == 2


def test_a_keyring_that_is_required_and_missing_ends_the_sign_in_before_anybody_is_asked(machine: Machine) -> None:
    refused = machine.run("login", CLOSED, "--require-keyring", "--json")
    last = events_of(refused.out)[-1]
    assert refused.code == 1
    assert last["error"]["code"] == "keyring_unavailable"
    assert not machine.file.exists() or machine.stored()["contexts"] == {}


def test_where_there_is_a_keyring_the_refresh_token_is_there_alone(machine: Machine, ada: Browser) -> None:
    machine.environment |= {
        "PYTHONPATH": str(KEYRINGS),
        "PYTHON_KEYRING_BACKEND": "fake_keyrings.InFile",
        "FAKE_KEYRING_FILE": str(machine.home / "keyring.json"),
    }
    begun = machine.run("login", machine.url, "--no-wait", "--json").json()
    ada.approve(begun["verification_uri_complete"])
    ended = machine.run("login", "--resume", begun["request_id"], "--require-keyring")
    assert ended.code == 0, ended
    assert "the keyring of this system" in ended.err
    kept = (machine.home / "keyring.json").read_text(encoding="utf-8")
    issued.note(*re.findall(r"pwr_[\w-]+", kept))
    assert "pwr_" in kept
    assert "pwr_" not in machine.file.read_text(encoding="utf-8")
    assert machine.run("auth", "status", "--json").json()["sign_in"]["store"]["kind"] == "keyring"


@pytest.mark.parametrize("backend", ["Hanging", "Locked"])
def test_a_keyring_that_hangs_or_is_locked_holds_up_neither_the_address_nor_the_sign_in(
    machine: Machine, ada: Browser, backend: str
) -> None:
    machine.environment |= {
        "PYTHONPATH": str(KEYRINGS),
        "PYTHON_KEYRING_BACKEND": f"fake_keyrings.{backend}",
        "FAKE_KEYRING_FILE": str(machine.home / "keyring.json"),
    }
    with machine.terminal("login", machine.url) as terminal:
        ada.approve(terminal.expect(ADDRESS.pattern)[0])
        assert terminal.end() == 0
    words = " ".join(terminal.text.split())
    assert "The keyring of this system cannot be used" in words
    assert "".join(str(machine.file).split()) in "".join(terminal.text.split())
    assert machine.the_context()["store"] == "file"
