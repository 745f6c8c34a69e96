"""What is shown in the pictures for the documentation, and how a browser gets there; see ``screenshots``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from keystead.app import Application
from tests.browser.chromium import Profile
from tests.browser.house import EVE, FIREFOX, HOUR, MINUTE, OFFICE, House, sign_in, with_services
from tests.support import engine
from tests.support.calls import Line
from tests.support.clock import ManualClock
from tests.support.device import DeviceClient
from tests.support.mail import PostOffice
from tests.support.server import ADA, BOB, Person

NOW: Final = 1_773_480_413
"""14 March 2026, 09:26:53 UTC, in Unix seconds: when all of this is."""
DEVICE: Final = "/getServiceKeys/device"
SECURITY: Final = "/settings/security"
ORGANIZATION: Final = "/settings/organization"
OPERATOR: Final = "/settings/operator"
_ACTING: Final = "acting"


@dataclass
class Studio:
    """A server whose time stands still, and who is signed in where."""

    origin: str
    house: House
    clock: ManualClock
    post: PostOffice
    device: DeviceClient
    applications: list[Application]
    cookies: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def fill(self, path: str) -> str:
        """Return a path with the ids of people, apps and keys in the place of their names in braces."""
        return path.format_map({**self.house.people, **self.house.apps, **self.house.keys})

    def let_in(self, profile: Profile, person: Person) -> None:
        """Give a profile a session of somebody's."""
        if person.username not in self.cookies:

            async def begin(services: Any) -> str:
                begun = await sign_in(services, person, user_agent=FIREFOX, address=OFFICE)
                return begun.secret.reveal()

            self.cookies[person.username] = with_services(self.house.data, self.origin, begin, self.clock)
        self.hold(profile, self.cookies[person.username])

    def hold(self, profile: Profile, cookie: str) -> None:
        """Give a profile a session."""
        profile.context.add_cookies(
            [{"name": "cloud.sso", "value": cookie, "url": self.origin, "secure": True, "httpOnly": True}]
        )

    def held(self, profile: Profile) -> str:
        """Return the session that a profile has."""
        return next(one["value"] for one in profile.context.cookies() if one["name"] == "cloud.sso")


Scene = Callable[[Studio, Profile], None]
"""What leads from a fresh profile to the page that is shown."""


def page(path: str, person: Person | None = ADA) -> Scene:
    """Return the scene of a page that is simply there; names in braces stand for ids."""

    def play(studio: Studio, profile: Profile) -> None:
        if person is not None:
            studio.let_in(profile, person)
        profile.go(studio.fill(path))

    return play


def pressed(scene: Scene, *buttons: str) -> Scene:
    """Return a scene that goes on by pressing buttons."""

    def play(studio: Studio, profile: Profile) -> None:
        scene(studio, profile)
        for button in buttons:
            profile.press(button)

    return play


def asked(person: Person, button: str = "", scope: str = "keys:read keys:create") -> Scene:
    """Return the scene of a device that asks for somebody's account, and of pressing a button there."""

    def play(studio: Studio, profile: Profile) -> None:
        studio.let_in(profile, person)
        profile.go(f"{DEVICE}?user_code={studio.device.device_code(scope).user_code}")
        if button:
            profile.press(button)

    return play


def _named(studio: Studio, profile: Profile) -> None:
    """Show a device that says its own name."""
    code = studio.device.device_code("keys:read keys:create", "ada-workstation").user_code
    studio.let_in(profile, ADA)
    profile.go(f"{DEVICE}?user_code={code}")


def _expired(studio: Studio, profile: Profile) -> None:
    asked(BOB)(studio, profile)
    statement = "UPDATE device_authorization SET expires_at = created_at WHERE state = 'pending'"
    engine.execute(studio.house.data, sqlite=[statement], postgres=[statement])
    profile.page.reload()


def _used(studio: Studio, profile: Profile) -> None:
    code = studio.device.device_code("keys:read").user_code
    studio.let_in(profile, BOB)
    profile.go(f"{DEVICE}?user_code={code}")
    profile.press("Approve")
    studio.let_in(profile, EVE)
    profile.go(f"{DEVICE}?user_code={code}")


def by_letter(scene: Scene, address: str, reader: Person | None = None) -> Scene:
    """Return the scene behind the link of a letter, which an earlier scene sends the first time."""

    def play(studio: Studio, profile: Profile) -> None:
        if address not in studio.links:
            scene(studio, profile)
            studio.links[address] = urlsplit(studio.post.wait_for(address).link).path
        profile.context.clear_cookies()
        if reader is not None:
            studio.let_in(profile, reader)
        profile.go(studio.links[address])

    return play


def letter_asked_for(path: str, address: str, button: str, person: Person | None = None) -> Scene:
    """Return the scene of asking for a letter to an address, or of inviting who has it."""

    def play(studio: Studio, profile: Profile) -> None:
        page(path, person)(studio, profile)
        profile.fill("E-mail address", address)
        if person is not None:
            profile.page.locator("input[name=role][value=member]").check()
        profile.press(button)

    return play


def _second_factor(studio: Studio, profile: Profile) -> None:
    profile.sign_in(ADA.username, ADA.password)


