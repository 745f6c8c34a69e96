"""What a device calls itself is shown, marked as unverified, and is never more than a text (promise D4)."""

import html

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import device_authorization
from keystead.services import Services
from tests.gate.serving import in_process
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization
from tests.support.pages import Page
from tests.support.server import KeysteadServer
from tests.web.device.asking import HOSTILE, at

LONGEST = "Ada's telescope computer on the roof, behind the second chimney!"
_NAMED = Command(
    update(device_authorization)
    .where(device_authorization.c.state == "pending")
    .values(device_name=bindparam("wanted"))
)


def call(site: KeysteadServer, name: str | None) -> None:
    """Let the device that waits have called itself this."""

    async def work(services: Services) -> None:
        await services.db.run(_NAMED, {"wanted": name})

    in_process(site.data, site.url, work)


def shown(page: Page) -> str:
    """Return what the page says of the device, up to what is said next."""
    return page.words.partition(" Device ")[2].partition(" Machine ")[0].partition(" Signed in as ")[0]


@pytest.mark.parametrize("name", [*HOSTILE, LONGEST, "x", "כלי עבודה", "机器 🙂"])
def test_its_name_is_shown_as_a_text_that_nobody_has_verified(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, name: str
) -> None:
    call(site, name)
    pages = [ada.get(at(asked.user_code)), ada.approve(asked.verification_uri_complete)]
    assert [shown(page) for page in pages] == [f"{name} name not verified"] * 2
    for page in pages:
        assert html.escape(name) == name or name not in page.source


def test_a_device_without_a_name_is_shown_as_before(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization
) -> None:
    call(site, None)
    page = ada.get(at(asked.user_code))
    assert "<dt>Device</dt>" not in page.source
    assert "A program describes itself and its machine." in page.words
    assert page.words.count("name not verified") == 1
