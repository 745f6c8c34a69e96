"""The Account API as commands: what is printed where, what is asked, and what cannot be undone."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.machine import Machine
from tests.support import issued
from tests.support.server import KeysteadServer

DAY = 86_400


@pytest.fixture
def app(signed_in: Machine) -> str:
    """Give the name of an app of this test's own."""
    name = f"app-{signed_in.home.parent.name[-40:]}"
    assert signed_in.run("apps", "create", name).code == 0
    return name


def make(machine: Machine, app: str, title: str = "deploy", *options: str) -> str:
    """Make an API key and return its text."""
    made = machine.run("keys", "create", "--app", app, "--title", title, *options)
    assert made.code == 0, made
    issued.note(made.out.strip())
    return made.out.strip()


def listed(machine: Machine, app: str) -> list[dict[str, object]]:
    """Return the keys of an app."""
    found: list[dict[str, object]] = machine.run("keys", "list", "--app", app, "--json").json()["keys"]
    return found


def test_a_new_key_alone_is_on_standard_output_and_works(signed_in: Machine, app: str) -> None:
    made = signed_in.run("keys", "create", "--app", app, "--title", "deploy")
    key = made.out.strip()
    issued.note(key)
    assert re.fullmatch(r"pwt_[\w-]+\.\w+\n", made.out)
    assert "It is not shown again" in made.err
    assert key not in made.err
    assert signed_in.run("whoami", "--json", KEYSTEAD_API_KEY=key).json()["username"] == "ada"


@pytest.mark.parametrize(
    ("written", "seconds"), [("30d", 30 * DAY), ("12h", DAY / 2), ("90m", 5_400), ("2w", 14 * DAY)]
)
def test_an_expiry_is_a_length_of_time(signed_in: Machine, app: str, written: str, seconds: int) -> None:
    make(signed_in, app, "deploy", "--expires", written)
    (key,) = listed(signed_in, app)
    assert isinstance(key["expires_at"], int)
    assert abs(key["expires_at"] - time.time() - seconds) < 120


def test_an_expiry_is_a_date_in_the_zone_of_the_machine(signed_in: Machine, app: str) -> None:
    signed_in.environment["TZ"] = "Asia/Tokyo"
    day = datetime.now(UTC).date() + timedelta(days=300)
    make(signed_in, app, "deploy", "--expires", day.isoformat())
    (key,) = listed(signed_in, app)
    begins = datetime.fromisoformat(f"{day}T00:00:00+09:00").timestamp()
    assert isinstance(key["expires_at"], int)
    assert begins <= key["expires_at"] <= begins + 5  # a lifetime begins when the server reads it


@pytest.mark.parametrize("written", ["soon", "30", "-1d", "2020-01-01", "2051-02-30", "0d", ""])
def test_an_expiry_that_cannot_be_is_exit_code_2_with_the_forms_that_can(machine: Machine, written: str) -> None:
    refused = machine.run("keys", "create", "--app", "a", "--title", "t", "--expires", written)
    assert refused.code == 2
    assert "30d" in refused.err or "has passed already" in refused.err


def test_rotating_prints_the_successor_and_keeps_the_old_key_for_the_overlap(signed_in: Machine, app: str) -> None:
    old = make(signed_in, app)
    rotated = signed_in.run("keys", "rotate", "deploy", "--app", app, "--overlap", "24h")
    issued.note(rotated.out.strip())
    assert rotated.code == 0
    assert "works until" in rotated.err
    assert "(in 23 hours)" in rotated.err or "(in 1 day)" in rotated.err
    for key in (old, rotated.out.strip()):
        assert signed_in.run("whoami", KEYSTEAD_API_KEY=key).code == 0
    assert signed_in.run("keys", "rotate", "deploy", "--overlap", "31d").code == 2


def test_without_an_overlap_the_old_key_ends_at_once(signed_in: Machine, app: str) -> None:
    old = make(signed_in, app)
    rotated = signed_in.run("keys", "rotate", "deploy", "--app", app)
    issued.note(rotated.out.strip())
    assert "does not work any more" in rotated.err
    assert signed_in.run("whoami", KEYSTEAD_API_KEY=old).code == 3


def test_a_key_is_found_by_id_title_or_hint_and_nothing_is_guessed(signed_in: Machine, app: str) -> None:
    make(signed_in, app, "twice")
    make(signed_in, app, "twice")
    one, other = listed(signed_in, app)
    unclear = signed_in.run("keys", "delete", "twice", "--app", app, "--yes")
    assert unclear.code == 2
    assert str(one["id"]) in unclear.err
    assert str(other["id"]) in unclear.err
    assert signed_in.run("keys", "delete", str(one["hint"]).replace("…", "..."), "--app", app, "--yes").code == 0
    assert [key["id"] for key in listed(signed_in, app)] == [other["id"]]
    missing = signed_in.run("keys", "delete", str(one["id"]), "--app", app, "--yes", "--json")
    assert (missing.code, missing.error["code"]) == (4, "not_found")


def test_a_key_is_renamed(signed_in: Machine, app: str) -> None:
    make(signed_in, app)
    assert signed_in.run("keys", "rename", "deploy", "--app", app, "--title", "nightly").code == 0
    assert [key["title"] for key in listed(signed_in, app)] == ["nightly"]


