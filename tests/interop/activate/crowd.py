"""More people than ada and bob, what they sign in, and keys that may do something."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from keystead.kernel.principal import Method, Principal
from keystead.kernel.scopes import ROLE_SCOPES, Role, parse_scopes
from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.gate.serving import in_process
from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.browser import Browser
from tests.support.device import DEVICE_GRANT, DeviceClient, OAuthError, Tokens
from tests.support.server import KeysteadServer, Person


@dataclass(frozen=True, slots=True)
class Signed:
    """A device that is signed in: the client that holds it, and its tokens."""

    client_id: str
    tokens: Tokens


def join(server: KeysteadServer, name: str, role: str = "member", organization: str = "acme") -> Person:
    """Make somebody."""
    one = Person(name, f"the {name} of a mountain village", f"{name}@example.com", role)

    async def work(services: Services) -> None:
        await services.accounts.create_user(
            username=one.username,
            email=one.email,
            organization=organization,
            role=Role(role),
            password=Secret(one.password),
        )

    in_process(server.data, server.url, work)
    return one


@contextmanager
def signed_in(server: KeysteadServer, *people: Person) -> Iterator[tuple[Sdk, ...]]:
    """Give the SDK with a session of each of these people."""
    clients = tuple(sdk.with_session(server.url, sdk.sign_in(server.url, one)) for one in people)
    with sdk.closing(*clients):
        yield clients


def device(server: KeysteadServer, person: Person, name: str = "stock-client", scope: str = "keys:read") -> Signed:
    """Sign a device in, and sign out of the browser in which that was approved."""
    with Browser(server.url) as browser, DeviceClient(server.url) as client:
        browser.sign_in(person.username, person.password)
        client.register(name)
        authorization = client.device_code(scope)
        browser.approve(authorization.verification_uri_complete)
        tokens = client.poll_until_decided(authorization)
        browser.sign_out()
        return Signed(client.client_id, tokens)


def pw_cli(server: KeysteadServer, person: Person, device_name: str, scope: str = "openid devices:read") -> Signed:
    """Sign a device in as the pw command line does, under a name, and sign out of the browser."""
    form = {"client_id": "pw-cli", "device_name": device_name, "scope": scope}
    with Browser(server.url) as browser, httpx.Client(base_url=server.url, trust_env=False) as http:
        codes = http.post("/api/oidc/device_authorization", data=form).raise_for_status().json()
        issued.note(codes["device_code"], codes["user_code"])
        browser.sign_in(person.username, person.password)
        browser.approve(codes["verification_uri_complete"])
        browser.sign_out()
        asked = {"grant_type": DEVICE_GRANT, "client_id": "pw-cli", "device_code": codes["device_code"]}
        body = http.post("/api/oidc/token", data=asked).raise_for_status().json()
    issued.note(body["access_token"], body["refresh_token"])
    return Signed("pw-cli", Tokens(body["access_token"], body["refresh_token"], body["expires_in"], body))


def refreshed(server: KeysteadServer, signed: Signed) -> str:
    """Return how a refresh is answered: "ok" or an error."""
    with DeviceClient(server.url, signed.client_id) as client:
        try:
            client.refresh(signed.tokens.refresh_token)
        except OAuthError as refused:
            return refused.error
        return "ok"


def key_with(server: KeysteadServer, username: str, scope: str) -> str:
    """Return an API key of somebody's that has these scopes."""

    async def work(services: Services) -> str:
        identity = await services.accounts.first_identity(username)
        maker = Principal(identity, Method.SESSION, ROLE_SCOPES[Role(identity.role)], "a session", None)
        owner = await services.accounts.first_identity("ada")
        leads = Principal(owner, Method.SESSION, ROLE_SCOPES[Role(owner.role)], "a session", None)
        app = await services.keys.create_app(leads, f"For {username} to {scope}"[:60])
        made = await services.keys.create_key(maker, app.id, "a key with scopes", scopes=parse_scopes(scope))
        return made.secret.reveal()

    key = in_process(server.data, server.url, work)
    issued.note(key)
    return key
