"""The rules of the sessions room: known devices, links in letters, form tokens, and when a session ends."""

import base64
import binascii
import hmac
import json
import re
from typing import Final

from keystead.kernel.problems import FormExpired
from keystead.kernel.sealing import WrongKey, derive_key, open_sealed, seal
from keystead.kernel.secrets import Secret, keyed_hash
from keystead.sessions.models import LONGEST_REASON, Device, SignUpLink

DEVICE_LIFETIME: Final = 31_536_000
"""Seconds for which a browser stays known after a sign-in: a year."""
FORM_LIFETIME: Final = 3_600
"""Seconds for which a form can be sent."""
LONGEST_ACT: Final = 3_600
"""Seconds for which an operator acts as somebody else, at most."""
STEP_LIFETIME: Final = 600
"""Seconds between the password and the second factor, at most."""
STEP_TRIES: Final = 10
"""Wrong codes after which a sign-in begins anew with the password."""
CODES_A_DAY: Final = 100
"""Wrong codes that are let through for one account in a day, so that nobody who has the password goes through them."""
LETTERS_AN_HOUR: Final = 5
"""Letters that strangers may cause to one address in an hour; the links of earlier ones are still good then."""
HOUR: Final = 3_600
DAY: Final = 86_400
LONGEST_USER_AGENT: Final = 256
_CLOCKS_DIFFER: Final = 60

_DEVICE = re.compile(r"(?P<user>[0-9a-f-]{36})\.(?P<device>[0-9a-f]{32})\.(?P<issued>[0-9]{1,12})\.[A-Za-z0-9_-]{43}\Z")
_RESET = re.compile(r"(?P<user>[0-9a-f-]{36})\.(?P<expires>[0-9]{1,12})\.[A-Za-z0-9_-]{43}\Z")
_LONGEST_LINK: Final = 2_000
_SEALED_AT_LEAST: Final = 28
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


def known_device(key: bytes, cookie: str | None, user_id: str | None, now: int) -> Device | None:
    """Return the device that a cookie names when it is one of this user's, else None."""
    device = read_device(key, cookie, now)
    return device if device is not None and device.user_id == user_id else None


def reset_token(key: bytes, user_id: str, password_hash: str | None, expires_at: int) -> Secret:
    """Return what a link to a new password holds. It dies with the password that there is now, and so is good once."""
    body = f"{user_id}.{expires_at}"
    return Secret(f"{body}.{_mac(key, f'reset.{body}.{password_hash or str()}')}")


def user_of_reset(token: str, now: int) -> str | None:
    """Return whose password a link says it is for, unchecked but for its time; None for any other text."""
    match = _RESET.match(token)
    return match["user"] if match is not None and now < int(match["expires"]) else None


def is_reset_token(key: bytes, token: str, user_id: str, password_hash: str | None) -> bool:
    """Tell whether a link is ours, for this user and for the password that they have now."""
    match = _RESET.match(token)
    return match is not None and reset_token(key, user_id, password_hash, int(match["expires"])) == Secret(token)


def sign_up_token(key: bytes, link: SignUpLink, expires_at: int) -> Secret:
    """Return what the link of a sign-up holds, sealed: nothing is stored before the address is proven (W8)."""
    text = json.dumps([expires_at, link.email, link.next_path], ensure_ascii=False)
    sealed = seal(derive_key(key, "sign-up"), text.encode(), "sign-up")
    return Secret(base64.urlsafe_b64encode(sealed).decode().rstrip("="))


def read_sign_up(key: bytes, token: str, now: int) -> SignUpLink | None:
    """Return what the link of a sign-up says, or None for any other text and for one that is too old."""
    if len(token) > _LONGEST_LINK or not token.isascii():
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if len(raw) < _SEALED_AT_LEAST:
            return None
        expires_at, email, next_path = json.loads(open_sealed(derive_key(key, "sign-up"), raw, "sign-up"))
    except (binascii.Error, ValueError, WrongKey):
        return None
    return SignUpLink(str(email), str(next_path)) if now < int(expires_at) else None


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


def is_reason(text: str) -> bool:
    """Tell whether a text says why an operator acts as somebody: something, on one line, not too long."""
    return bool(text.strip()) and len(text) <= LONGEST_REASON and text.isprintable()


def shown_user_agent(text: str) -> str:
    """Return a User-Agent header as it is kept: printable, not too long."""
    return "".join(c if c.isprintable() else "?" for c in text[:LONGEST_USER_AGENT])


def _fresh(issued: int, now: int, lifetime: int) -> bool:
    return now - lifetime < issued <= now + _CLOCKS_DIFFER


def _mac(key: bytes, body: str) -> str:
    return base64.urlsafe_b64encode(keyed_hash(key, body)).decode().rstrip("=")
