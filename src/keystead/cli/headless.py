"""Whether a browser may be opened here (promise D10), and the opening itself, out of the way of everything else."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from keystead.cli.screen import is_terminal

CONTAINER_MARK: Final = Path("/.dockerenv")
_OPEN: Final = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


def why_no_browser(environ: Mapping[str, str] | None = None, *, platform: str = sys.platform) -> str:
    """Return why no browser is opened here, as the end of a sentence; empty where one may be."""
    environ = os.environ if environ is None else environ
    if environ.get("SSH_CLIENT") or environ.get("SSH_TTY"):
        return "this is a session over SSH"
    if environ.get("CI"):
        return "this is an automatic run (CI is set)"
    if environ.get("container") or CONTAINER_MARK.exists():
        return "this is a container"
    if platform.startswith("linux") and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return "this machine has no display"
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        return "there is no terminal"
    return ""


def open_browser(address: str) -> bool:
    """Begin to open an address in a process of its own, and tell whether that began.

    Nothing waits for it, and what a browser prints goes nowhere.
    """
    try:
        subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _OPEN, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    return True
