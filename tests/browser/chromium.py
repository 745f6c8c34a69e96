"""Debian's Chromium as people have it, driven by Playwright, and a watch over everything that its pages do.

A profile is a browser context: cookies of its own, a size, a colour scheme, with or without JavaScript. Whatever a page
may not do (a script's error, a violation of the CSP, a request to another host) is a complaint, and the fixture that
opened the profile fails the test for it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    sync_playwright,
)

from tests.support.programs import find

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
PATIENCE_MS: Final = 15_000
PHONE: Final = (390, 844)
DESKTOP: Final = (1280, 800)
WIDTHS: Final = (360, 1280)
"""The widths, in CSS pixels, at which every page has to fit."""
HEAVIEST: Final = 60_000
"""Bytes that a page and all it needs may take on the wire with a cold cache."""
WCAG: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

Scheme = Literal["light", "dark"]

_AXE: Final = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
_REFUSED_DOCUMENT: Final = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d ")
_BEYOND_THE_EDGE: Final = """
() => {
  const wide = document.documentElement.clientWidth;
  const scrolls = (element) => {
    for (let at = element.parentElement; at; at = at.parentElement)
      if (/auto|scroll/.test(getComputedStyle(at).overflowX)) return true;
    return false;
  };
  const named = (element) => element.tagName.toLowerCase() + (element.className ? "." + element.className : "");
  const found = document.documentElement.scrollWidth > wide ? ["the page scrolls sideways"] : [];
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || getComputedStyle(element).visibility === "hidden") continue;
    if ((box.right > wide + 1 || box.left < -1) && !scrolls(element)) found.push(named(element));
  }
  return found.slice(0, 10);
}
"""


def chromium_path() -> str:
    """Return where Chromium is. The test that asks fails where there is none: no page may go unseen."""
    found = find(*NAMES)
    if found is None:
        pytest.fail("The browser tests need Chromium. On Debian or Ubuntu: apt-get install chromium", pytrace=False)
    return str(found)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Give a browser without a window and without a past.

    Playwright keeps an event loop running in this thread as long as it lives, so no coroutine can be run here
    meanwhile: a browser lives for one module of tests, and what needs a loop of its own takes another thread.
    """
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What the pages of a profile did: ``complaints`` about it, and the bytes that arrived since ``weigh`` began."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0
    _documents: set[str] = field(default_factory=set)

    def over(self, page: Page) -> None:
        """Watch a page."""
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"a script failed: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        # Chromium calls an honest 4xx of a page an error; that of a style sheet or a script is one.
        if _REFUSED_DOCUMENT.match(message.text) and message.location["url"] in self._documents:
            return
        self.complaints.append(f"the console says: {message.text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if request.is_navigation_request():
            self._documents.add(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and not request.url.startswith(self.origin + "/"):
            self.complaints.append(f"another host was asked: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.url} answered {response.status}")

    def _failed(self, request: Request) -> None:
        # A navigation that was overtaken by another is no failure.
        if request.failure and "ERR_ABORTED" not in request.failure:
            self.complaints.append(f"{request.url} failed: {request.failure}")


class Profile:
    """A browser profile with one page open, at one server."""

    def __init__(self, context: BrowserContext, origin: str, *, scripts: bool) -> None:
        """Open the page. ``origin`` is the server's address without a slash at its end."""
        self.context = context
        self.origin = origin
        self.scripts = scripts
        self.watch = Watch(origin)
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", self.watch.over)
        self.page = context.new_page()

    def go(self, path: str) -> Response:
        """Go to a page of the server, or to a whole address. Raises LookupError when there was no answer."""
        response = self.page.goto(path if path.startswith("http") else self.origin + path)
        if response is None:
            raise LookupError(f"{path} gave no answer")
        return response

    @property
    def path(self) -> str:
        """The path and query of the page that is shown."""
        parts = urlsplit(self.page.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    def words(self) -> str:
        """Return what can be read on the page, in one line."""
        return " ".join(self.page.locator("body").inner_text().split())

    def click(self, element: Locator) -> None:
        """Click on something. Where that leads to another page, the page is whole when this returns."""
        element.click()
        self.page.wait_for_load_state()

    def press(self, name: str | re.Pattern[str], *, exact: bool = True) -> None:
        """Press the button of this name."""
        self.click(self.page.get_by_role("button", name=name, exact=exact))

    def follow(self, name: str | re.Pattern[str], *, exact: bool = True) -> None:
        """Follow the link of this name."""
        self.click(self.page.get_by_role("link", name=name, exact=exact))

    def fill(self, label: str, text: str) -> None:
        """Fill the field of this label."""
        self.page.get_by_label(label, exact=True).fill(text)

    def sign_in(self, username: str, password: str) -> None:
        """Sign in through the page that is shown, which is the sign-in page or leads there."""
        if "/sign-in" not in self.page.url:
            self.go("/sign-in")
        self.page.locator("input[name=username]").fill(username)
        self.page.locator("input[name=password]").fill(password)
        self.click(self.page.locator("form:has(input[name=password]) button[type=submit]").last)
        self.page.wait_for_url(lambda url: urlsplit(url).path != "/sign-in")

    def sign_out(self) -> None:
        """Sign out by the button, which stands in the menu on a phone."""
        button = self.page.get_by_role("button", name="Sign out", exact=True)
        if not button.is_visible():
            self.page.locator("summary", has_text="Menu").click()
        self.click(button)


def add_authenticator(profile: Profile) -> None:
    """Give the profile's device a place for passkeys, opened by a finger that is always there and right."""
    session = profile.context.new_cdp_session(profile.page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def violations(page: Page) -> list[str]:
    """Return what axe finds against WCAG 2.2 AA on the page, a line for each element."""
    page.evaluate(_AXE)
    options = {"runOnly": {"type": "tag", "values": list(WCAG)}, "resultTypes": ["violations"]}
    found: dict[str, Any] = page.evaluate(f"axe.run(document, {json.dumps(options)})")
    return [
        f"{one['id']}: {one['help']}: {' '.join(map(str, node['target']))}: {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def check_accessible(page: Page) -> None:
    """Fail unless the page keeps WCAG 2.2 AA as far as a program can tell."""
    found = violations(page)
    assert not found, "\n".join([page.url, *found])


def beyond_the_edge(page: Page, widths: Sequence[int] = WIDTHS) -> dict[int, list[str]]:
    """Return what reaches beyond the page's edge at each width, where something does."""
    before = page.viewport_size
    found = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        if over := page.evaluate(_BEYOND_THE_EDGE):
            found[width] = over
    if before is not None:
        page.set_viewport_size(before)
    return found


def check_fits(page: Page) -> None:
    """Fail when anything reaches beyond the page's edge on a narrow phone or a desktop."""
    found = beyond_the_edge(page)
    assert not found, f"{page.url}: {found}"


def weight(profile: Profile, path: str) -> int:
    """Return the bytes on the wire that a page takes with everything it needs, by a cache that is cold."""
    session = profile.context.new_cdp_session(profile.page)
    received = [0]
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    session.on("Network.loadingFinished", lambda event: received.append(int(event["encodedDataLength"])))
    profile.go(path)
    profile.page.evaluate("0")  # what was loaded before has been told of when this is answered
    session.send("Network.setCacheDisabled", {"cacheDisabled": False})
    session.detach()
    return sum(received)
