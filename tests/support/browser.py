"""A browser without a window: it keeps cookies, reads forms out of pages and submits them as a person would.

It sends what a browser sends where the server looks at it: ``Origin``, ``Sec-Fetch-*`` and Secure cookies,
which browsers also send to http://127.0.0.1 but Python's cookie jars do not.
"""

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.cookies import Morsel, SimpleCookie
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

from tests.support import issued
from tests.support.pages import BrowserError, Form, Page

TIMEOUT_SECONDS: Final = 30.0
MOST_REDIRECTS: Final = 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Browser:
    """One browser profile at one server: cookies, sign-in, and the pages of device sign-in."""

    def __init__(self, base_url: str) -> None:
        """Open a fresh profile, without cookies, at ``base_url``."""
        self.base_url = base_url.rstrip("/")
        self.cookies: dict[str, Morsel[str]] = {}
        self.page: Page | None = None
        no_jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, cookies=no_jar, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The cookies stay readable."""
        self._http.close()

    def request(
        self,
        method: str,
        address: str,
        *,
        form: list[tuple[str, str]] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request with the profile's cookies, keep what it sets, and return the answer.

        Redirects are not followed. ``headers`` replace the browser's own. An address without a host is one of
        this server. With ``json`` the request is one that a script of the page makes.
        """
        url = urljoin(self.base_url + "/", address)
        own = urlsplit(url).netloc == urlsplit(self.base_url).netloc
        sent = {**self._browser_headers(method, own, script=json is not None), **(headers or {})}
        if own and self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            response = self._http.request(method, url, content=urlencode(form), headers=sent)
        else:
            response = self._http.request(method, url, json=json, headers=sent)
        if own:
            self._keep_cookies(response)
        return response

    def _browser_headers(self, method: str, own: bool, script: bool) -> dict[str, str]:
        headers = {
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) KeysteadTests/1.0",
            "Accept": "*/*" if script else "text/html,application/xhtml+xml,*/*;q=0.8",
            "Accept-Language": "en",
            "Sec-Fetch-Dest": "empty" if script else "document",
            "Sec-Fetch-Mode": "cors" if script else "navigate",
            "Sec-Fetch-Site": "same-origin" if own else "cross-site",
        }
        if method != "GET":
            # A form under "no-referrer" hides its origin (Fetch, "append a request `Origin` header").
            policy = "" if self.page is None else self.page.response.headers.get("referrer-policy", "")
            hidden = policy.strip().lower() == "no-referrer" and not script
            headers["Origin"] = "null" if hidden else self.base_url
        return headers

    def _keep_cookies(self, response: httpx.Response) -> None:
        for line in response.headers.get_list("set-cookie"):
            parsed: SimpleCookie = SimpleCookie()
            parsed.load(line)
            for name, morsel in parsed.items():
                if morsel["max-age"] == "0" or not morsel.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel
                    issued.note(morsel.value)

    def get(self, address: str, *, headers: Mapping[str, str] | None = None) -> Page:
        """Go to an address as if it were typed, follow redirects, and return where it ended."""
        typed = {"Sec-Fetch-Site": "none", **(headers or {})}
        return self._land(self.request("GET", address, headers=typed))

    def post(self, address: str, form: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> Page:
        """Post ``form``, follow redirects, and return where it ended."""
        return self._land(self.request("POST", address, form=list(form.items()), headers=headers))

    def submit(self, page: Page, form: Form, answers: Mapping[str, str]) -> Page:
        """Fill the form of ``page``, send it, follow redirects, and return where it ended."""
        self.page = page
        address = urljoin(page.url, form.action) if form.action else page.url
        sent = form.filled(answers)
        if form.method == "post":
            return self._land(self.request("POST", address, form=sent))
        return self._land(self.request("GET", f"{address.partition('?')[0]}?{urlencode(sent)}"))

    def _land(self, response: httpx.Response) -> Page:
        for _ in range(MOST_REDIRECTS):
            if response.status_code not in _REDIRECTS:
                self.page = Page(response)
                return self.page
            target = urljoin(str(response.url), response.headers["location"])
            keeps_method = response.status_code in {307, 308} and response.request.method != "GET"
            if keeps_method or urlsplit(target).netloc != urlsplit(self.base_url).netloc:
                raise BrowserError(f"{response.url} answered {response.status_code} towards {target}.")
            response = self.request("GET", target)
        raise BrowserError(f"{response.url} redirects without end.")

    def sign_in(self, username: str, password: str) -> Page:
        """Sign in through the page. Raises BrowserError when no session came of it."""
        issued.note(password)
        page = self.get("/sign-in")
        answers = {"username": username, "password": password}
        after = self.submit(page, page.form("username", "password"), answers)
        if "cloud.sso" not in self.cookies:
            raise BrowserError(f"Sign-in as {username} gave no session: {after.status}, {after.words[:600]}")
        return after

    def sign_out(self) -> Page:
        """Sign out through the home page's form."""
        page = self.get("/")
        for form in page.forms:
            if urlsplit(urljoin(page.url, form.action)).path == "/sign-out":
                return self.submit(page, form, {})
        raise BrowserError(f"{page.url} ({page.status}) has no sign-out form. It says: {page.words[:600]}")

    def approve(self, verification_uri_complete: str, organization: str | None = None) -> Page:
        """Open the address, approve the device for ``organization`` (its id), and return the outcome's page.

        Without ``organization`` what the page has chosen already is sent. Raises BrowserError when the page
        asks nothing or answers with an error.
        """
        return self._decide(verification_uri_complete, "approve", organization)

    def deny(self, verification_uri_complete: str) -> Page:
        """Open the address, deny the device, and return the page of the outcome."""
        return self._decide(verification_uri_complete, "deny", None)

    def _decide(self, address: str, decision: str, organization: str | None) -> Page:
        page = self.get(address)
        answers = {"decision": decision}
        if organization is not None:
            answers["organization"] = organization
        after = self.submit(page, page.form("decision", "user_code", "form_token"), answers)
        if after.status >= 400:
            raise BrowserError(f"The decision {decision} was answered {after.status}: {after.words[:600]}")
        return after
