"""The dress of an answer: tables, blocks, tabs, colours, zones, and what other people wrote."""

import re

import pytest

from tests.cli.machine import Machine
from tests.support.calls import Line
from tests.support.server import ADA

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def app(signed_in: Machine) -> str:
    """Give the name of an app of this test's own, with a key in it."""
    name = f"app-{signed_in.home.parent.name[-30:]}"
    signed_in.run("apps", "create", name)
    signed_in.run("keys", "create", "--app", name, "--title", "deploy", "--expires", "30d")
    return name


def test_in_a_pipe_a_list_is_fields_with_tabs_and_exact_times(signed_in: Machine, app: str) -> None:
    signed_in.environment["TZ"] = "Asia/Tokyo"
    told = signed_in.run("keys", "list", "--app", app)
    ((_, title, in_app, hint, creator, created, expires, used),) = told.lines
    assert (title, in_app, creator, used) == ("deploy", app, ADA.email, "never")
    assert "…" in hint
    for time in (created, expires):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+09:00", time)
    assert told.err == ""


def test_on_a_wide_terminal_a_list_is_a_table_and_times_say_how_far_away_they_are(signed_in: Machine, app: str) -> None:
    with signed_in.terminal("keys", "list", "--app", app, columns=240) as terminal:
        assert terminal.end() == 0
    heading, line = terminal.text.strip().splitlines()
    assert heading.split() == ["ID", "TITLE", "APP", "HINT", "CREATED", "BY", "CREATED", "EXPIRES", "LAST", "USED"]
    assert "(in 29 days)" in line or "(in 30 days)" in line
    assert COLOUR.search(terminal.seen)


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_on_a_narrow_terminal_a_list_is_a_block_for_each_thing(signed_in: Machine, app: str, columns: int) -> None:
    with signed_in.terminal("keys", "list", "--app", app, columns=columns) as terminal:
        assert terminal.end() == 0
    lines = terminal.text.strip().splitlines()
    assert all(len(line) <= columns for line in lines)
    assert [line.split()[0] for line in lines if not line.startswith(" ")][:3] == ["ID", "TITLE", "APP"]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured_where_that_is_not_wanted(signed_in: Machine, app: str, variables: dict[str, str]) -> None:
    signed_in.environment |= variables
    for arguments in (["keys", "list", "--app", app], ["auth", "status"]):
        for columns in (60, 240):
            with signed_in.terminal(*arguments, columns=columns) as terminal:
                assert terminal.end() == 0
            assert not re.search(r"\x1b\[[0-9;]*(3|4|9|10)[0-7]", terminal.seen)
            assert "\x1b[2m" not in terminal.seen


def test_what_somebody_else_wrote_moves_no_cursor(signed_in: Machine) -> None:
    with Line(signed_in.url) as stranger:
        body = {"username": ADA.username, "password": ADA.password}
        headers = {"User-Agent": "strange\x9b2Jbrowser\ttab"}
        answer = stranger.ask("POST", "/api/sso/password/login", body=body, headers=headers)
    assert answer.status == 204
    told = signed_in.run("sessions", "list")
    assert all(sign.isprintable() or sign in "\t\n" for sign in told.out)
    assert {len(line) for line in told.lines} == {6}
    assert "strange" in told.out


def test_an_empty_list_says_what_to_do_on_standard_error(machine: Machine) -> None:
    told = machine.run("context", "list")
    assert (told.code, told.out, told.err) == (0, "", "Nobody is signed in here. Sign in: keystead login ADDRESS\n")


def test_json_on_a_terminal_is_indented_and_in_a_pipe_one_line(signed_in: Machine) -> None:
    with signed_in.terminal("whoami", "--json") as terminal:
        assert terminal.end() == 0
    assert terminal.text.startswith('{\n  "user_id"')
    assert signed_in.run("whoami", "--json").out.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_the_names_of_contexts(signed_in: Machine, shell: str) -> None:
    script = signed_in.run("completion", shell)
    assert (script.code, "_KEYSTEAD_COMPLETE" in script.out) == (0, True)

    def completed(*words: str) -> str:
        variables = {"_KEYSTEAD_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words) - 1)}
        return signed_in.run(COMP_WORDS=" ".join(words), **variables).out

    assert completed("keystead", "ke") == "plain,keys\n"
    assert "plain,rotate" in completed("keystead", "keys", "ro")
    assert "plain,--overlap" in completed("keystead", "keys", "rotate", "--ov")
    assert f"plain,{signed_in.stored()['current']}" in completed("keystead", "whoami", "--context", "ada")


def test_a_store_that_cannot_be_read_is_told_with_its_path_and_left_alone(machine: Machine) -> None:
    machine.config.mkdir()
    machine.file.write_text("{ torn", encoding="utf-8")
    for arguments in (["whoami"], ["auth", "status"], ["auth", "token", "--print"], ["context", "list"], ["logout"]):
        refused = machine.run(*arguments)
        assert (refused.code, refused.out) == (1, "")
        assert str(machine.file) in refused.err
    assert machine.file.read_text(encoding="utf-8") == "{ torn"
