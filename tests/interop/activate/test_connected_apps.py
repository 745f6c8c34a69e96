"""The applications that somebody let in, with their devices, and letting them in no more (promises R7 and V1)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from parallelworks_client.api.authentication import list_oidc_connected_apps as listing
from parallelworks_client.api.authentication import revoke_oidc_connected_app as disconnecting
from parallelworks_client.api.authentication import sign_out_oidc_connected_device as signing_out
from parallelworks_client.models.connected_app import ConnectedApp
from parallelworks_client.models.connected_device import ConnectedDevice
from parallelworks_client.types import UNSET

from keystead.kernel.ids import new_id
from keystead.kernel.principal import Method, Principal
from keystead.kernel.scopes import ALL_SCOPES
from keystead.services import Services
from tests.gate.serving import in_process
from tests.interop.activate import sdk
from tests.interop.activate.crowd import device, join, key_with, pw_cli, refreshed, signed_in
from tests.interop.activate.sdk import Sdk
from tests.support.server import KeysteadServer


@pytest.fixture
def bearers(server: KeysteadServer) -> Iterator[list[Sdk]]:
    """Give a list for clients that are closed afterwards."""
    made: list[Sdk] = []
    yield made
    with sdk.closing(*made):
        pass


def apps_of(client: Sdk) -> list[ConnectedApp]:
    found = sdk.good(listing, client).apps
    assert {type(one) for one in found} <= {ConnectedApp}
    return list(found)


def devices_of(app: ConnectedApp) -> list[ConnectedDevice]:
    found: Any = app.devices
    assert {type(one) for one in found} == {ConnectedDevice}
    return list(found)


def switch_off(server: KeysteadServer, client_id: str) -> None:
    async def work(services: Services) -> None:
        root = await services.accounts.first_identity("root")
        operator = Principal(root, Method.SESSION, ALL_SCOPES, "a session", None)
        await services.oauth.clients.switch_off(client_id, operator, "192.0.2.1")

    in_process(server.data, server.url, work)


def test_whoever_let_nothing_in_has_an_empty_list(server: KeysteadServer) -> None:
    with signed_in(server, join(server, "una")) as (una,):
        assert apps_of(una) == []


def test_devices_are_told_under_their_application_the_oldest_first(server: KeysteadServer) -> None:
    vic = join(server, "vic")
    first = device(server, vic, "lathe", "keys:read apps:read")
    other = device(server, vic, "mill", "balance:read")
    second = device(server, vic, "lathe", "keys:read keys:create")
    with signed_in(server, vic) as (client,):
        lathe, mill = apps_of(client)
    assert first.client_id == second.client_id
    assert (lathe.client_id, lathe.name, mill.client_id, mill.name) == (
        first.client_id,
        "lathe",
        other.client_id,
        "mill",
    )
    assert (set(lathe.scopes), mill.scopes) == ({"keys:read", "apps:read", "keys:create"}, ["balance:read"])
    assert (lathe.sign_in_disabled, mill.sign_in_disabled) == (UNSET, UNSET)
    older, newer = devices_of(lathe)
    assert older.signed_in_at <= newer.signed_in_at
    assert (lathe.granted_at, lathe.last_used_at) == (
        older.signed_in_at,
        max(older.last_used_at, newer.last_used_at),
    )
    for one in (older, newer, *devices_of(mill)):
        assert (one.current, one.ip_address, one.device_name) == (False, "127.0.0.1", "Linux x86_64")
        assert isinstance(one.expires_at, datetime)
        assert one.signed_in_at <= one.last_used_at < one.expires_at


def test_the_device_that_asks_is_marked(server: KeysteadServer, bearers: list[Sdk]) -> None:
    wes = join(server, "wes")
    scope = "devices:read devices:delete"
    held = [device(server, wes, scope=scope) for _ in range(2)]
    bearers += [sdk.with_token(server.url, one.tokens.access_token) for one in held]
    marked = [[one.current for one in devices_of(apps_of(client)[0])] for client in bearers]
    assert marked == [[True, False], [False, True]]


def test_a_device_that_told_its_name_is_called_by_it_and_its_token_ends_with_it_at_once(
    server: KeysteadServer, bearers: list[Sdk]
) -> None:
    kim = join(server, "kim")
    held = [pw_cli(server, kim, name) for name in ("kim's laptop", "kim's desk")]
    bearers += [sdk.with_token(server.url, one.tokens.access_token) for one in held]
    (app,) = apps_of(bearers[1])
    assert (app.client_id, app.name) == ("pw-cli", "pw CLI")
    laptop, desk = devices_of(app)
    assert [(one.device_name, one.current) for one in (laptop, desk)] == [
        ("kim's laptop", False),
        ("kim's desk", True),
    ]
    with signed_in(server, kim) as (client,):
        sdk.good(signing_out, client, "pw-cli", laptop.id)
        assert sdk.bad(listing, bearers[0], 401).code == "unauthenticated"
        assert [one.id for one in devices_of(apps_of(bearers[1])[0])] == [desk.id]
        sdk.good(disconnecting, client, "pw-cli")
        assert sdk.bad(listing, bearers[1], 401).code == "unauthenticated"
        assert apps_of(client) == []


def test_an_application_that_an_operator_switched_off_says_so_and_its_devices_stay(server: KeysteadServer) -> None:
    xia = join(server, "xia")
    held = device(server, xia, "press")
    switch_off(server, held.client_id)
    with signed_in(server, xia) as (client,):
        (found,) = apps_of(client)
    assert found.sign_in_disabled is True
    assert refreshed(server, held) == "ok"


def test_disconnecting_an_application_signs_all_its_devices_out_and_no_other(server: KeysteadServer) -> None:
    yan = join(server, "yan")
    doomed, other = [device(server, yan, "lathe") for _ in range(2)], device(server, yan, "mill")
    with signed_in(server, yan) as (client,):
        sdk.good(disconnecting, client, doomed[0].client_id)
        assert [one.name for one in apps_of(client)] == ["mill"]
        assert sdk.bad(disconnecting, client, 404, doomed[0].client_id).code == "not_found"
    assert [refreshed(server, one) for one in (*doomed, other)] == ["invalid_grant", "invalid_grant", "ok"]


def test_signing_one_device_out_leaves_the_others(server: KeysteadServer) -> None:
    zoe = join(server, "zoe")
    doomed, other = device(server, zoe), device(server, zoe)
    with signed_in(server, zoe) as (client,):
        (app,) = apps_of(client)
        first, second = devices_of(app)
        sdk.good(signing_out, client, app.client_id, first.id)
        assert [one.id for one in devices_of(apps_of(client)[0])] == [second.id]
        assert sdk.bad(signing_out, client, 404, app.client_id, first.id).code == "not_found"
    assert (refreshed(server, doomed), refreshed(server, other)) == ("invalid_grant", "ok")


def test_a_device_of_another_application_or_person_is_404_and_stays(server: KeysteadServer) -> None:
    one, another = join(server, "abe"), join(server, "abi")
    lathe, mill, strange = device(server, one, "lathe"), device(server, one, "mill"), device(server, another, "lathe")
    with signed_in(server, one, another) as (client, other):
        (of_lathe,) = devices_of(apps_of(client)[0])
        (of_another,) = devices_of(apps_of(other)[0])
        wrong = [(mill.client_id, of_lathe.id), (lathe.client_id, of_another.id), (lathe.client_id, new_id())]
        wrong += [(name, of_lathe.id) for name in ("no-client", "a\x00b", "é", "k" * 700, lathe.client_id[:-1])]
        wrong += [(lathe.client_id, name) for name in ("x", "a\x00b", of_lathe.id.upper())]
        for client_id, device_id in wrong:
            assert sdk.bad(signing_out, client, 404, client_id, device_id).code == "not_found"
        for name in ("no-client", "a\x00b", "é", "k" * 700, "a/b", new_id()):
            assert sdk.bad(disconnecting, client, 404, name).code == "not_found"
    assert [refreshed(server, held) for held in (lathe, mill, strange)] == ["ok", "ok", "ok"]


def test_a_client_id_as_long_as_there_are_goes_through_an_address(server: KeysteadServer) -> None:
    cat = join(server, "cat")
    held = device(server, cat, "é" * 51)
    assert len(held.client_id) > 150
    with signed_in(server, cat) as (client,):
        sdk.good(disconnecting, client, held.client_id)
    assert refreshed(server, held) == "invalid_grant"


def test_a_key_sees_and_ends_only_what_its_scopes_let_it(
    server: KeysteadServer, bearers: list[Sdk], nobody: Sdk
) -> None:
    dot = join(server, "dot")
    held = device(server, dot)
    scopes = ("devices:read", "devices:delete", "keys:read")
    bearers += [sdk.with_key(server.url, key_with(server, "dot", scope)) for scope in scopes]
    seeing, ending, neither = bearers
    (app,) = apps_of(seeing)
    (its,) = devices_of(app)
    for client in (ending, neither):
        assert sdk.bad(listing, client, 403).code == "insufficient_scope"
    for client in (seeing, neither):
        assert sdk.bad(disconnecting, client, 403, app.client_id).code == "insufficient_scope"
        assert sdk.bad(signing_out, client, 403, app.client_id, its.id).code == "insufficient_scope"
    assert sdk.bad(listing, nobody, 401).code == "unauthenticated"
    assert refreshed(server, held) == "ok"
    sdk.good(signing_out, ending, app.client_id, its.id)
    assert apps_of(seeing) == []


def test_a_page_of_another_site_disconnects_nothing(server: KeysteadServer) -> None:
    eli = join(server, "eli")
    held = device(server, eli)
    with signed_in(server, eli) as (client,):
        http = client.get_httpx_client()
        strange = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site"}
        address = f"/api/oidc/connected-apps/{held.client_id}"
        answers: list[httpx.Response] = [
            http.request("DELETE", path, headers=strange) for path in (address, f"{address}/devices/{new_id()}")
        ]
    assert [answer.json()["code"] for answer in answers] == ["cross_site", "cross_site"]
    assert refreshed(server, held) == "ok"
