"""Whether a browser's request comes from a page of ours: what guards every change that rests on a cookie (W4)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from keystead.kernel.problems import CrossSite

_OURS: Final = frozenset({"same-origin", "none"})
# In development people type either name of their own machine; with the same port it is the same server.
_LOOPBACK: Final = dict.fromkeys(("localhost", "127.0.0.1", "::1"), "localhost")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def check_same_site(headers: Mapping[str, str], public_url: str) -> None:
    """Raise CrossSite when a page that is not ours made a browser send this.

    ``Sec-Fetch-Site`` must say that the page is ours or that the person typed the address (W3C Fetch Metadata), and
    ``Origin`` must be ours (RFC 6454, section 7). Without either it was no browser, and nobody was tricked.
    ``headers`` finds its names in any case.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site.strip().lower() not in _OURS:
        raise CrossSite()
    origin = headers.get("origin")
    if origin is not None and _origin_of(origin) != _origin_of(public_url):
        raise CrossSite(
            "The request came from another site. Open the page at the address that this server is configured with, "
            "and do it again."
        )


def _origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port (RFC 6454, section 4); what is no address equals none of ours."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname or url
        return parts.scheme, _LOOPBACK.get(host, host), parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return "", url, None
