"""``keystead admin policy``: policies are shown and set on the host, and let everybody in again (promise W7)."""

import httpx
import pytest

from tests.support.server import BOB, KeysteadServer, ServerError, add_acme

NONE = {
    "max-api-key-ttl": "unlimited",
    "enforce-mfa": "off",
    "disable-password-login": "off",
    "disable-device-login": "off",
}


def shown(server: KeysteadServer, *organization: str) -> dict[str, str]:
    """Return the table that the command prints."""
    return dict(line.split() for line in server.admin("policy", *organization).splitlines())


def signs_in(server: KeysteadServer) -> int:
    """Return the status with which bob's right password is answered."""
    body = {"username": BOB.username, "password": BOB.password}
    return httpx.post(f"{server.url}/api/sso/password/login", json=body, trust_env=False).status_code


def test_policies_are_set_one_at_a_time_for_the_platform_or_an_organization(server: KeysteadServer) -> None:
    add_acme(server)
    assert shown(server) == shown(server, "--org", "acme") == NONE
    assert server.admin("policy", "max-api-key-ttl", "90") == ""
    assert server.admin("policy", "--org", "acme", "enforce-mfa", "on") == ""
    assert shown(server) == {**NONE, "max-api-key-ttl": "90"}
    assert shown(server, "--org", "acme") == {**NONE, "enforce-mfa": "on"}
    assert server.admin("policy", "max-api-key-ttl") == "90"
    assert server.admin("policy", "max-api-key-ttl", "unlimited") == ""
    assert server.admin("policy", "--org", "acme", "enforce-mfa", "off") == ""
    assert shown(server) == shown(server, "--org", "acme") == NONE


def test_who_locked_everybody_out_is_let_in_again_on_the_host(server: KeysteadServer) -> None:
    add_acme(server)
    assert signs_in(server) == 204
    for where in ((), ("--org", "acme")):
        server.admin("policy", *where, "disable-password-login", "on")
        assert signs_in(server) == 403
    server.admin("policy", "disable-password-login", "off")
    assert signs_in(server) == 403
    server.admin("policy", "--org", "acme", "disable-password-login", "off")
    assert signs_in(server) == 204


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("max-api-key-ttl", "0"), 2, "whole number of days"),
        (("max-api-key-ttl", "-5"), 2, "No such option"),
        (("max-api-key-ttl", "on"), 2, "whole number of days"),
        (("max-api-key-ttl", "4000"), 1, "3650 whole days"),
        (("enforce-mfa", "1"), 2, "'on' or 'off'"),
        (("event-retention-days", "30"), 2, "is not one of"),
        (("--org", "no-such"), 1, "no organization called 'no-such'"),
        (("--org", "no-such", "enforce-mfa", "on"), 1, "no organization called 'no-such'"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    server: KeysteadServer, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    with pytest.raises(ServerError) as refused:
        server.admin("policy", *arguments)
    assert f"ended with code {code}" in str(refused.value)
    assert sentence in str(refused.value)
