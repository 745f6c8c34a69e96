"""Pictures of every page for the documentation, from an installation whose time stands still: ``make screenshots``.

Each is taken on a desktop and on a phone, light and dark, as WebP by Chromium itself. They are no part of the tests.
"""

import argparse
import base64
import re
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import pyotp
import uvicorn
from playwright.sync_api import Browser

from keystead.app import Application, build_application
from keystead.gate.door import Gate
from keystead.kernel.settings import FILE_NAME, load_settings
from keystead.services import open_services
from tests.browser.chromium import Profile, Scheme, add_authenticator, running_chromium
from tests.browser.house import FIREFOX, LINUX, furnish
from tests.browser.scenes import NOW, SCENES, Scene, Studio
from tests.support import engine
from tests.support.clock import ManualClock
from tests.support.device import DeviceClient
from tests.support.mail import PostOffice
from tests.support.processes import free_port, wait_for
from tests.support.server import ADA, GENEROUS

USUAL_PORT: Final = 8080
SIZES: Final = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
TALLEST: Final = 1_000
"""CSS pixels of a page that are shown; what is below is like what is above."""
SCALE: Final = 0.75
"""How large a CSS pixel is in a picture: the words are set in that size, not shrunk, so they stay sharp."""
QUALITY: Final = 14
MOST_BYTES: Final = 2_000_000
"""What all pictures may take together."""
IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"


def _port() -> int:
    """Return the port that people know from ``keystead serve``, for it stands in pictures; another if it is taken."""
    try:
        socket.create_server(("127.0.0.1", USUAL_PORT)).close()
    except OSError:
        return free_port()
    return USUAL_PORT


@contextmanager
def standing_still(directory: Path, post: PostOffice) -> Iterator[Studio]:
    """Serve a furnished installation, in this process, by a clock that stands still."""
    house, clock, port = furnish(directory / "data", until=NOW), ManualClock(NOW), _port()
    # ada's other browsers, too, will have shown her second factors, or adding these would sign them out.
    proven = f"UPDATE session SET second_factor = 1 WHERE user_id = '{house.people[ADA.username]}'"  # noqa: S608
    engine.execute(house.data, sqlite=[proven], postgres=[proven])
    origin = f"http://localhost:{port}"
    wishes = {**GENEROUS, **post.environment, "KEYSTEAD_SIGN_UP": "true"}
    settings = load_settings(wishes, house.data / FILE_NAME, public_url=origin)
    applications: list[Application] = []

    def build() -> Gate:
        applications.append(build_application(open_services(house.data, settings, clock), dev=True))
        return applications[0].asgi

    config = uvicorn.Config(
        build,
        factory=True,
        port=port,
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive(), "a server")
        with DeviceClient(f"http://127.0.0.1:{port}") as device:
            device.register("parallel-cli", LINUX)
            yield Studio(origin, house, clock, post, device, applications)
    finally:
        server.should_exit = True
        thread.join()


def add_second_factors(studio: Studio, browser: Browser) -> None:
    """Give ada a passkey and an authenticator app, as she would do it herself."""
    profile = Profile(browser.new_context(), studio.origin, scripts=True)
    studio.let_in(profile, ADA)
    add_authenticator(profile)
    profile.go("/settings/security/passkeys/new")
    profile.page.get_by_label("Name", exact=True).fill("Ada's telephone")
    profile.page.get_by_label("Your password").fill(ADA.password)
    profile.press("Continue")
    profile.press("Make the passkey")
    profile.follow("I have kept them")
    profile.go("/settings/security/totp/new")
    app = pyotp.TOTP("".join(profile.page.locator("#key").inner_text().split()))
    profile.page.get_by_label("Six-digit code").fill(app.at(NOW))
    profile.page.get_by_label("Your password").fill(ADA.password)
    profile.press("Add the app")
    profile.page.wait_for_url(re.compile("/settings/security"))
    profile.context.close()


@dataclass(frozen=True, slots=True)
class Look:
    """The size and the colours of a picture, and the format of its file."""

    size: str
    scheme: Scheme
    kind: str


def take(studio: Studio, browser: Browser, scene: Scene, look: Look) -> bytes:
    """Return the picture of a scene."""
    width, height = SIZES[look.size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=look.scheme,
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
        extra_http_headers={"User-Agent": FIREFOX},
    )
    profile = Profile(context, studio.origin, scripts=True)
    scene(studio, profile)
    profile.page.wait_for_load_state()
    shown = profile.page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": min(max(shown, height), TALLEST), "scale": SCALE}
    session = context.new_cdp_session(profile.page)
    quality = {} if look.kind == "png" else {"quality": QUALITY}
    options = {"format": look.kind, "clip": clip, "captureBeyondViewport": True, **quality}
    taken = session.send("Page.captureScreenshot", options)
    context.close()
    return base64.b64decode(taken["data"])


def main() -> int:
    """Take the pictures; return 1 when they are too heavy together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=IMAGES, help="the folder to put them into")
    parser.add_argument("--format", choices=["webp", "png"], default="webp")
    parser.add_argument("--only", default="", help="a part of the names of the pages to show")
    wanted = parser.parse_args()
    wanted.to.mkdir(parents=True, exist_ok=True)
    total = 0
    with (
        tempfile.TemporaryDirectory() as directory,
        PostOffice() as post,
        standing_still(Path(directory), post) as studio,
        running_chromium() as browser,
    ):
        add_second_factors(studio, browser)
        for (name, scene), size, scheme in product(SCENES.items(), SIZES, SCHEMES):
            if wanted.only in name:
                picture = take(studio, browser, scene, Look(size, scheme, wanted.format))
                (wanted.to / f"{name}-{size}-{scheme}.{wanted.format}").write_bytes(picture)
                total += len(picture)
    sys.stdout.write(f"{total / 1_000:.0f} kB in {wanted.to}\n")
    return int(wanted.format == "webp" and total > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
