"""Where the sign-in page leads: on into this site, and nowhere else (W4)."""

import re
from collections.abc import Iterator
from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.web.pages import code_in, local_path
from tests.gate.serving import furnish, furnished_server
from tests.support.browser import Browser
from tests.support.server import ADA, KeysteadServer

GOOD = {"username": ADA.username, "password": ADA.password}
ELSEWHERE = (
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "https://evil.example",
    "https:evil.example",
    "HTTP://evil.example/",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    ".evil.example",
    "?next=//evil.example",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nSet-Cookie: a=b",
    "/x\r\nLocation: //evil.example",
    "/\x00/evil.example",
    "/\u2028/evil.example",
    "/\uff0f/evil.example",
    "\uff0f\uff0fevil.example",
    "/" + "a" * 500,
    "",
)
"""Where nobody is sent: each of these becomes the home page."""
ENCODED = ("/%2f%2fevil.example", "/%2e%2e//evil.example", "/%5cevil.example", "/.//evil.example", "/%0d%0aX:%20y")
"""Paths that look dangerous and stay on this site."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    directory = tmp_path_factory.mktemp("sign-in")
    with furnished_server(furnish(directory / "furnished"), directory / "site") as server:
        yield server


@pytest.fixture
def person(site: KeysteadServer) -> Iterator[Browser]:
    """Give a browser in which nobody is signed in."""
    with Browser(site.url) as browser:
        yield browser


@pytest.mark.parametrize("target", ELSEWHERE)
def test_what_is_no_path_of_this_site_becomes_the_home_page(target: str) -> None:
    assert local_path(target) == "/"


@pytest.mark.parametrize("target", ["/", "/a", "/getServiceKeys/device?user_code=BCDF-GHJK", *ENCODED])
def test_a_path_of_this_site_stays_as_it_is(target: str) -> None:
    assert local_path(target) == target


def origin(url: str) -> tuple[str, str]:
    """Return scheme and host as a browser finds them: it reads a backslash as a slash and skips tabs and line ends."""
    parts = urlsplit(re.sub(r"[\t\r\n]", "", url.strip()).replace("\\", "/"))
    return parts.scheme, parts.netloc


@given(st.one_of(st.text(max_size=40), st.text(alphabet="/\\:@.%?#\t\r\n a2f5c", max_size=20)))
def test_whatever_next_says_a_browser_stays_on_this_site(text: str) -> None:
    target = local_path(text)
    assert origin(urljoin("https://auth.example.com/sign-in", target)) == ("https", "auth.example.com")
    assert target.startswith("/")
    assert target.isascii()
    assert target.isprintable()


def test_the_code_in_a_path_is_read_only_from_a_path_to_the_device_page() -> None:
    assert code_in("/getServiceKeys/device?user_code=BCDF-GHJK") == "BCDF-GHJK"
    assert code_in("/elsewhere?user_code=BCDF-GHJK") == ""
    assert len(code_in("/getServiceKeys/device?user_code=" + "a" * 300)) == 100


@pytest.mark.parametrize("target", ELSEWHERE)
def test_signing_in_never_leads_to_another_site(person: Browser, target: str) -> None:
    page = person.get(f"/sign-in?next={quote(target)}")
    assert page.form("username").values("next") == ("/",)
    assert "evil" not in page.source
    answer = person.request("POST", "/sign-in", form=list({**GOOD, "next": target}.items()))
    refused_outright = "\x00" in target
    assert answer.status_code == (400 if refused_outright else 303)
    if not refused_outright:
        assert answer.headers["location"] == "/"
        assert answer.headers.get_list("set-cookie")[0].startswith("cloud.sso=")


@pytest.mark.parametrize("target", ENCODED)
def test_a_path_that_only_looks_dangerous_stays_on_this_site(
    site: KeysteadServer, person: Browser, target: str
) -> None:
    answer = person.request("POST", "/sign-in", form=list({**GOOD, "next": target}.items()))
    assert answer.status_code == 303
    landed = urljoin(f"{site.url}/sign-in", answer.headers["location"])
    assert origin(landed) == origin(site.url)
    assert [name for name in answer.headers if name == "x"] == []
