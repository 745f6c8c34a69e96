"""What is known here of the sign-in, and the token for other programs (promise C2, contract B2)."""

import base64
import json
import sys
import time

import pytest

from tests.cli.machine import CLOSED, Machine
from tests.support.server import Acme, KeysteadServer


def age(machine: Machine, left: int = -1) -> None:
    """Let the stored access token have run out, or have so many seconds left."""
    content = machine.stored()
    for context in content["contexts"].values():
        context["access_token_expires_at"] = int(time.time()) + left
        context["access_token_issued_at"] = int(time.time()) + left - 600
    machine.store(content)


def test_the_status_shows_who_where_kept_where_and_until_when_without_asking_the_server(signed_in: Machine) -> None:
    content = signed_in.stored()
    for context in content["contexts"].values():
        context["server"] = CLOSED
    signed_in.store(content)
    told = signed_in.run("auth", "status")
    fields = {line[0]: line[1] for line in told.lines}
    assert told.code == 0
    assert (fields["User"], fields["Organization"], fields["Server"]) == ("ada", "acme", CLOSED)
    assert str(signed_in.file) in fields["Kept in"]
    assert fields["Ends unused"].startswith("20")
    assert signed_in.run("auth", "status", "--check").code == 5


def test_on_a_terminal_the_status_says_in_how_long_it_ends(signed_in: Machine) -> None:
    with signed_in.terminal("auth", "status", columns=60) as terminal:
        assert terminal.end() == 0
    assert "(in 6 days)" in terminal.text or "(in 7 days)" in terminal.text
    assert all(len(line) <= 60 for line in terminal.text.splitlines())


def test_the_status_names_the_variables_that_come_first_and_never_what_is_in_them(signed_in: Machine) -> None:
    variables = {"KEYSTEAD_API_KEY": "pwt_aGVyZQ.secretsecret", "PW_API_KEY": "pwt_aGVyZQ.othersecret"}
    told = signed_in.run("auth", "status", "--json", **variables)
    found = told.json()
    assert [(one["variable"], one["used"]) for one in found["overrides"]] == [
        ("KEYSTEAD_API_KEY", True),
        ("PW_API_KEY", False),
    ]
    assert (found["signed_in"], found["source"]) == (True, "environment")
    plain = signed_in.run("auth", "status", **variables)
    assert "KEYSTEAD_API_KEY is set, and comes before every stored sign-in that is not asked for" in plain.out
    assert "secret" not in told.out + plain.out + plain.err


def test_a_sign_in_that_has_run_out_is_exit_code_3(signed_in: Machine) -> None:
    age(signed_in)
    content = signed_in.stored()
    for context in content["contexts"].values():
        context["refresh_token_expires_at"] = int(time.time()) - 1
    signed_in.store(content)
    told = signed_in.run("auth", "status")
    assert told.code == 3
    assert "This sign-in has ended." in told.err


def test_a_token_is_printed_alone_and_with_its_lifetime_for_programs(signed_in: Machine) -> None:
    kept = signed_in.the_context()
    plain = signed_in.run("auth", "token", "--print")
    in_json = signed_in.run("auth", "token", "--print", "-o", "json")
    named = signed_in.run("auth", "token", "--print", "--output", "json", "--context", kept["username"] + "@nowhere")
    assert (plain.code, plain.out) == (0, kept["access_token"] + "\n")
    assert in_json.json().keys() == {"access_token", "token_type", "expires_in"}
    assert in_json.json()["token_type"] == "bearer"
    assert 0 < in_json.json()["expires_in"] <= 600
    assert named.code == 3
    assert signed_in.run("auth", "token").code == 2


