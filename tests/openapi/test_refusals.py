"""Every refusal that the documents name can be had, and every one that can be had is named (promise O9).

Exploring a document cannot take the server's database away or exhaust its limits, so this does, for each operation.
"""

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest

from keystead.kernel.secrets import STEP_PREFIX, new_opaque
from tests.openapi.callers import GOOD_PASSWORD
from tests.openapi.conftest import BOUNDLESS, Opened, open_acme
from tests.openapi.documents import NO_ID, Operation, fetch, operations
from tests.openapi.exceptions import LIFE, PLATFORM, POLICIES
from tests.support.server import ADA, KeysteadServer

REFUSALS: Final = {401, 403, 413, 429, 431, 503}
"""The statuses for which the documents are held to say neither too little nor too much."""
NOT_TO_BE_HAD: Final[dict[tuple[str, int], str]] = {
    ("GET /.well-known/jwks.json", 503): "a running server remembers its signing keys; one that has just started asks",
    ("GET /api/platform/keys", 503): "the same",
}

JSON_BODIES: Final[dict[str, Any]] = {
    "POST /service/v1/apps": {"app_name": "an app"},
    "POST /service/v1/apps/{app_id}/keys": {"api_key_name": "a key"},
    "PATCH /service/v1/apps/{app_id}/keys/{api_key_id}": {"api_key_name": "another title"},
    "POST /service/v1/apps/{app_id}/keys/{api_key_id}/rotate": {"overlap_seconds": 60},
    "POST /service/v1/balance/add": {"amount_cents": 100, "idempotency_key": "one payment"},
    "POST /getServiceKeys/register": {"client_name": "acme-cli"},
    "POST /api/sso/password/login": {"username": ADA.username, "password": "a wrong password"},
    "POST /api/oidc/device/lookup": {"userCode": "BCDF-GHJK"},
    "POST /api/oidc/device/decision": {"userCode": "BCDF-GHJK", "approve": False},
    "POST /api/apikeys": {"title": "a key", "duration": "30"},
    "POST /api/sso/mfa/otp/verify": {"code": "123456"},
    "POST /api/sso/mfa/webauthn/verify": {"response": {"id": "x", "response": {}}, "name": "a passkey"},
    "DELETE /api/sso/mfa": {"removeAll": True},
    "POST /api/sso/mfa/login": {"mfaMethod": "otp", "values": {"code": "123456"}},
    "PATCH /api/sso/password": {"oldPassword": "a wrong password", "newPassword": GOOD_PASSWORD},
    "POST /api/sso/password/reset": {"username": "nobody"},
    "POST /api/sso/password/reset/verify": {"token": f"{NO_ID}.9999999999.{'A' * 43}", "newPassword": GOOD_PASSWORD},
    "PUT /api/organizations/{organization}/users/{user}/password": {
        "newPassword": GOOD_PASSWORD, "confirmPassword": GOOD_PASSWORD,
    },
    "POST /api/sso/impersonate": {"username": "nobody", "reason": "to see what nobody sees"},
    **{f"POST {place}/{{name}}": True for place in (POLICIES, PLATFORM)},
    **{f"POST {place}/{LIFE}": 30 for place in (POLICIES, PLATFORM)},
}  # fmt: skip
STEPS: Final = {"POST /api/sso/mfa/login", "POST /api/sso/mfa/webauthn/authenticate"}
"""What goes on with a sign-in, by the cookie of its step; a step that was never given is looked for all the same."""
FORMS: Final[dict[str, dict[str, str]]] = {
    "POST /getServiceKeys/device/code": {"client_id": "parallel-cli"},
    "POST /getServiceKeys/token": {"grant_type": "refresh_token"},
    "POST /getServiceKeys/token/revoke": {},
    "POST /api/oidc/device_authorization": {"client_id": "parallel-cli"},
    "POST /api/oidc/token": {"grant_type": "refresh_token"},
    "POST /api/oidc/revoke": {},
    "POST /api/oidc/introspect": {},
}
PLAIN_HTTP: Final = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.7"}
"""What a proxy that is listed says of a request that came to it over plain HTTP, from somewhere else."""

pytestmark = pytest.mark.timeout(300)


