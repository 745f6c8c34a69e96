"""People who are made for one test each, and how a program gives them second factors.

Python's cookie jars keep Secure cookies from http://127.0.0.1, so the cookie between two steps is passed by hand here;
over https the SDK's own jar sends it.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from http.cookies import Morsel, SimpleCookie
from typing import Any, Final

import pyotp
from parallelworks_client.api.authentication import (
    post_add_mfa_otp,
    post_add_mfa_webauthn,
    post_verify_otp,
    post_verify_webauthn,
)
from parallelworks_client.models.verify_otp_input_body import VerifyOtpInputBody
from parallelworks_client.models.web_authn_verify_input_body import WebAuthnVerifyInputBody
from sqlalchemy import bindparam, select, update

from keystead.audit.models import AuditEvent
from keystead.db import Command, Query
from keystead.db.tables import audit_event, session
from keystead.kernel.ids import new_id
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from keystead.sessions.models import SignedIn, Visit
from tests.factors.authenticator import Authenticator
from tests.gate.serving import in_process
from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.server import KeysteadServer

PASSWORD: Final = "seven small boats come home"
_EVENTS = Query(
    select(audit_event).where(audit_event.c.target == bindparam("target")).order_by(audit_event.c.at, audit_event.c.id),
    AuditEvent,
)
_AGE = Command(
    update(session)
    .where(session.c.user_id == bindparam("of_user"))
    .values(created_at=session.c.created_at - bindparam("seconds"))
)


@dataclass(frozen=True)
class Somebody:
    """A person who was made for one test, with a session of theirs."""

    id: str
    name: str
    cookie: str


@dataclass(frozen=True)
class House:
    """The server, and what this file does to it beside the SDK."""

    server: KeysteadServer
    stack: ExitStack

    def move_in(self, *, role: Role = Role.MEMBER, organizations: tuple[str, ...] = ("acme",), **more: Any) -> Somebody:
        """Add somebody to the organizations and begin a session of theirs in the first."""
        name = f"p{new_id().replace('-', '')[-12:]}"

        async def work(services: Services) -> Somebody:
            accounts = services.accounts
            user_id = await accounts.create_user(
                username=name,
                email=f"{name}@example.com",
                organization=organizations[0],
                role=role,
                password=Secret(PASSWORD),
                **more,
            )
            for other in organizations[1:]:
                joined = await accounts.organization_by_name(other)
                await accounts.add_membership(user_id, joined.id, Role.MEMBER)
            return Somebody(user_id, name, await _begin(services, user_id))

        made = in_process(self.server.data, self.server.url, work)
        issued.note(made.cookie)
        return made

    def begin(self, somebody: Somebody) -> str:
        """Begin another session with the password alone."""
        return in_process(self.server.data, self.server.url, lambda services: _begin(services, somebody.id))

    def sdk(self, somebody: Somebody, **cookies: str) -> Sdk:
        """Return the SDK in somebody's session, with more cookies."""
        more = "".join(f"; {name.replace('_', '.')}={value}" for name, value in cookies.items())
        one = sdk.with_session(self.server.url, somebody.cookie + more)
        self.stack.enter_context(sdk.closing(one))
        return one

    def age(self, somebody: Somebody, seconds: int) -> None:
        """Let somebody's sessions have begun earlier."""
        parameters = {"of_user": somebody.id, "seconds": seconds}
        in_process(self.server.data, self.server.url, lambda services: services.db.run(_AGE, parameters))

    def passwords_off(self, organization: str) -> None:
        """Let nobody sign in to an organization with a password any more."""

        async def work(services: Services) -> None:
            await services.organizations.set_policy_from_host(organization, "disable-password-login", 1)

        in_process(self.server.data, self.server.url, work)

    def events(self, somebody: Somebody) -> list[AuditEvent]:
        """Return what was recorded about somebody, the oldest first."""
        wanted = {"target": somebody.id}
        return in_process(self.server.data, self.server.url, lambda services: services.db.all(_EVENTS, wanted))

    def add_app(self, somebody: Somebody) -> str:
        """Give somebody an authenticator app, as a program does, and return its secret."""
        secret, cookie = begin_app(self.sdk(somebody))
        done = confirm(self.sdk(somebody, cloud_app=cookie), pyotp.TOTP(secret).now())
        assert done.status_code == 200, done.content
        return secret

    def add_passkey(self, somebody: Somebody, phone: Authenticator, name: str | None = None) -> dict[str, Any]:
        """Give somebody a passkey, as a program does, and return the answer."""
        options, cookie = begin_passkey(self.sdk(somebody))
        response = json.loads(phone.create(json.dumps(options)))
        done = show(self.sdk(somebody, cloud_passkey=cookie), response, name)
        assert done.status_code == 200, done.content
        return dict(json.loads(done.content))


async def _begin(services: Services, user_id: str) -> str:
    begun = await services.sessions.begin_for(user_id, Visit(address="127.0.0.1"))
    assert isinstance(begun, SignedIn)
    return begun.secret.reveal()


def cookie_of(response: Any, name: str) -> Morsel[str]:
    """Return a cookie that an answer sets."""
    parsed: SimpleCookie = SimpleCookie()
    for line in response.headers.get_list("set-cookie"):
        parsed.load(line)
    return parsed[name]


def begin_app(client: Sdk) -> tuple[str, str]:
    """Begin to add an app; return its secret and the cookie."""
    begun = post_add_mfa_otp.sync_detailed(client=client)
    assert begun.status_code == 200, begun.content
    issued.note(begun.parsed.secret)
    return begun.parsed.secret, cookie_of(begun, "cloud.app").value


def confirm(client: Sdk, code: str) -> Any:
    """Show a code of the app that is being added."""
    return post_verify_otp.sync_detailed(client=client, body=VerifyOtpInputBody(code=code))


def begin_passkey(client: Sdk) -> tuple[dict[str, Any], str]:
    """Begin to add a passkey; return what the browser is asked with, and the cookie."""
    begun = post_add_mfa_webauthn.sync_detailed(client=client)
    assert begun.status_code == 200, begun.content
    return dict(json.loads(begun.content)["options"]["publicKey"]), cookie_of(begun, "cloud.passkey").value


def show(client: Sdk, response: Any, name: str | None = None) -> Any:
    """Show the passkey that was made."""
    body = WebAuthnVerifyInputBody(response=response) if name is None else WebAuthnVerifyInputBody(response, name)
    return post_verify_webauthn.sync_detailed(client=client, body=body)
