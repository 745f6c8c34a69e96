"""Somebody at the entrance, with a browser that keeps cookies as browsers do, within this process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
import pyotp
from sqlalchemy import bindparam, update

from keystead.db import Command, Transaction
from keystead.db.tables import organization
from keystead.kernel.secrets import Secret
from tests.account.nodes import Node
from tests.support import issued
from tests.support.installation import PUBLIC_URL
from tests.support.pages import Form, Page

PASSWORD: Final = "an owl that reads the paper"
NEW_PASSWORD: Final = "a heron that stands in the rain"
_REQUIRE = Command(update(organization).values(second_factor_required=bindparam("wanted")))


@dataclass
class Guest:
    """One browser at a node. Redirects are followed, and cookies go only where they belong."""

    node: Node
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Each cookie's value and the path that it belongs to."""

    async def send(
        self, method: str, address: str, form: Mapping[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        """Send one request, and follow nothing."""
        path = urlsplit(address).path
        mine = {name: value for name, (value, under) in self.cookies.items() if _under(path, under)}
        sent = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin" if form is not None else "none", **headers}
        if mine:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in mine.items())
        if form is not None:
            sent = {"Origin": PUBLIC_URL, "Content-Type": "application/x-www-form-urlencoded", **sent}
        self.node.http.cookies.clear()  # other guests use the same client
        body = None if form is None else urlencode(list(form.items()))
        answer = await self.node.http.request(method, address, content=body, headers=sent)
        self._keep(answer)
        return answer

    async def get(self, address: str) -> Page:
        """Go to an address, and on to where it leads."""
        return await self._land(await self.send("GET", address))

    async def post(self, address: str, form: Mapping[str, str]) -> Page:
        """Send a form, and follow."""
        return await self._land(await self.send("POST", address, form))

    async def submit(self, page: Page, form: Form, answers: Mapping[str, str]) -> Page:
        """Fill in a form of a page and send it, and follow."""
        return await self.post(urljoin(page.url, form.action), dict(form.filled(answers)))

    async def password(self, username: str = "ada", password: str = PASSWORD, at: str = "/sign-in") -> Page:
        """Fill in the sign-in page at ``at``, and follow."""
        issued.note(password)
        page = await self.get(at)
        return await self.submit(page, page.form("username", "password"), {"username": username, "password": password})

    @property
    def session(self) -> str:
        """The session's cookie, or nothing."""
        return self.cookies.get("cloud.sso", ("", ""))[0]

    async def _land(self, answer: httpx.Response) -> Page:
        for _ in range(10):
            if answer.status_code != 303:
                return Page(answer)
            answer = await self.send("GET", urljoin(str(answer.url), answer.headers["location"]))
        raise RecursionError(f"{answer.url} redirects without end")

    def _keep(self, answer: httpx.Response) -> None:
        for line in answer.headers.get_list("set-cookie"):
            parsed: SimpleCookie = SimpleCookie()
            parsed.load(line)
            for name, morsel in parsed.items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = (morsel.value, morsel["path"])
                    issued.note(morsel.value)


def _under(path: str, place: str) -> bool:
    """Tell whether a cookie of ``place`` goes with a request for ``path`` (RFC 6265, section 5.1.4)."""
    return path == place or path.startswith(place if place.endswith("/") else f"{place}/")


async def give_password(node: Node, username: str = "ada", password: str = PASSWORD) -> None:
    """Let somebody sign in with a password."""
    await node.house.services.sessions.set_password(username, Secret(password))


@dataclass(frozen=True)
class App:
    """Somebody's authenticator app, and the recovery codes that came with it."""

    node: Node
    secret: str
    recovery_codes: tuple[str, ...]

    @property
    def code(self) -> str:
        """What it shows now."""
        return pyotp.TOTP(self.secret).at(self.node.house.clock.now())


async def give_app(node: Node, user_id: str) -> App:
    """Let somebody have an authenticator app, whose next code is a new one."""
    factors, clock = node.house.services.factors, node.house.clock
    new = factors.new_totp(user_id, "somebody")
    code = pyotp.TOTP(new.secret.reveal()).at(clock.now())
    codes = await factors.add_totp(user_id, new.sealed, code)
    clock.advance(60)
    return App(node, new.secret.reveal(), tuple(one.reveal() for one in codes))


async def passwords_off(node: Node, organization: str | None = None, *, off: bool = True) -> None:
    """Let nobody sign in with a password, in an organization or on the whole installation, or let them again."""
    services = node.house.services
    await services.organizations.set_policy_from_host(organization, "disable-password-login", int(off))


async def require_second_factor(node: Node) -> None:
    """Let every organization ask its members for a second factor."""

    async def work(tx: Transaction) -> None:
        await tx.run(_REQUIRE, {"wanted": 1})

    await node.house.db.write(work)
