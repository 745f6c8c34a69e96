"""How a sign-in looks while it goes on: events for a program, sentences and a countdown for a person.

The events are those that parallel-cli prints, one JSON object a line on standard output: ``auth_start``,
``device_code``, ``auth_waiting``, then ``auth_success`` or ``auth_error``.
"""

import json
import os
import sys
import time
from typing import Any, Final, Protocol

import click

from keystead.cli import headless, qr
from keystead.cli.failing import Failure
from keystead.cli.screen import Screen, colour_wanted, columns, is_terminal, lines, printable
from keystead.cli.sign_ins import sign_in_as_json, tell_sign_in
from keystead.cli.times import countdown
from keystead.cli.waiting import Countdown
from keystead.client._models import DeviceCode
from keystead.client._store import Context, Store

LINES_BESIDE_THE_CODE: Final = 8
"""How many lines of a terminal are left to what stands around a QR code."""


class Presenter(Protocol):
    """What is told of a sign-in, in this order."""

    def start(self) -> None:
        """Tell that it begins."""

    def code(self, code: DeviceCode, *, why_no_browser: str | None) -> None:
        """Tell where to go, and open a browser unless there is a reason not to.

        None stands for a sign-in that is taken up again: whoever began it has been told.
        """

    def waiting(self, code: DeviceCode) -> Countdown:
        """Tell that somebody must decide now, for as long as the context lasts."""

    def failed(self, failure: Failure) -> None:
        """Tell how it ended, when it did not succeed. What has told it all itself raises ``click.exceptions.Exit``."""

    def done(self, context: Context, store: Store) -> None:
        """Tell who is signed in now, until when, and where that is kept."""


class ForPrograms:
    """Prints an event a line. Nothing else is on standard output, and nothing is asked."""

    def start(self) -> None:
        """Print ``auth_start``."""
        self.event("auth_start")

    def code(self, code: DeviceCode, *, why_no_browser: str | None) -> None:
        """Print ``device_code``."""
        wanted = why_no_browser == ""
        opened = wanted and headless.open_browser(code.verification_uri_complete)
        self.event("device_code", **code_as_json(code), browser_open_attempted=wanted, browser_opened=opened)

    def waiting(self, code: DeviceCode) -> Countdown:
        """Print ``auth_waiting``."""
        self.event("auth_waiting")
        return Countdown(code.expires_at, shown=False)

    def failed(self, failure: Failure) -> None:
        """Print ``auth_error``."""
        self.event("auth_error", error=failure.body())
        raise click.exceptions.Exit(failure.exit_code)

    def done(self, context: Context, store: Store) -> None:
        """Print ``auth_success``."""
        self.event("auth_success", **sign_in_as_json(context, store))

    def event(self, name: str, **members: Any) -> None:
        """Print one event, at once."""
        sys.stdout.write(json.dumps({"event": name, **members}, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class ForPeople:
    """Says it in sentences, on standard error."""

    def __init__(self, screen: Screen) -> None:
        """Say it on ``screen``."""
        self._screen = screen

    def start(self) -> None:
        """Say nothing yet: the address comes first."""

    def code(self, code: DeviceCode, *, why_no_browser: str | None) -> None:
        """Say where to go and what to type there; the address comes before anything that takes time."""
        tell_code(self._screen, code)
        if why_no_browser is None:
            return
        if not why_no_browser:
            if headless.open_browser(code.verification_uri_complete):
                self._screen.tell("A browser was asked to open that page for you.")
            return
        self._screen.tell(f"No browser is opened, because {why_no_browser}. Any browser will do, on any machine.")
        show_qr_code(self._screen, code)

    def waiting(self, code: DeviceCode) -> Countdown:
        """Count down on a terminal; anywhere else say once how long there is."""
        if not is_terminal(sys.stderr):
            left = countdown(code.expires_at - self._screen.now)
            self._screen.tell(f"Waiting for the decision. The code is good for {left}.")
        return Countdown(code.expires_at, shown=colour_wanted(sys.stderr) or _moves_cursor())

    def failed(self, failure: Failure) -> None:
        """Say nothing: the sentence comes with the exit code."""

    def done(self, context: Context, store: Store) -> None:
        """Say it in three sentences."""
        tell_sign_in(self._screen, context, store)


def _moves_cursor() -> bool:
    return is_terminal(sys.stderr) and os.environ.get("TERM", "") not in {"", "dumb"}


def tell_code(screen: Screen, code: DeviceCode) -> None:
    """Say where to go and which code belongs to it."""
    screen.tell("To sign in, open this page:")
    screen.tell()
    screen.tell(f"  {printable(code.verification_uri_complete)}")
    screen.tell()
    screen.tell(f"It shows this code, or asks for it: {printable(code.user_code)}")
    screen.tell("Approve only if the page shows the same code.")


def show_qr_code(screen: Screen, code: DeviceCode) -> None:
    """Show the address as a QR code on a terminal that has room for it."""
    encoding = (getattr(sys.stderr, "encoding", "") or "").lower().replace("-", "")
    if not is_terminal(sys.stderr) or encoding != "utf8":
        return
    shown = qr.qr_code(
        code.verification_uri_complete,
        width=columns(),
        height=lines() - LINES_BESIDE_THE_CODE,
        colour=colour_wanted(sys.stderr),
    )
    if shown:
        screen.tell()
        screen.tell(shown)
        screen.tell()


def code_as_json(code: DeviceCode) -> dict[str, Any]:
    """Return what a program needs to send somebody to the page. The device code itself stays here."""
    return {
        "verification_uri": code.verification_uri,
        "verification_uri_complete": code.verification_uri_complete,
        "user_code": code.user_code,
        "expires_in": max(0, code.expires_at - int(time.time())),
        "interval": code.interval,
    }
