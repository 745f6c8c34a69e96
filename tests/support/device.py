"""A stock client of the device authorization grant, written from RFC 8628 alone."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tests.support import issued

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
CLI_SCOPE: Final = "keys:read keys:create keys:delete apps:read apps:create apps:delete balance:read balance:add"
"""The scope that parallel-cli asks for."""

PLATFORM: Final = {"system": "Linux", "machine": "x86_64", "os_name": "posix"}
TIMEOUT_SECONDS: Final = 30.0


class OAuthError(Exception):
    """An answer with an ``error`` (RFC 6749, section 5.2)."""

    def __init__(self, response: httpx.Response) -> None:
        """Read the error out of ``response``. Its text is the whole answer, for the test's report."""
        self.response = response
        self.status = response.status_code
        self.error, self.description = error_of(response)
        super().__init__(f"{response.request.url} answered {response.status_code}: {response.text}")


def error_of(response: httpx.Response) -> tuple[str, str]:
    """Return ``error`` and ``error_description`` of an answer, empty when it has none."""
    try:
        body = response.json()
    except ValueError:
        return "", ""
    if not isinstance(body, dict):
        return "", ""
    return str(body.get("error", "")), str(body.get("error_description", ""))


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """The device authorization response (RFC 8628, section 3.2). Times are in seconds."""

    client_id: str
    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token response (RFC 6749, section 5.1). ``body`` is all of it."""

    access_token: str
    refresh_token: str
    expires_in: int
    body: Mapping[str, Any]


class DeviceClient:
    """One installation of a device client at one server."""

    def __init__(self, base_url: str, client_id: str = "") -> None:
        """Talk to ``base_url``. Without ``client_id``, ``register`` must come first."""
        self.base_url = base_url.rstrip("/")
        self.client_id = client_id
        self._http = httpx.Client(base_url=self.base_url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def register(self, client_name: str = "stock-client", platform: Mapping[str, str] | None = None) -> str:
        """Register, remember the client id and return it."""
        body = {"client_name": client_name, "platform": dict(platform or PLATFORM)}
        self.client_id = str(_read(self._http.post("/getServiceKeys/register", json=body))["client_id"])
        return self.client_id

    def device_code(self, scope: str = CLI_SCOPE, device_name: str = "") -> DeviceAuthorization:
        """Ask for a device code and a user code (RFC 8628, section 3.1), for a device that may have its own name."""
        form = {"client_id": self.client_id, "scope": scope, **({"device_name": device_name} if device_name else {})}
        body = _read(self._http.post("/getServiceKeys/device/code", data=form))
        issued.note(body["device_code"], body["user_code"])
        return DeviceAuthorization(
            client_id=self.client_id,
            device_code=body["device_code"],
            user_code=body["user_code"],
            verification_uri=body["verification_uri"],
            verification_uri_complete=body.get("verification_uri_complete", body["verification_uri"]),
            expires_in=body["expires_in"],
            interval=body.get("interval", 5),
        )

    def poll(self, authorization: DeviceAuthorization) -> httpx.Response:
        """Send one poll and return the answer, whatever it is."""
        form = {
            "grant_type": DEVICE_GRANT,
            "device_code": authorization.device_code,
            "client_id": authorization.client_id,
        }
        return self._http.post("/getServiceKeys/token", data=form)

    def poll_until_decided(self, authorization: DeviceAuthorization) -> Tokens:
        """Poll until there are tokens (RFC 8628, section 3.5). Raises OAuthError for a final refusal."""
        interval = authorization.interval
        deadline = time.monotonic() + authorization.expires_in
        while True:
            response = self.poll(authorization)
            if response.status_code == httpx.codes.OK:
                return _tokens(_read(response))
            problem = OAuthError(response)
            if problem.error == "slow_down":
                interval += 5
            elif problem.error != "authorization_pending" or time.monotonic() > deadline:
                raise problem
            time.sleep(interval)

    def refresh(self, refresh_token: str) -> Tokens:
        """Exchange a refresh token (RFC 6749, section 6). Raises OAuthError for a refusal."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self.client_id}
        return _tokens(_read(self._http.post("/getServiceKeys/token", data=form)))

    def revoke(self, refresh_token: str, field: str = "refresh_token") -> httpx.Response:
        """Revoke a refresh token under the given field name and return the answer."""
        return self._http.post("/getServiceKeys/token/revoke", data={field: refresh_token})

    def account(self, method: str, path: str, access_token: str, body: Any = None) -> httpx.Response:
        """Call the Account API: ``path`` begins after ``/account/service``."""
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        response = self._http.request(method, f"/account/service{path}", headers=headers, json=body)
        if response.is_success and '"raw_api_key"' in response.text:
            issued.note(response.json()["raw_api_key"])
        return response


def _read(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        raise OAuthError(response)
    body: dict[str, Any] = response.json()
    return body


def _tokens(body: Mapping[str, Any]) -> Tokens:
    issued.note(str(body["access_token"]), str(body["refresh_token"]))
    return Tokens(str(body["access_token"]), str(body["refresh_token"]), int(body["expires_in"]), body)
