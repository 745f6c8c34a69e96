"""A node of an installation within this process: its services, and HTTP to its whole application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from keystead.app import build_application
from keystead.kernel.principal import Identity
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from tests.support.installation import ADDRESS, PUBLIC_URL, Installation, Person

API: Final = "/account/service/v1"
PASSWORD: Final = "an owl that reads the paper"


@dataclass(frozen=True)
class Node:
    """One of the processes over an installation."""

    house: Installation
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, credential: str, body: Any = None) -> httpx.Response:
        """Ask the Account API with a bearer token."""
        headers = {"Authorization": f"Bearer {credential}"}
        return await self.http.request(method, API + path, json=body, headers=headers)

    async def check(self, credential: str) -> int:
        """Return the status with which a token or API key is checked, as for a proxy; it is remembered afterwards."""
        return (await self.http.get("/verify", headers={"Authorization": f"Bearer {credential}"})).status_code

    async def check_session(self, cookie: str) -> int:
        """Return the status with which a session is checked."""
        return (await self.http.get("/verify", headers={"Cookie": f"cloud.sso={cookie}"})).status_code

    async def access_token(self, scope: str, person: Person | None = None) -> str:
        """Sign a device in, for ada unless somebody else is named, and return its access token."""
        return (await self.house.sign_in(person=person, scope=scope)).access_token.reveal()

    async def short_term_token(self, access_token: str) -> tuple[str, str]:
        """Make a short-term token and return its id and its text."""
        made = (await self.call("POST", "/tokens", access_token)).json()
        return made["token_id"], made["raw_token"]

    async def session(self, username: str = "ada") -> tuple[str, str]:
        """Sign somebody in, whose password is set for it, and return the session's id and the cookie's value."""
        sessions = self.house.services.sessions
        user = await self.house.services.accounts.user_by_name(username)
        if user is not None and user.password_hash is None:
            await sessions.set_password(username, Secret(PASSWORD))
        begun = await sessions.sign_in(username, Secret(PASSWORD), address=ADDRESS, user_agent="Test/1.0")
        return begun.session_id, begun.secret.reveal()

    async def elsewhere(self) -> Identity:
        """Let ada into a second organization, globex, and return who she is there."""
        accounts = self.house.services.accounts
        globex = await accounts.create_organization("globex", "Globex")
        await accounts.add_membership(self.house.ada.id, globex, Role.OWNER)
        identity = await accounts.identity(self.house.ada.id, globex)
        if identity is None:
            raise LookupError("ada")
        return identity


@asynccontextmanager
async def open_node(house: Installation) -> AsyncIterator[Node]:
    """Open HTTP to the application over a process's services."""
    application = build_application(house.services, dev=False)
    transport = httpx.ASGITransport(app=application.asgi)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False) as http:
        yield Node(house, http)
