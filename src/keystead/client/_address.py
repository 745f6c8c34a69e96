"""Addresses of servers: what is one, and where a credential may be sent (promise W3). Pure, and quick to import."""

import re
from typing import Final
from urllib.parse import urlsplit

from keystead.client._errors import InsecureAddress, UsageError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_UNUSABLE: Final = re.compile(r"[\x00-\x20\x7f\\]|[^\x00-\U0010ffff]")
_LOOPBACK_V4: Final = re.compile(r"127\.(?:\d{1,3})\.(?:\d{1,3})\.(?:\d{1,3})\Z", re.ASCII)

Origin = tuple[str, str, int]
"""Scheme, host and port (RFC 6454, section 4)."""


def server_address(text: str) -> str:
    """Return a server's address as it is kept: ``https://host`` or ``https://host:port``, without a slash at the end.

    A host alone means https. Raises UsageError for what is no address, and InsecureAddress for ``http://`` beyond this
    machine.
    """
    text = text.strip()
    if not text:
        raise UsageError("No server is named.", hint="Give an address such as https://auth.example.com")
    scheme, host, port = origin_of(text if "://" in text else f"https://{text}")
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(
            f"'{_shown(text)}' is more than a server's address.",
            hint="Give scheme, host and port only, for instance https://auth.example.com",
        )
    name = f"[{host}]" if ":" in host else host
    address = f"{scheme}://{name}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")
    check_secure(address)
    return address


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute http or https address. Raises UsageError for anything else.

    What different programs read differently is refused: white space, backslashes, and a user name before the host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _no_address(url) from None
    scheme = parts.scheme.lower()
    if _UNUSABLE.search(url) or scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or port == 0:
        raise _no_address(url)
    return scheme, host.lower(), port or _DEFAULT_PORTS[scheme]


def check_secure(url: str) -> None:
    """Refuse plain HTTP beyond this machine, before anything is sent. Raises InsecureAddress (promise W3)."""
    scheme, host, _ = origin_of(url)
    if scheme != "https" and not is_loopback(host):
        raise InsecureAddress(f"{_shown(url)} is plain HTTP, where anybody on the way can read a credential.")


def check_own(url: str, server: str, *apis: str) -> None:
    """Refuse to send a credential of ``server`` anywhere but there and to these ``apis``. Raises InsecureAddress."""
    if not is_own(url, server, *apis):
        raise InsecureAddress(
            f"{_origin_text(url)} is not {server}. The credential belongs to that server and is sent to no other.",
            hint="Name the other servers that take it when you make the client: apis=['https://api.example.com'].",
        )
    check_secure(url)


def is_own(url: str, *servers: str) -> bool:
    """Tell whether an address is one of these servers'."""
    try:
        return origin_of(url) in {origin_of(server) for server in servers}
    except UsageError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name alone: localhost, 127.0.0.0/8 or ::1 (RFC 6890)."""
    if host in {"localhost", "::1"}:
        return True
    return _LOOPBACK_V4.match(host) is not None and all(int(part) < 256 for part in host.split("."))


def _no_address(url: str) -> UsageError:
    return UsageError(
        f"'{_shown(url)}' is not the address of a server.",
        hint="Give an address such as https://auth.example.com",
    )


def _origin_text(url: str) -> str:
    scheme, host, port = origin_of(url)
    return f"{scheme}://{host}" + ("" if port == _DEFAULT_PORTS[scheme] else f":{port}")


def _shown(url: str) -> str:
    """Return an address as an error may show it: without a password, a query and what cannot be printed."""
    before, _, after = url.partition("://")
    rest = (after or before).partition("?")[0].partition("#")[0].rpartition("@")[2]
    text = f"{before}://{rest}" if after else rest
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
