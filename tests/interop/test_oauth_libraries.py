"""Two OAuth libraries that know nothing of Keystead sign a device in, refresh and revoke, unchanged (RFC 8628)."""

import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from authlib.integrations.base_client import OAuthError as AuthlibError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import DeviceClient as OauthlibDevice
from oauthlib.oauth2 import OAuth2Error
from requests_oauthlib import OAuth2Session

from tests.support.browser import Browser
from tests.support.device import CLI_SCOPE, DEVICE_GRANT, DeviceClient
from tests.support.server import KeysteadServer

DEVICE_CODE: Final = "/getServiceKeys/device/code"
TOKEN: Final = "/getServiceKeys/token"
REVOKE: Final = "/getServiceKeys/token/revoke"
APPS: Final = "/account/service/v1/apps"


@pytest.fixture
def client_id(shared_server: KeysteadServer) -> str:
    with DeviceClient(shared_server.url) as stock:
        return stock.register("somebody's program")


@pytest.fixture(autouse=True)
def _on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both libraries use plain HTTP, which they refuse elsewhere as we do."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def until_approved(poll: Callable[[], Any], interval: float) -> Any:
    """Poll as the RFC says, until the answer is not that the person has not decided."""
    while True:
        try:
            return poll()
        except (AuthlibError, OAuth2Error) as error:
            if error.error != "authorization_pending":
                raise
        time.sleep(interval)


def test_authlib_signs_in_calls_the_account_api_refreshes_and_revokes(
    shared_server: KeysteadServer, ada: Browser, client_id: str
) -> None:
    url = shared_server.url
    with AuthlibSession(client_id, token_endpoint_auth_method="none", scope=CLI_SCOPE) as session:
        codes = session.request(
            "POST", url + DEVICE_CODE, withhold_token=True, data={"client_id": client_id, "scope": CLI_SCOPE}
        ).json()

        def poll() -> Any:
            return session.fetch_token(url + TOKEN, grant_type=DEVICE_GRANT, device_code=codes["device_code"])

        with pytest.raises(AuthlibError, match="authorization_pending"):
            poll()
        ada.approve(codes["verification_uri_complete"])
        first = until_approved(poll, codes["interval"])
        before = session.get(url + APPS)
        second = session.refresh_token(url + TOKEN, refresh_token=first["refresh_token"])
        after = session.get(url + APPS)
        revoked = session.revoke_token(url + REVOKE, token=second["refresh_token"])
        with pytest.raises(AuthlibError, match="invalid_grant"):
            session.refresh_token(url + TOKEN, refresh_token=second["refresh_token"])
    assert (first["token_type"], set(first["scope"].split())) == ("Bearer", set(CLI_SCOPE.split()))
    assert second["refresh_token"] != first["refresh_token"]
    assert [before.status_code, after.status_code, revoked.status_code] == [200, 200, 200]


def test_requests_oauthlib_signs_in_and_refreshes_by_itself_when_the_token_has_expired(
    shared_server: KeysteadServer, ada: Browser, client_id: str
) -> None:
    url, kept = shared_server.url, list[dict[str, Any]]()
    device = OauthlibDevice(client_id)
    with OAuth2Session(
        client=device,
        scope=CLI_SCOPE.split(),
        auto_refresh_url=url + TOKEN,
        auto_refresh_kwargs={"client_id": client_id},
        token_updater=kept.append,
    ) as session:
        form = {"client_id": client_id, "scope": CLI_SCOPE}
        codes = session.request("POST", url + DEVICE_CODE, data=form, withhold_token=True).json()

        def poll() -> Any:
            return session.fetch_token(
                url + TOKEN, device_code=codes["device_code"], include_client_id=True, client_id=client_id
            )

        with pytest.raises(OAuth2Error, match="authorization_pending"):
            poll()
        ada.approve(codes["verification_uri_complete"])
        first = until_approved(poll, codes["interval"])
        before = session.get(url + APPS)
        session.token = {**first, "expires_at": time.time() - 1}
        after = session.get(url + APPS)
    assert [before.status_code, after.status_code] == [200, 200]
    assert [token["refresh_token"] != first["refresh_token"] for token in kept] == [True]