def _enrol(studio: Studio, profile: Profile) -> None:
    studio.let_in(profile, ADA)
    profile.go(f"{ORGANIZATION}/policies")
    profile.page.get_by_label("Everybody needs a second factor").check()
    profile.press("Save the policies")
    profile.context.clear_cookies()
    profile.sign_in(BOB.username, BOB.password)


def _recovery_codes(studio: Studio, profile: Profile) -> None:
    studio.let_in(profile, ADA)
    profile.go(f"{SECURITY}/recovery-codes/new")
    profile.page.get_by_label("Your password").fill(ADA.password)
    profile.press("Make new codes")


def _key_made(studio: Studio, profile: Profile) -> None:
    studio.let_in(profile, ADA)
    profile.go("/settings/keys/new")
    profile.page.get_by_label("Title").fill("Nightly report")
    profile.press("Create the API key")


def _acting(studio: Studio, profile: Profile) -> None:
    """Act as bob, and stay so until the pictures of that are taken: the operator's own session waits meanwhile."""
    if _ACTING in studio.cookies:
        studio.hold(profile, studio.cookies[_ACTING])
        profile.go("/settings")
        return
    studio.let_in(profile, ADA)
    profile.go(studio.fill(f"{OPERATOR}/users/{{bob}}/act-as"))
    profile.fill("Why do you do this?", "Request 4711: the keys are gone")
    profile.press("Act as this person")
    studio.cookies[_ACTING] = studio.held(profile)


def _busy_hour(studio: Studio, profile: Profile) -> None:
    """Let the last hour have been as busy as hours are, the first time that somebody asks."""
    studio.let_in(profile, ADA)
    if studio.clock.now() < NOW + HOUR:
        with Line(studio.device.base_url) as line:
            for minute in range(HOUR // MINUTE + 1):  # so that the minute of all other pictures is forgotten
                for _ in range(20 + minute * 7 % 13):
                    line.get("/sign-in")
                for _ in range(minute % 5 == 3):
                    line.get("/settings/none", {"Accept": "text/html"})
                studio.clock.advance(MINUTE)
                studio.applications[0].history.take()
    profile.go("/settings/operator/health")


SCENES: Final[dict[str, Scene]] = {
    "sign-in": page("/sign-in", None),
    "sign-in-passkey": page("/sign-in/passkey", None),
    "sign-in-second-factor": _second_factor,
    "forgot-password": page("/sign-in/forgot", None),
    "sign-up": page("/sign-up", None),
    "device-code": page(DEVICE),
    "overview": page("/settings"),
    "tokens": page("/settings/tokens"),
    "keys": page("/settings/keys"),
    "key-new": page("/settings/keys/new"),
    "key-rename": page("/settings/keys/{Web shop}/title"),
    "key-rotate": page("/settings/keys/{Web shop}/rotate"),
    "key-delete": page("/settings/keys/{Web shop}/delete"),
    "devices": page("/settings/devices"),
    "sessions": page("/settings/sessions"),
    "security": page(SECURITY),
    "authenticator-app": page(f"{SECURITY}/totp/new", BOB),
    "passkey-new": page(f"{SECURITY}/passkeys/new"),
    "members": page(f"{ORGANIZATION}/members"),
    "member": page(f"{ORGANIZATION}/members/{{bob}}"),
    "apps": page(f"{ORGANIZATION}/apps"),
    "app-keys": page(f"{ORGANIZATION}/apps/{{experiments}}"),
    "policies": page(f"{ORGANIZATION}/policies"),
    "balance": page(f"{ORGANIZATION}/balance"),
    "audit": page(f"{ORGANIZATION}/audit"),
    "operator-organizations": page(f"{OPERATOR}/organizations"),
    "operator-users": page(f"{OPERATOR}/users"),
    "operator-user": page(f"{OPERATOR}/users/{{ada}}"),
    "operator-policies": page(f"{OPERATOR}/policies"),
    "operator-clients": page(f"{OPERATOR}/clients"),
    "operator-signing-keys": page(f"{OPERATOR}/signing-keys"),
    "problem": page(f"{ORGANIZATION}/members", BOB),
    # What follows changes something, so it would show on the pages above.
    "device-consent": _named,
    "device-approved": asked(BOB, "Approve", "keys:read"),
    "device-refused": asked(BOB, "Refuse"),
    "device-expired": _expired,
    "device-used": _used,
    "token-made": pressed(page("/settings/tokens", BOB), "Generate a token"),
    "key-made": _key_made,
    "recovery-codes": _recovery_codes,
    "reset-password": by_letter(letter_asked_for("/sign-in/forgot", BOB.email, "Send the letter"), BOB.email),
    "sign-up-account": by_letter(
        letter_asked_for("/sign-up", "fenja@example.net", "Send the letter"), "fenja@example.net"
    ),
    "invitation": by_letter(letter_asked_for(f"{ORGANIZATION}/members", EVE.email, "Invite", ADA), EVE.email, EVE),
    "sign-in-enrol": _enrol,
    "operator-health": _busy_hour,
    "acting": _acting,
}
