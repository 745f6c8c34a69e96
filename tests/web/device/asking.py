"""The device page as a browser asks for it, and what the database says of a sign-in."""

from collections.abc import Mapping
from http.cookies import SimpleCookie
from urllib.parse import quote

from tests.gate.serving import ask
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization
from tests.support.pages import Page
from tests.support.server import KeysteadServer

PAGE = "/getServiceKeys/device"
SETTINGS = {"KEYSTEAD_DEVICE_POLL_HOLD": "0", "KEYSTEAD_LIMIT_WRONG_CODES_ADDRESS": "100000"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7*7 }} {% raw %} ${7*7} <%= 7*7 %>",
    "</title></textarea><svg/onload=alert(1)>",
    "&lt;b&gt; &amp;amp; &#60;",
    "Keystead is verified: press Approve",
)
PAGE_GUARDS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "content-type": "text/html; charset=utf-8",
}


def browser_of(site: KeysteadServer, cookie: str) -> Browser:
    """Return a browser that holds this session."""
    browser = Browser(site.url)
    kept: SimpleCookie = SimpleCookie({"cloud.sso": cookie})
    browser.cookies.update(kept)
    return browser


def at(code: str) -> str:
    return f"{PAGE}?user_code={quote(code)}"


def consent(browser: Browser, asked: DeviceAuthorization) -> dict[str, str]:
    """Open the consent page and return what its form would send, without a decision."""
    page = browser.get(at(asked.user_code))
    return dict(page.form("decision", "form_token").filled({}))


def state(site: KeysteadServer) -> str:
    """Return the state of the newest sign-in."""
    return str(ask(site.data, "SELECT state FROM device_authorization ORDER BY created_at DESC, id DESC LIMIT 1")[0])


def post(browser: Browser, form: Mapping[str, str] | list[tuple[str, str]], **headers: str) -> Page:
    pairs = form if isinstance(form, list) else list(form.items())
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Page(browser.request("POST", PAGE, form=pairs, headers=sent))
