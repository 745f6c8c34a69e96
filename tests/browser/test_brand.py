"""A wide logo and a long name keep to their place on every width of window."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.server import ADA, KeysteadServer, add_acme

WIDE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 60"><path fill="#7a2e8d" d="M0 0h400v60H0z"/></svg>'
LONG = "The Very Long Product Name Of Forty Char"
BOXES = """() => Object.fromEntries(["brand", "logo"].map(
    (name) => [name, document.querySelector("." + name).getBoundingClientRect()]))"""


@pytest.fixture(scope="module")
def branded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    """Give a server with the widest logo and the longest name."""
    directory = Path(tmp_path_factory.mktemp("branded"))
    (directory / "logo.svg").write_text(WIDE)
    settings = {
        "KEYSTEAD_LOGO": str(directory / "logo.svg"),
        "KEYSTEAD_PRODUCT_NAME": LONG,
        "KEYSTEAD_ACCENT_COLOR": "#e8b400",
    }
    with KeysteadServer(directory, settings) as server:
        add_acme(server)
        yield server


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_logo_and_name_stand_in_at_most_three_lines(branded: KeysteadServer, chromium: Browser, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 700})
    page = context.new_page()
    page.goto(f"{branded.url}/sign-in")
    page.fill("#username", ADA.username)
    page.fill("#password", ADA.password)
    found = [(page.evaluate(BOXES), page.evaluate("document.documentElement.scrollWidth"))]
    page.press("#password", "Enter")
    page.wait_for_selector(".nav", state="attached")
    found.append((page.evaluate(BOXES), page.evaluate("document.documentElement.scrollWidth")))
    context.close()
    for boxes, whole in found:
        assert whole == width
        assert boxes["brand"]["height"] < 110
        assert 0 < boxes["logo"]["width"] <= 160
        assert boxes["logo"]["right"] <= boxes["brand"]["right"] + 1
