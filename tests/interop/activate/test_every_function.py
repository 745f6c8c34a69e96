"""Each function of the ACTIVATE SDK, in what all of them can meet: 401, 429 and 503; and the list of them, whole.

What each of them answers besides is in the test that docs/compatibility.md names.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.gate.test_cannot_know import without
from tests.interop.activate import sdk
from tests.interop.activate.calls import CALLS, MORE, Call, function, functions
from tests.interop.activate.conftest import ROOT
from tests.interop.activate.sdk import Sdk
from tests.support.server import ADA, KeysteadServer, add_acme

ROOT_OF_PROJECT: Final = Path(__file__).parents[3]
COMPATIBILITY: Final = ROOT_OF_PROJECT / "docs" / "compatibility.md"
GUARDED: Final = sorted(name for name, call in CALLS.items() if not call.public)
LIMITED: Final = sorted(name for name, call in CALLS.items() if call.limited)
STORED: Final = sorted(name for name, call in CALLS.items() if call.stored)
MOST_TRIES: Final = 8
"""Requests after which one is refused, where the limits are at one in a minute: an address has three times as many."""
WITH_AN_EMPTY_FORM: Final = re.compile(r"authentication\.post_oidc_(token|revoke|device_authorization)\Z")
"""The SDK sends these without any parameter, so they are refused before the database is asked."""
NO_ACCESS_TOKEN: Final = frozenset({"authentication.get_oidc_userinfo", "authentication.post_oidc_userinfo"})


def call(name: str, client: Sdk) -> int:
    """Call a function and return the status, after the hook has held the answer against both parsers."""
    wanted: Call = CALLS[name]
    response = function(name).sync_detailed(*wanted.arguments, client=client, **wanted.options)
    return int(response.status_code)


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
    key = tight.admin("create-key", "--user", ADA.username, "--title", "busy")
    client = sdk.anonymous(tight.url) if CALLS[name].public else sdk.with_key(tight.url, key)
    with sdk.closing(client):
        found = {call(name, client) for _ in range(MOST_TRIES)}
    assert 429 in found


@pytest.mark.parametrize("name", [name for name in STORED if WITH_AN_EMPTY_FORM.match(name) is None])
def test_a_database_that_is_away_is_told_so_in_both_shapes(name: str, server: KeysteadServer) -> None:
    if CALLS[name].public:
        client, table = sdk.anonymous(server.url), "signing_key" if name.endswith("get_keys") else "user"
    elif name in NO_ACCESS_TOKEN:
        client, table = sdk.with_key(server.url, server.admin("create-key", "--user", "ada", "--title", "x")), "api_key"
    else:
        client, table = sdk.with_session(server.url, sdk.sign_in(server.url, ROOT)), "session"
    with sdk.closing(client), without(server, table):
        assert call(name, client) == 503
