"""Signing out: on the server first, and the truth about what could not be taken back (promise V6)."""

import pytest

from tests.cli.machine import CLOSED, Machine
from tests.support.browser import Browser
from tests.support.device import DeviceClient, OAuthError


def cut_off(machine: Machine) -> None:
    """Let the server of the stored sign-in be one that nobody can reach."""
    content = machine.stored()
    for context in content["contexts"].values():
        context["server"] = CLOSED
    machine.store(content)


def test_a_sign_out_ends_the_sign_in_on_the_server_and_then_here(machine: Machine, ada: Browser) -> None:
    machine.sign_in(ada)
    before = machine.the_context()
    ended = machine.run("logout")
    assert (ended.code, ended.out) == (0, "")
    assert f"Signed out of {machine.url} as ada." in ended.err
    assert machine.stored()["contexts"] == {}
    with DeviceClient(machine.url, before["client_id"]) as client, pytest.raises(OAuthError) as refused:
        client.refresh(before["refresh_token"])
    assert refused.value.error == "invalid_grant"
    assert machine.run("whoami").code == 3


def test_without_a_network_nothing_is_deleted_and_one_is_told_what_stays_valid_until_when(signed_in: Machine) -> None:
    cut_off(signed_in)
    plain, in_json = signed_in.run("logout"), signed_in.run("logout", "--json")
    assert (plain.code, plain.out, in_json.code) == (5, "", 5)
    assert f"{CLOSED} cannot be reached" in plain.err
    assert "What stays valid: the refresh token until 20" in plain.err
    assert "the access token until 20" in plain.err
    assert "keystead logout --local" in plain.err
    assert in_json.error["hint"]
    assert len(signed_in.stored()["contexts"]) == 1


@pytest.mark.parametrize("option", ["--force", "--local"])
def test_it_can_be_deleted_here_all_the_same_and_the_truth_is_told(signed_in: Machine, option: str) -> None:
    cut_off(signed_in)
    expires = signed_in.the_context()["access_token_expires_at"]
    ended = signed_in.run("logout", option, "--json")
    (told,) = ended.json()["signed_out"]
    assert ended.code == 0
    assert told["revoked"] is False
    assert told["access_token_until"] == expires
    assert told["refresh_token_until"] > expires
    assert signed_in.stored()["contexts"] == {}


def test_every_context_can_be_signed_out_at_once(machine: Machine, ada: Browser) -> None:
    machine.sign_in(ada, "--context", "one")
    machine.sign_in(ada, "--context", "two")
    ended = machine.run("logout", "--all", "--json")
    assert [(one["name"], one["revoked"]) for one in ended.json()["signed_out"]] == [("one", True), ("two", True)]
    assert machine.stored()["contexts"] == {}
    assert machine.run("logout", "--all", "--context", "one").code == 2


def test_where_nobody_is_signed_in_a_sign_out_has_nothing_to_do(machine: Machine) -> None:
    plain, in_json, unknown = (
        machine.run("logout"),
        machine.run("logout", "--json"),
        machine.run("logout", "--context=x"),
    )
    assert (plain.code, plain.out, plain.err) == (0, "", "Nobody is signed in here.\n")
    assert in_json.json() == {"signed_out": []}
    assert unknown.code == 3
