"""The rules of the sessions room: known devices, form tokens, when a session ends, whom a limit counts."""

import base64
import hmac
import re
from typing import Final

from keystead.kernel.problems import FormExpired
from keystead.kernel.secrets import Secret, keyed_hash
from keystead.sessions.models import Device

DEVICE_LIFETIME: Final = 31_536_000
"""Seconds for which a browser stays known after a sign-in: a year."""
FORM_LIFETIME: Final = 3_600
"""Seconds for which a form can be sent."""
LONGEST_USER_AGENT: Final = 256
_CLOCKS_DIFFER: Final = 60

_DEVICE = re.compile(r"(?P<user>[0-9a-f-]{36})\.(?P<device>[0-9a-f]{32})\.(?P<issued>[0-9]{1,12})\.[A-Za-z0-9_-]{43}\Z")
_FORM = re.compile(r"(?P<issued>[0-9]{1,12})\.[A-Za-z0-9_-]{43}\Z")


def device_cookie(key: bytes, device: Device) -> Secret:
    """Return the cookie by which a browser is known again; nothing of it is stored."""
    body = f"{device.user_id}.{device.device_id}.{device.issued_at}"
    return Secret(f"{body}.{_mac(key, body)}")


def read_device(key: bytes, cookie: str | None, now: int) -> Device | None:
    """Return the device that a cookie of ours names, or None for any other text and for one that is too old."""
    match = _DEVICE.match(cookie or "")
    if match is None:
        return None
    device = Device(match["user"], match["device"], int(match["issued"]))
    if device_cookie(key, device) != Secret(match[0]) or not _fresh(device.issued_at, now, DEVICE_LIFETIME):
        return None
    return device


def form_token(key: bytes, session_id: str, purpose: str, now: int) -> str:
    """Return the token of a form: it proves that the form was shown in this session, for this purpose, just now."""
    return f"{now}.{_mac(key, f'{session_id}.{now}.{purpose}')}"


def check_form_token(key: bytes, session_id: str, purpose: str, token: str | None, now: int) -> None:
    """Raise FormExpired unless the token was made for this session and purpose, at most an hour ago."""
    match = _FORM.match(token or "")
    if match is None:
        raise FormExpired()
    issued = int(match["issued"])
    right = form_token(key, session_id, purpose, issued)
    if not hmac.compare_digest(right, match[0]) or not _fresh(issued, now, FORM_LIFETIME):
        raise FormExpired()


def ends_at(*, last_used_at: int, expires_at: int, idle: int) -> int:
    """Return the Unix second at which a session ends if it is not used again."""
    return min(expires_at, last_used_at + idle)


def shown_user_agent(text: str) -> str:
    """Return a User-Agent header as it is kept: printable, not too long."""
    return "".join(c if c.isprintable() else "?" for c in text[:LONGEST_USER_AGENT])


def _fresh(issued: int, now: int, lifetime: int) -> bool:
    return now - lifetime < issued <= now + _CLOCKS_DIFFER


def _mac(key: bytes, body: str) -> str:
    return base64.urlsafe_b64encode(keyed_hash(key, body)).decode().rstrip("=")
