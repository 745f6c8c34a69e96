"""Every command of a user: its help without a network, its answer in JSON, and how it ends when it cannot be done.

The commands are read from the program itself, so one that is added without a line in the tables here fails.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import click
import pytest

from keystead.cli.calling import UserCommand
from keystead.cli.commands import SECTIONS
from keystead.cli.reference import SERVER, commands
from keystead.cli.shapes import ERROR, FLAG, NUMBER, OrNull, Shape
from tests.cli.machine import CLOSED, Machine
from tests.support import issued
from tests.support.browser import Browser

Words = tuple[str, ...]

OURS: Final[Mapping[Words, click.Command]] = dict(
    commands({title: names for title, names in SECTIONS.items() if title != SERVER})
)
TEXTS: Final = {"text", "secret"}
NOBODY: Final = "keystead.example"


def fits(shape: Shape, value: Any) -> bool:
    """Tell whether an answer has exactly the documented shape."""
    if isinstance(shape, OrNull):
        return value is None or fits(shape.shape, value)
    if isinstance(shape, Mapping):
        same = isinstance(value, dict) and value.keys() == shape.keys()
        return same and all(fits(part, value[name]) for name, part in shape.items())
    if not isinstance(shape, str):
        return isinstance(value, list) and all(fits(shape[0], one) for one in value)
    word, _, null = shape.partition(" or null")
    if null or (value is None and shape.endswith("or null")):
        return value is None or fits(word, value)
    if word == FLAG:
        return isinstance(value, bool)
    if word in {NUMBER, "time"}:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return word == "anything" or (word in TEXTS and isinstance(value, str))


# What each command is asked, so that it succeeds, with --json. A function makes what the command needs first.


def key(machine: Machine) -> str:
    """Make an API key in an app of its own, and return its id."""
    name = app(machine)
    made = machine.run("keys", "create", "--app", name, "--title", "t", "--json").json()
    issued.note(made["secret"])
    return str(made["key"]["id"])


def app(machine: Machine) -> str:
    """Make an app with a new name, and return its id."""
    return machine.run("apps", "create", f"app-{machine.home.parent.name[-40:]}").out.strip()


def token(machine: Machine) -> str:
    """Make a short-term token, and return its id."""
    made = machine.run("tokens", "create", "--json").json()
    issued.note(made["secret"])
    return str(made["token"]["id"])


def session(machine: Machine, ada: Browser) -> str:
    """Return the id of a browser that is signed in, which is no other test's."""
    newest = max(machine.run("sessions", "list", "--json").json()["sessions"], key=lambda one: one["created_at"])
    return str(newest["id"])


def device(machine: Machine, ada: Browser) -> str:
    """Sign another machine in, and return the id of that."""
    other = Machine(machine.home / "other", machine.url)
    other.sign_in(ada)
    devices = other.run("devices", "list", "--json").json()["devices"]
    return str(next(one["id"] for one in devices if one["current"]))


Asking = Callable[[Machine, Browser], list[str]]

ASKED: Final[Mapping[Words, Asking]] = {
    ("logout",): lambda machine, ada: ["--context", _another_context(machine, ada)],
    ("auth", "status"): lambda machine, ada: ["--check"],
    ("auth", "token"): lambda machine, ada: ["--print"],
    ("whoami",): lambda machine, ada: [],
    ("context", "list"): lambda machine, ada: [],
    ("context", "use"): lambda machine, ada: [str(machine.stored()["current"])],
    ("apps", "list"): lambda machine, ada: [],
    ("apps", "create"): lambda machine, ada: [f"new-{machine.home.parent.name[-40:]}"],
    ("apps", "delete"): lambda machine, ada: [app(machine), "--yes"],
    ("keys", "list"): lambda machine, ada: ["--app", "keystead Users"],
    ("keys", "create"): lambda machine, ada: ["--app", app(machine), "--title", "t", "--expires", "30d"],
    ("keys", "rename"): lambda machine, ada: [key(machine), "--title", "other"],
    ("keys", "rotate"): lambda machine, ada: [key(machine), "--overlap", "24h"],
    ("keys", "delete"): lambda machine, ada: [key(machine), "--yes"],
    ("balance", "get"): lambda machine, ada: [],
    ("balance", "add"): lambda machine, ada: ["1"],
    ("tokens", "create"): lambda machine, ada: [],
    ("tokens", "list"): lambda machine, ada: [],
    ("tokens", "revoke"): lambda machine, ada: [token(machine), "--yes"],
    ("sessions", "list"): lambda machine, ada: [],
    ("sessions", "revoke"): lambda machine, ada: [session(machine, ada), "--yes"],
    ("devices", "list"): lambda machine, ada: [],
    ("devices", "revoke"): lambda machine, ada: [device(machine, ada), "--yes"],
    ("api",): lambda machine, ada: ["GET", "/account/service/v1/apps"],
    ("completion",): lambda machine, ada: ["bash"],
}
BY_ITSELF: Final = {("login",)}
"""Tested in test_login.py: it answers in events."""

NEEDS_NOBODY: Final = {("login",), ("logout",), ("completion",), ("context", "list")}
"""What can be done while nobody is signed in."""
OFFLINE: Final = {
    ("login",),
    ("logout",),
    ("auth", "status"),
    ("auth", "token"),
    ("context", "list"),
    ("context", "use"),
    ("completion",),
}
"""What does not ask the server, and the two whose words without a network have tests of their own."""
NEEDS_NO_SCOPE: Final = OFFLINE | {("whoami",), ("api",)}