def test_a_token_at_hand_is_printed_without_loading_anything(signed_in: Machine) -> None:
    heavy = "click", "httpx2", "rich", "keyring", "dataclasses", "keystead.cli.commands"
    code = (
        "import sys; sys.argv = ['keystead', 'auth', 'token', '--print', '-o', 'json']\n"
        "from keystead.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        f"sys.stderr.write(' '.join(name for name in {heavy!r} if name in sys.modules))"
    )
    with signed_in.terminal("-c", code, program=sys.executable) as terminal:
        assert terminal.end() == 0
    assert json.loads(terminal.text)["access_token"] == signed_in.the_context()["access_token"]


def test_a_token_that_is_due_is_renewed_before_it_is_printed(signed_in_alone: Machine) -> None:
    old = signed_in_alone.the_context()["access_token"]
    age(signed_in_alone)
    found = signed_in_alone.run("auth", "token", "--print", "-o", "json")
    assert found.code == 0
    assert found.json()["access_token"] == signed_in_alone.the_context()["access_token"] != old
    assert found.json()["expires_in"] > 500


def test_a_token_that_ends_within_the_next_minute_is_never_printed(signed_in_alone: Machine) -> None:
    tokens = [signed_in_alone.the_context()["access_token"]]
    for words in (("--print",), ("--print", "--server", signed_in_alone.url)) * 3:
        age(signed_in_alone, left=74)
        tokens.append(signed_in_alone.run("auth", "token", *words).out.strip())
        assert tokens[-1] == signed_in_alone.the_context()["access_token"]
    assert len(set(tokens)) == 7


@pytest.mark.parametrize(
    "claims", ['{"exp":1e999}', '{"exp":NaN}', '{"exp":"soon"}', "[" * 50_000], ids=lambda one: one[:12]
)
def test_a_token_that_says_nonsense_of_its_end_is_printed_without_a_lifetime(machine: Machine, claims: str) -> None:
    nonsense = f"e30.{base64.urlsafe_b64encode(claims.encode()).decode()}.x"
    found = machine.run("auth", "token", "--print", "--json", KEYSTEAD_TOKEN=nonsense, KEYSTEAD_URL=CLOSED)
    assert (found.code, found.err) == (0, "")
    assert found.json() == {"access_token": nonsense, "token_type": "bearer"}


def test_without_a_network_a_token_that_has_run_out_is_exit_code_5_and_the_sign_in_stays(signed_in: Machine) -> None:
    age(signed_in)
    content = signed_in.stored()
    for context in content["contexts"].values():
        context["server"] = CLOSED
    signed_in.store(content)
    refused = signed_in.run("auth", "token", "--print", "-o", "json")
    assert (refused.code, refused.out) == (5, "")
    assert len(signed_in.stored()["contexts"]) == 1


def test_an_api_key_of_the_environment_is_a_token_too_and_never_stands_in_for_a_context_that_was_named(
    machine: Machine, shared_server: KeysteadServer, acme: Acme
) -> None:
    key = shared_server.admin("create-key", "--user", "ada", "--title", "for a program")
    found = machine.run("auth", "token", "--print", KEYSTEAD_API_KEY=key)
    assert (found.code, found.out) == (0, key + "\n")
    assert machine.run("whoami", "--json", KEYSTEAD_API_KEY=key).json()["username"] == "ada"
    refused = machine.run("whoami", "--context", "work", KEYSTEAD_API_KEY=key)
    assert refused.code == 3
    assert key not in refused.err


def test_a_context_that_is_named_comes_before_what_is_in_the_environment(signed_in: Machine) -> None:
    name = signed_in.stored()["current"]
    token, variables = signed_in.the_context()["access_token"], {"KEYSTEAD_TOKEN": "somebody.elses.token"}
    found = signed_in.run("auth", "token", "--print", "--context", name, **variables)
    told = signed_in.run("auth", "status", "--json", "--context", name, **variables).json()
    assert (found.code, found.out) == (0, token + "\n")
    assert signed_in.run("whoami", "--context", name, **variables).code == 0
    assert told["source"] == "store"
    assert [(one["variable"], one["used"]) for one in told["overrides"]] == [("KEYSTEAD_TOKEN", False)]