@pytest.mark.parametrize("answer", ["y", "n", "\x03"])
def test_on_a_terminal_one_is_asked_with_the_name_before_a_thing_is_deleted(
    signed_in: Machine, app: str, answer: str
) -> None:
    make(signed_in, app)
    with signed_in.terminal("keys", "delete", "deploy", "--app", app) as terminal:
        terminal.expect(rf"Delete the API key 'deploy' \(\w+…\w+\) of the app {app}\? \[y/N\]:")
        if answer == "\x03":
            terminal.interrupt()
        else:
            terminal.type(answer)
        code = terminal.end()
    assert code == {"y": 0, "n": 1, "\x03": 130}[answer]
    assert len(listed(signed_in, app)) == (0 if answer == "y" else 1)


def test_without_a_terminal_nothing_is_deleted_unless_it_is_said(signed_in: Machine, app: str) -> None:
    make(signed_in, app)
    for refused in (
        signed_in.run("keys", "delete", "deploy", "--app", app, stdin="y\n"),
        signed_in.run("apps", "delete", app, stdin="y\n"),
        signed_in.run("tokens", "revoke", "x"),
    ):
        assert (refused.code, refused.out) == (2, "")
        assert "Add --yes if you mean it." in refused.err
    assert len(listed(signed_in, app)) == 1
    assert signed_in.run("apps", "delete", app, "--yes").code == 0
    assert app not in signed_in.run("apps", "list").out


def test_a_payment_with_the_same_key_is_made_once(signed_in: Machine) -> None:
    before = signed_in.run("balance", "get", "--json").json()["credit_cents"]
    key = f"invoice-{signed_in.home.parent.name[-40:]}-{time.time_ns()}"
    for _ in range(2):
        added = signed_in.run("balance", "add", "500", "--idempotency-key", key, "--json").json()
        assert added["idempotency_key"] == key
    assert signed_in.run("balance", "get", "--json").json()["credit_cents"] == before + 500
    other = signed_in.run("balance", "add", "501", "--idempotency-key", key, "--json")
    assert (other.code, other.error["code"]) == (4, "conflict")
    assert signed_in.run("balance", "add", "-5").code == 2
    assert signed_in.run("balance", "add", "1.5").code == 2


def test_a_short_term_token_alone_is_on_standard_output_works_and_can_be_taken_back(signed_in: Machine) -> None:
    made = signed_in.run("tokens", "create")
    token = made.out.strip()
    issued.note(token)
    assert made.out.count(".") == 2
    assert signed_in.run("whoami", KEYSTEAD_TOKEN=token).code == 0
    identity = made.err.strip().rpartition(" ")[2]
    assert signed_in.run("tokens", "revoke", identity, "--yes").code == 0
    assert signed_in.run("whoami", KEYSTEAD_TOKEN=token).code == 3


def test_any_request_is_sent_signed_in_and_its_body_is_printed_as_it_came(signed_in: Machine, app: str) -> None:
    got = signed_in.run("api", "get", "/account/service/v1/apps")
    assert got.code == 0
    assert app in [one["app_name"] for one in got.json()["apps"]]
    (signed_in.home / "app.json").write_text(json.dumps({"app_name": f"{app}-file"}), encoding="utf-8")
    for number, sent in enumerate(
        (["--field", f"app_name={app}-field"], ["-d", json.dumps({"app_name": f"{app}-text"})], ["--data", "@app.json"])
    ):
        made = signed_in.run("api", "POST", "/account/service/v1/apps", *sent)
        assert (made.code, number, list(made.json())) == (0, number, ["app_id"])
    piped = json.dumps({"app_name": f"{app}-piped"})
    assert signed_in.run("api", "POST", "/account/service/v1/apps", "-d", "-", stdin=piped).code == 0
    assert signed_in.run("apps", "list").out.count(app) == 5


def test_a_request_that_is_refused_prints_what_the_server_said_and_is_exit_code_4(signed_in: Machine) -> None:
    plain = signed_in.run("api", "GET", "/account/service/v1/nothing")
    in_json = signed_in.run("api", "GET", "/account/service/v1/nothing", "--json")
    assert (plain.code, in_json.code) == (4, 4)
    assert in_json.json()["status"] == 404
    assert plain.json() == in_json.json()["body"]
    assert "The server answered 404." in plain.err


def test_a_request_goes_to_its_own_server_and_to_no_other(signed_in: Machine) -> None:
    own = signed_in.run("api", "GET", f"{signed_in.url}/account/service/v1/apps")
    assert own.code == 0
    for address in ("https://auth.example.com/account/service/v1/apps", "//auth.example.com/x", "ftp://x/y"):
        refused = signed_in.run("api", "GET", address, "--json")
        assert refused.code in {2, 4}, refused
        assert refused.code == 2 or address.startswith("//")
    for wrong in (["--field", "x"], ["--field", "a=b", "-d", "x"], ["-d", "@missing"]):
        assert signed_in.run("api", "POST", "/x", *wrong).code == 2


def test_a_limit_is_told_with_when_to_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("limited")
    with KeysteadServer(place, {"KEYSTEAD_LIMIT_DEVICE_CODE": "1/minute"}) as server:
        machine = Machine(place / "home", server.url)
        assert machine.run("login", server.url, "--no-wait").code == 0
        refused = machine.run("login", server.url, "--no-wait", "--json")
    assert refused.code == 4
    assert refused.error["code"] in {"rate_limited", "slow_down"}
    assert "Try again in" in refused.error["hint"]