def _another_context(machine: Machine, ada: Browser) -> str:
    machine.sign_in(ada, "--context", "another")
    return "another"


def arguments_of(words: Words) -> list[str]:
    """Return arguments that are well written; what they name need not be there."""
    written = {
        ("context", "use"): [NOBODY],
        ("auth", "token"): ["--print"],
        ("apps", "create"): ["a"],
        ("apps", "delete"): ["a", "--yes"],
        ("keys", "create"): ["--app", "a", "--title", "t"],
        ("keys", "rename"): ["k", "--title", "t"],
        ("keys", "rotate"): ["k"],
        ("keys", "delete"): ["k", "--yes"],
        ("balance", "add"): ["1"],
        ("tokens", "revoke"): ["t", "--yes"],
        ("sessions", "revoke"): ["s", "--yes"],
        ("devices", "revoke"): ["d", "--yes"],
        ("api",): ["GET", "/account/service/v1/apps"],
    }
    return written.get(words, [])


@pytest.mark.parametrize("words", sorted(OURS))
def test_every_command_of_a_user_answers_in_json_and_is_in_the_table_of_this_file(words: Words) -> None:
    command = OURS[words]
    assert isinstance(command, UserCommand), "a command of a user has --json and documents what it answers"
    assert any(option.name == "json" for option in command.params)
    assert words in ASKED or words in BY_ITSELF
    assert set(ASKED) | BY_ITSELF == set(OURS)


@pytest.mark.parametrize("words", sorted(OURS))
def test_every_help_works_without_a_network_and_shows_examples(words: Words, machine: Machine) -> None:
    told = machine.run(*words, "--help", KEYSTEAD_URL=CLOSED, HTTPS_PROXY=CLOSED)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"Usage: keystead {' '.join(words)} ")
    assert "Examples:\n    " in told.out
    assert "keystead " in told.out.partition("Examples:")[2]
    assert "--json" in told.out
    assert "!" not in told.out


@pytest.mark.parametrize("words", sorted({words[:1] for words in OURS if len(words) > 1}))
def test_every_group_explains_itself_and_says_which_command_was_perhaps_meant(words: Words, machine: Machine) -> None:
    told = machine.run(*words, "--help", KEYSTEAD_URL=CLOSED)
    assert told.code == 0
    assert "keystead " in told.out.partition("Examples:")[2]
    inner = sorted(found[1] for found in OURS if found[:1] == words)[0]
    refused = machine.run(*words, inner[:-1])
    assert refused.code == 2
    assert f"Did you mean 'keystead {words[0]} {inner}'?" in refused.err


@pytest.mark.parametrize("words", sorted(ASKED))
def test_every_command_answers_in_the_shape_that_is_documented(words: Words, signed_in: Machine, ada: Browser) -> None:
    answered = signed_in.run(*words, *ASKED[words](signed_in, ada), "--json")
    assert answered.code == 0, answered
    found, command = answered.json(), OURS[words]
    if isinstance(found, dict):
        issued.note(*(found[name] for name in ("secret", "access_token") if name in found))
    assert isinstance(command, UserCommand)
    assert fits(command.answers, found), (command.answers, found)


@pytest.mark.parametrize("words", sorted(set(OURS) - NEEDS_NOBODY))
def test_nobody_signed_in_is_exit_code_3_with_what_to_do(words: Words, machine: Machine) -> None:
    in_json = machine.run(*words, *arguments_of(words), "--json")
    plain = machine.run(*words, *arguments_of(words))
    assert (in_json.code, plain.code, plain.out) == (3, 3, "")
    assert "keystead login" in plain.err
    assert in_json.err == ""
    if words != ("auth", "status"):  # which answers that nobody is
        assert fits(ERROR, in_json.json())
        assert in_json.error["code"] == "sign_in_required"


@pytest.mark.parametrize("words", sorted(set(OURS) - OFFLINE))
def test_a_server_that_cannot_be_reached_is_exit_code_5(words: Words, machine: Machine) -> None:
    asked = (*words, *arguments_of(words), "--json", "--server", CLOSED)
    told = machine.run(*asked, KEYSTEAD_TOKEN="e30.e30.x")
    assert told.code == 5, told
    assert fits(ERROR, told.json())
    assert f"{CLOSED} cannot be reached" in told.error["message"]
    assert told.error["hint"]


@pytest.mark.parametrize("words", sorted(set(OURS) - NEEDS_NO_SCOPE))
def test_what_the_server_refuses_is_exit_code_4_with_its_words(words: Words, machine: Machine, narrow: Machine) -> None:
    told = narrow.run(*words, *arguments_of(words), "--json")
    assert told.code == 4, told
    assert fits(ERROR, told.json())
    assert told.error["code"] in {"forbidden", "insufficient_scope"}


@pytest.mark.parametrize("words", sorted(OURS))
def test_a_command_that_is_written_wrongly_is_exit_code_2_in_words_and_in_json(words: Words, machine: Machine) -> None:
    plain = machine.run(*words, "--no-such-option")
    in_json = machine.run(*words, "--json", "--no-such-option")
    assert (plain.code, plain.out, in_json.code, in_json.err) == (2, "", 2, "")
    assert "--no-such-option" in plain.err
    assert in_json.error["code"] == "usage"
    assert in_json.error["hint"] == f"See: keystead {' '.join(words)} --help"
