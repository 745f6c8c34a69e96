"""Who a credential is, in full and in a word, and the probes and keys that need none."""

from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from parallelworks_client.api.authentication import (
    get_auth_session,
    get_auth_session_deprecated,
    get_keys,
    get_whoami,
    get_whoami_organization,
)
from parallelworks_client.api.platform import get_health_check
from parallelworks_client.api.user_settings import ping_handler
from parallelworks_client.models.auth_session import AuthSession
from parallelworks_client.models.auth_session_allocation_system import AuthSessionAllocationSystem
from parallelworks_client.models.jwk import JWK
from parallelworks_client.models.jwks import Jwks
from parallelworks_client.types import Unset

from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support.server import ADA, BOB, KeysteadServer

KINDS = ("session", "key", "token")
REQUIRED: dict[str, type] = {
    **dict.fromkeys(("admin", "billing_admin", "organization_admin", "organization_owner", "partner"), bool),
    **dict.fromkeys(("email", "id", "name", "organization", "safe_username", "username"), str),
    **dict.fromkeys(("organization_roles", "previews", "sidebar_options"), list),
    "allocation_system": AuthSessionAllocationSystem,
}
"""The required members of an AuthSession as the SDK names them, and what it reads them as."""


@pytest.fixture(params=KINDS)
def someone(
    request: pytest.FixtureRequest, server: KeysteadServer, ada: Sdk, adas_key: str, adas_token: str
) -> Iterator[Sdk]:
    """Give the SDK with each kind of credential that ada has."""
    clients = {
        "session": ada,
        "key": sdk.with_key(server.url, adas_key),
        "token": sdk.with_token(server.url, adas_token),
    }
    with sdk.closing(*clients.values()):
        yield clients[request.param]


def test_an_auth_session_has_every_member_that_the_sdk_requires_in_the_kind_that_it_reads(someone: Sdk) -> None:
    told: AuthSession = sdk.good(get_auth_session, someone)
    assert {name: type(getattr(told, name)) for name in REQUIRED} == REQUIRED
    assert (told.username, told.safe_username, told.email, told.organization) == ("ada", "ada", ADA.email, "acme")
    assert isinstance(told.organization_display_name, str)
    assert (told.organization_owner, told.organization_admin, told.billing_admin) == (True, True, True)
    assert (told.admin, told.partner, told.previews, told.sidebar_options) == (False, False, [], [])
    assert told.organization_roles == ["org:owner", "org:admin", "org:users"]
    assert isinstance(told.password_updated_at, datetime)
    assert told.password_updated_at.utcoffset() is not None
    assert isinstance(told.impersonated_by, Unset)


def test_a_member_is_told_that_they_lead_nothing_and_an_operator_that_they_operate(bob: Sdk, root: Sdk) -> None:
    member, operator = sdk.good(get_auth_session, bob), sdk.good(get_auth_session, root)
    assert (member.organization_roles, member.organization_admin, member.organization_owner) == (
        ["org:member"],
        False,
        False,
    )
    assert (member.username, member.admin) == (BOB.username, False)
    assert (operator.admin, operator.organization) == (True, "operators")


def test_the_older_address_gives_the_same_answer_and_the_same_refusal(someone: Sdk, nobody: Sdk) -> None:
    assert sdk.good(get_auth_session_deprecated, someone) == sdk.good(get_auth_session, someone)
    older, newer = (sdk.bad(one, nobody, 401) for one in (get_auth_session_deprecated, get_auth_session))
    assert older == newer


def test_the_user_and_the_organization_are_told_in_a_word(someone: Sdk, bob: Sdk, root: Sdk) -> None:
    assert (sdk.good(get_whoami, someone), sdk.good(get_whoami_organization, someone)) == ("ada", "acme")
    assert (sdk.good(get_whoami, bob), sdk.good(get_whoami_organization, bob)) == ("bob", "acme")
    assert (sdk.good(get_whoami, root), sdk.good(get_whoami_organization, root)) == ("root", "operators")


def test_a_ping_with_a_good_credential_is_answered_with_nothing(someone: Sdk) -> None:
    answer = ping_handler.sync_detailed(client=someone)
    assert (answer.status_code, answer.content) == (HTTPStatus.NO_CONTENT, b"")


def test_whoever_is_nobody_is_told_so_in_each_of_these_places(nobody: Sdk) -> None:
    refused = [sdk.bad(one, nobody, 401) for one in (get_whoami, get_whoami_organization, ping_handler)]
    assert {one.code for one in refused} == {"unauthenticated"}


def test_the_server_says_that_it_is_well_to_everybody(nobody: Sdk) -> None:
    assert sdk.good(get_health_check, nobody) == "ok"


def test_every_published_key_of_the_platform_is_an_rsa_key_that_the_sdk_reads(nobody: Sdk) -> None:
    found: Jwks = sdk.good(get_keys, nobody)
    keys: Any = found.keys
    assert keys
    assert {type(key) for key in keys} == {JWK}
    assert {(key.kty, key.alg, key.use) for key in keys} == {("RSA", "RS256", "sig")}


def test_what_says_who_somebody_is_is_kept_nowhere(server: KeysteadServer, adas_key: str) -> None:
    paths = ("/api/auth/session", "/api/v2/auth/session", "/api/auth/whoami", "/api/auth/whoami/organization")
    with httpx.Client(base_url=server.url, auth=(adas_key, ""), trust_env=False) as http:
        kept = {http.get(path).headers["cache-control"] for path in (*paths, "/api/ping")}
    assert kept == {"no-store"}