@dataclass(slots=True)
class Desk:
    """A server, what ada calls it with, and what it answered, by operation.

    ``session`` is what she calls with what a session alone may do; without one she signs in for each of them, because
    some of them end the session.
    """

    opened: Opened
    access_token: str
    refresh_token: str
    session: str = ""
    answered: dict[str, set[int]] = field(default_factory=dict)
    undocumented: list[str] = field(default_factory=list)

    def ask(
        self,
        operation: Operation,
        credential: dict[str, str],
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        **form: str,
    ) -> int:
        """Send a request that fits but for the given ``headers``, ``content`` or ``form``; return the status."""
        body, media = self._body(operation.label, form)
        response = operation.ask(
            self.opened.http, {**media, **credential, **(headers or {})}, body if content is None else content
        )
        if mismatch := operation.undocumented(response):
            self.undocumented.append(f"{operation.label}: {mismatch}")
        self.answered.setdefault(operation.label, set()).add(response.status_code)
        return response.status_code

    def _body(self, label: str, form: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        if label in JSON_BODIES:
            sent = httpx.Request("POST", "http://x", json=JSON_BODIES[label])
            return sent.content, {"Content-Type": "application/json"}
        if label in FORMS:
            own = {} if "device" in label else {"refresh_token": self.refresh_token, "token": self.refresh_token}
            values = {**FORMS[label], **own, **form}
            return urlencode(values).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        return b"", {}

    def credential(self, operation: Operation) -> dict[str, str]:
        """Return what ada calls an operation with: a step, a session, a device's token, or a short-term token."""
        if operation.label in STEPS:
            return {"Cookie": f"cloud.mfa={new_opaque(STEP_PREFIX).reveal()}"}
        schemes = {name for one in operation.definition.get("security", ()) for name in one}
        if schemes == {"cookie"}:
            return {"Cookie": f"cloud.sso={self.session or self.opened.session()}"}
        if schemes == {"bearer"} and "userinfo" in operation.label:
            return {"Authorization": f"Bearer {self.access_token}"}
        return {"Authorization": f"Bearer {self.opened.token}"}

    def provoke(self, operation: Operation) -> None:
        """Send what a server refuses that is well."""
        own = self.credential(operation)
        self.ask(operation, {})
        self.ask(operation, {"Authorization": f"Bearer {self.opened.token}", "Cookie": "cloud.sso=another"})
        self.ask(operation, {"Authorization": "Bearer of bad news"})
        self.ask(operation, own, headers=PLAIN_HTTP)
        self.ask(operation, own, headers={f"X-Filler-{n}": "x" * 8_000 for n in range(5)})
        self.ask(operation, own, content=b"x" * 70_000)
        self.ask(operation, own, headers={"Content-Type": "application/json"}, content=b'{"a": 1, "a": 2}')
        self.ask(operation, own, client_id="nobody")

    def exhaust(self, operation: Operation) -> None:
        """Send one more than any limit lets through: who asks without a step has three tries for one sign-in."""
        own = self.credential(operation)
        self.opened.http.get("/api/auth/session", headers=own)
        for _ in range(4):
            self.ask(operation, own)

    def lose_the_database(self) -> None:
        """Overwrite every file of the database, as a failing disk might."""
        for file in self.opened.server.data.glob("*.db*"):
            with file.open("r+b") as opened:
                opened.write(b"\xff" * file.stat().st_size)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operation]:
    with KeysteadServer(tmp_path_factory.mktemp("documented")) as server, httpx.Client(base_url=server.url) as http:
        return {operation.label: operation for operation in operations(fetch(http))}


@pytest.fixture(scope="module")
def desk(documented: dict[str, Operation], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Refuse everything in every way: a server that is well, one with narrow limits, and one without its database."""
    proxies = {"KEYSTEAD_TRUSTED_PROXIES": "127.0.0.0/8"}
    with open_acme(tmp_path_factory.mktemp("well"), BOUNDLESS | proxies) as opened:
        tokens = opened.device()
        found = Desk(opened, tokens.access_token, tokens.refresh_token)
        for operation in documented.values():
            found.provoke(operation)
        ready = {operation.label: found.credential(operation) for operation in documented.values()}
        found.lose_the_database()
        for operation in documented.values():
            found.ask(operation, ready[operation.label])
    narrow = {name: "1/minute" for name in BOUNDLESS if "LIMIT" in name}
    with open_acme(tmp_path_factory.mktemp("narrow"), narrow | {"KEYSTEAD_CREDIT_LIMIT_CENTS": "0"}) as opened:
        crowded = Desk(opened, opened.token, "", opened.session(), found.answered, found.undocumented)
        for operation in documented.values():
            crowded.exhaust(operation)
    return found


def test_no_refusal_is_undocumented(desk: Desk) -> None:
    assert not desk.undocumented, "\n\n".join(desk.undocumented)


@pytest.mark.sqlite
def test_every_refusal_that_is_documented_can_be_had(desk: Desk, documented: dict[str, Operation]) -> None:
    idle = [
        f"{operation.label} never answered {status}, which its document names"
        for operation in documented.values()
        for status in sorted((operation.statuses & REFUSALS) - desk.answered[operation.label])
        if (operation.label, status) not in NOT_TO_BE_HAD
    ]
    assert not idle, "\n".join(idle)


def test_what_needs_a_credential_says_so_and_nothing_else_does(
    documented: dict[str, Operation], opened: Opened
) -> None:
    refused = {
        label for label, operation in documented.items() if operation.ask(opened.http, {}, b"").status_code == 401
    }
    assert refused == {label for label, operation in documented.items() if operation.needs_a_credential}
