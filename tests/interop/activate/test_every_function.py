"""Each function of the ACTIVATE SDK, in what all of them can meet: 401, 429 and 503; and the list of them, whole.

What each of them answers besides is in the test that docs/compatibility.md names.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from keystead.kernel.secrets import STEP_PREFIX, new_opaque
from tests.gate.serving import new_key
from tests.gate.test_cannot_know import without
from tests.interop.activate import sdk
from tests.interop.activate.calls import CALLS, MORE, Call, function, functions
from tests.interop.activate.sdk import Sdk
from tests.support.server import ADA, KeysteadServer, add_acme

ROOT_OF_PROJECT: Final = Path(__file__).parents[3]
COMPATIBILITY: Final = ROOT_OF_PROJECT / "docs" / "compatibility.md"
GUARDED: Final = sorted(name for name, call in CALLS.items() if not call.public)
LIMITED: Final = sorted(name for name, call in CALLS.items() if call.limited)
MOST_TRIES: Final = 8
"""Requests after which one is refused, where the limits are at one in a minute: an address has three times as many."""
WITH_AN_EMPTY_FORM: Final = frozenset(
    f"authentication.post_oidc_{name}" for name in ("token", "revoke", "device_authorization")
)
"""The SDK sends these without any parameter, so they are refused before the database is asked."""
STORED: Final = sorted(name for name, call in CALLS.items() if call.stored and name not in WITH_AN_EMPTY_FORM)
AWAY: Final = {
    "authentication.get_keys": "revocation",
    "authentication.post_mfa_login": "sign_in_step",
    "authentication.post_webauthn_auth_options": "sign_in_step",
}
"""The table without which a public call cannot be answered, where that is not the one of users."""


def call(name: str, client: Sdk) -> int:
    """Call a function and return the status, after the hook has held the answer against both parsers."""
    wanted: Call = CALLS[name]
    response = function(name).sync_detailed(*wanted.arguments, client=client, **wanted.options)
    return int(response.status_code)


def with_new_key(server: KeysteadServer) -> Sdk:
    """Return the SDK with a key of ada's that the server has not met."""
    _, key = new_key(server.data, server.url, ADA.username)
    return sdk.with_key(server.url, key)


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give a server that answers each credential once a minute, and each address a few times."""
    limits = dict.fromkeys(
        (f"KEYSTEAD_LIMIT_{name}" for name in ("SIGN_IN", "DEVICE_CODE", "TOKEN", "API")), "1/minute"
    )
    with KeysteadServer(tmp_path_factory.mktemp("tight"), limits) as one:
        add_acme(one)
        yield one


def rows() -> dict[str, str]:
    """Return what docs/compatibility.md says of each function of the SDK: the text of its row."""
    text = COMPATIBILITY.read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^\| `([a-z_]+\.[a-z_]+)` \|.*$", text, re.MULTILINE)}


def test_every_function_of_the_package_is_answered_or_named_with_the_reason_why_not() -> None:
    described = rows()
    wanted = {*functions(), *MORE}
    assert wanted == set(described)
    for name in sorted(wanted):
        row = described[name]
        if name in CALLS:
            files = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
            assert files, f"{name}: the row names no test"
            for file, test in files:
                text = (ROOT_OF_PROJECT / file).read_text(encoding="utf-8")
                assert f"def {test}(" in text, f"{name}: {file} has no {test}"
        else:
            reason = row.rstrip(" |").rpartition("|")[2].strip()
            assert len(reason) > 10, f"{name}: the row gives no reason"


@pytest.mark.parametrize("name", GUARDED)
def test_a_credential_that_is_none_is_told_so_in_both_shapes(name: str, server: KeysteadServer, nobody: Sdk) -> None:
    broken = sdk.with_token(server.url, "not a token")
    with sdk.closing(broken):
        assert (call(name, nobody), call(name, broken)) == (401, 401)


@pytest.mark.parametrize("name", LIMITED)
def test_too_many_requests_are_told_so_in_both_shapes(name: str, tight: KeysteadServer) -> None:
    client = sdk.anonymous(tight.url) if CALLS[name].public else with_new_key(tight)
    with sdk.closing(client):
        found = {call(name, client) for _ in range(MOST_TRIES)}
    assert 429 in found


@pytest.mark.parametrize("name", STORED)
def test_a_database_that_is_away_is_told_so_in_both_shapes(name: str, server: KeysteadServer) -> None:
    public = CALLS[name].public
    table = AWAY.get(name, "user") if public else "api_key"
    step = {"Cookie": f"cloud.mfa={new_opaque(STEP_PREFIX).reveal()}"}
    client = sdk.anonymous(server.url).with_headers(step) if public else with_new_key(server)
    with sdk.closing(client), without(server, table):
        assert call(name, client) == 503
