"""A real server over a furnished house, with a real mail server beside it."""

import secrets
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import BrowserContext

from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.browser.house import FIREFOX, OFFICE, House, sign_in, with_services
from tests.support import engine, issued
from tests.support.mail import PostOffice
from tests.support.processes import free_port
from tests.support.server import KeysteadServer, Person

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """A running server. ``origin`` names this machine as localhost: passkeys are not made for a bare address."""

    origin: str
    server: KeysteadServer
    house: House
    post: PostOffice
    _cookies: dict[str, str] = field(default_factory=dict)

    def do(self, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
        """Do something by the services, as another process would."""
        return with_services(self.server.data, self.origin, work)

    def let_in(self, context: BrowserContext, person: Person) -> None:
        """Give a profile a session of somebody's, begun once for all tests of the module."""
        if person.username not in self._cookies:

            async def begin(services: Services) -> str:
                begun = await sign_in(services, person, user_agent=FIREFOX, address=OFFICE)
                return begun.secret.reveal()

            self._cookies[person.username] = self.do(begin)
            issued.note(self._cookies[person.username])
        context.add_cookies(
            [
                {
                    "name": "cloud.sso",
                    "value": self._cookies[person.username],
                    "url": self.origin,
                    "secure": True,
                    "httpOnly": True,
                    "sameSite": "Lax",
                }
            ]
        )

    def newcomer(self, username: str, role: Role = Role.MEMBER, organization: str = "acme") -> Person:
        """Make a person whom no other test knows, for what changes who they are."""
        person = Person(username, f"nine bends {secrets.token_hex(6)}", f"{username}@example.com", role.value)

        async def make(services: Services) -> None:
            await services.accounts.create_user(
                username=person.username,
                email=person.email,
                organization=organization,
                role=role,
                password=Secret(person.password),
                name=username.title(),
            )

        self.do(make)
        issued.note(person.password)
        return person


@contextmanager
def open_site(house: House, directory: Path) -> Iterator[Site]:
    """Start a server over a copy of the house."""
    with PostOffice() as post:  # pytest-socket lets this machine talk to itself
        port = free_port()
        origin = f"http://localhost:{port}"
        settings = {**post.environment, "KEYSTEAD_PUBLIC_URL": origin, "KEYSTEAD_SIGN_UP": "true"}
        server = KeysteadServer(directory, settings, port=port)
        engine.duplicate(house.data, server.data)
        with server:
            yield Site(origin, server, house, post)
