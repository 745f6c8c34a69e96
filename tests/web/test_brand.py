"""The operator's colour and logo: on every page, from files of their own, and told at the start when they cannot be."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.kernel.settings import Settings, SettingsError
from keystead.web.brand import LARGEST_LOGO, Brand, read_brand, wear
from keystead.web.render import render
from keystead.web.views import SignIn
from tests.support.browser import Browser
from tests.support.server import ADA, KeysteadServer, add_acme

SVG = b"""<?xml version="1.0"?>
<!-- ours -->
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><path d="M0 0h4v4z"/></svg>
"""
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    """Give a logo's file."""
    file = tmp_path / "logo.svg"
    file.write_bytes(SVG)
    return file


@pytest.fixture
def undressed() -> Iterator[None]:
    """Let the pages of later tests wear nothing."""
    yield
    wear(Brand())


def sign_in_page() -> str:
    return render(SignIn(product_name="Acme", next="/", username=""))


def test_colour_and_logo_are_on_every_page_of_a_server(tmp_path: Path, logo: Path) -> None:
    settings = {"KEYSTEAD_ACCENT_COLOR": "#7A2E8D", "KEYSTEAD_LOGO": str(logo), "KEYSTEAD_PRODUCT_NAME": "Acme"}
    with KeysteadServer(tmp_path / "server", settings) as server:
        add_acme(server)
        with Browser(server.url) as browser:
            browser.sign_in(ADA.username, ADA.password)
            pages = [browser.get(path).response.text for path in ("/sign-in", "/settings/sessions")]
            sheets = {re.findall(r'href="(/static/brand\.css\?v=[0-9a-f]{16})"', page)[0] for page in pages}
            pictures = {
                re.findall(r'<img class="logo" src="(/static/logo\?v=[0-9a-f]{16})" alt=""', page)[0] for page in pages
            }
            css, picture = browser.get(sheets.pop()).response, browser.get(pictures.pop()).response
    assert not sheets | pictures
    assert "--accent: #7a2e8d" in css.text
    assert css.headers["content-type"].startswith("text/css")
    assert "immutable" in css.headers["cache-control"]
    assert picture.content == SVG
    assert picture.headers["content-type"] == "image/svg+xml"


def test_a_logo_that_is_opened_by_itself_runs_nothing(tmp_path: Path, logo: Path) -> None:
    with KeysteadServer(tmp_path / "server", {"KEYSTEAD_LOGO": str(logo)}) as server, Browser(server.url) as browser:
        found = browser.get("/static/logo").response
    policy = found.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        (b"<html><svg></svg></html>", "is neither an SVG nor a PNG picture"),
        (b"", "is neither an SVG nor a PNG picture"),
        (PNG + b"\0" * LARGEST_LOGO, "is larger than 100 KB; give a smaller picture"),
    ],
)
def test_a_logo_that_cannot_be_used_stops_the_start_with_a_sentence(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "logo.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refusal:
        read_brand(Settings(logo=file))
    assert sentence in str(refusal.value)


def test_the_server_does_not_start_with_a_logo_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "logo.svg"
    command = [sys.executable, "-m", "keystead", "serve", "--dev", "--port", "0", "--data", str(tmp_path / "data")]
    found = subprocess.run(
        command, env={"KEYSTEAD_LOGO": str(missing)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 1
    assert found.stderr == f"logo: {missing} cannot be read: No such file or directory\n"
    assert found.stdout == ""


@pytest.mark.parametrize(("content", "kind"), [(SVG, "image/svg+xml"), (PNG, "image/png")])
def test_what_a_logo_is_stands_in_it_not_in_its_name(tmp_path: Path, content: bytes, kind: str) -> None:
    file = tmp_path / "logo"
    file.write_bytes(content)
    brand = read_brand(Settings(logo=file))
    assert brand.logo is not None
    assert brand.logo.media_type == kind


@pytest.mark.usefixtures("undressed")
def test_another_colour_or_logo_has_another_address(logo: Path) -> None:
    one = read_brand(Settings(accent_color="#112233", logo=logo))
    logo.write_bytes(SVG + b"\n")
    other = read_brand(Settings(accent_color="#112234", logo=logo))
    assert one.css_url != other.css_url
    assert one.logo_url != other.logo_url


@pytest.mark.usefixtures("undressed")
def test_a_logo_takes_the_place_of_the_mark_and_leaves_the_name_beside_it(logo: Path) -> None:
    plain = sign_in_page()
    wear(read_brand(Settings(logo=logo)))
    dressed = sign_in_page()
    assert '<svg class="mark"' in plain
    assert "brand.css" not in plain
    assert '<svg class="mark"' not in dressed
    assert re.search(r'<img class="logo" [^>]*alt=""[^>]*>\s*<bdi>Acme</bdi>', dressed)
