"""People with second factors, and what a program keeps between the two steps of a sign-in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import SimpleCookie
from types import ModuleType
from typing import Any, Final

import httpx
import pyotp
from parallelworks_client.types import Response

from keystead.db import Command, Transaction
from keystead.kernel.clock import SystemClock
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.services import Services
from tests.factors.authenticator import Authenticator
from tests.gate.serving import in_process
from tests.interop.activate import sdk
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.server import KeysteadServer, Person

PASSWORD: Final = "Three quiet herons, 1 pond"
NEW_PASSWORD: Final = "Two quiet herons and 2 ponds"


@dataclass(frozen=True)
class Secured:
    """Somebody with second factors."""

    person: Person
    secret: str
    recovery_codes: tuple[str, ...]
    phone: Authenticator

    def code(self, steps: int = 0) -> str:
        """Return what the app shows now, or so many half minutes later."""
        return pyotp.TOTP(self.secret).at(SystemClock().now() + 30 * steps)


def add_person(
    server: KeysteadServer,
    name: str,
    *,
    organization: str = "acme",
    role: str = "member",
    password: str = PASSWORD,
    email: str = "",
) -> Person:
    """Add somebody to an organization."""
    issued.note(password)
    new = Person(name, password, email or f"{name}@example.com", role)

    async def work(services: Services) -> None:
        await services.accounts.create_user(
            username=name, email=new.email, organization=organization, role=Role(role), password=Secret(password)
        )

    in_process(server.data, server.url, work)
    return new


def join(server: KeysteadServer, name: str, organization: str) -> None:
    """Let somebody into another organization as well."""

    async def work(services: Services) -> None:
        user = await services.accounts.user_by_name(name)
        joined = await services.accounts.organization_by_name(organization)
        if user is None:
            raise LookupError(name)
        await services.accounts.add_membership(user.id, joined.id, Role.MEMBER)

    in_process(server.data, server.url, work)


def run(server: KeysteadServer, command: Command, **parameters: str) -> None:
    """Change the database, past every question."""

    async def work(services: Services) -> None:
        async def change(tx: Transaction) -> None:
            await tx.run(command, parameters)

        await services.db.write(change)

    in_process(server.data, server.url, work)


def add_secured(server: KeysteadServer, name: str, *, app: bool = True, passkey: bool = False) -> Secured:
    """Add somebody to acme who has an authenticator app, a passkey, or both."""
    person, phone = add_person(server, name), Authenticator(server.url)

    async def work(services: Services) -> Secured:
        factors, secret = services.factors, "A" * 32
        codes: list[Secret] = []
        user = await services.accounts.user_by_name(name)
        if user is None:
            raise LookupError(name)
        if app:
            new = factors.new_totp(user.id, name)
            secret = new.secret.reveal()
            code = pyotp.TOTP(secret).at(SystemClock().now() - 30)
            codes += await factors.add_totp(user.id, new.sealed, code)
        if passkey:
            options = factors.registration_options(user.id, name, [])
            answer = phone.create(options.json)
            codes += await factors.add_passkey(user.id, answer, options.challenge, "phone")
        return Secured(person, secret, tuple(one.reveal() for one in codes), phone)

    return in_process(server.data, server.url, work)


class Keeper:
    """A program that keeps cookies as a browser does, and sends them where they belong."""

    def __init__(self, url: str) -> None:
        """Talk to the server at ``url``."""
        self.url = url
        self.cookies: dict[str, tuple[str, str]] = {}

    def keep(self, answer: httpx.Response | Response[Any]) -> None:
        """Keep what an answer sets."""
        headers = httpx.Headers(answer.headers)
        for line in headers.get_list("set-cookie"):
            parsed: SimpleCookie = SimpleCookie()
            parsed.load(line)
            for name, morsel in parsed.items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = (morsel.value, morsel["path"])

    def value(self, name: str) -> str:
        """Return a cookie's value, or nothing."""
        return self.cookies.get(name, ("", ""))[0]

    def header(self, path: str) -> dict[str, str]:
        """Return the header that goes with a request for ``path``."""
        mine = [f"{name}={value}" for name, (value, under) in self.cookies.items() if path.startswith(under)]
        return {"Cookie": "; ".join(mine)} if mine else {}

    @contextmanager
    def sdk(self, path: str = "/") -> Iterator[Sdk]:
        """Give the SDK with the cookies that belong to ``path``."""
        one = sdk.anonymous(self.url).with_headers(self.header(path))
        with sdk.closing(one):
            yield one

    def call(self, function: ModuleType, path: str, **options: Any) -> Response[Any]:
        """Call a function of the SDK, and keep what the answer sets."""
        with self.sdk(path) as client:
            answer: Response[Any] = function.sync_detailed(client=client, **options)
        self.keep(answer)
        return answer

    def post(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> httpx.Response:
        """Post JSON, or any ``content``, without the SDK, and keep what the answer sets."""
        sent = {**self.header(path), **(headers or {})}
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            if content is None:
                answer = http.post(path, json=body, headers=sent)
            else:
                answer = http.post(path, content=content, headers=sent)
        sdk.check_answer(answer)
        self.keep(answer)
        return answer

    def password(self, person: Person) -> httpx.Response:
        """Show a password."""
        return self.post("/api/sso/password/login", {"username": person.username, "password": person.password})

    def show(self, method: str, **values: Any) -> httpx.Response:
        """Show a second factor."""
        return self.post("/api/sso/mfa/login", {"mfaMethod": method, "values": values})

    def whoami(self) -> int:
        """Return the status with which the session is answered."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            return http.get("/api/auth/session", headers=self.header("/api/auth/session")).status_code
