"""The operator's colour and logo on every page, over files of their own: nothing about a page is written inline."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.colors import Shades, Theme, theme_of
from keystead.kernel.settings import Settings, SettingsError

CSS_PATH: Final = "/static/brand.css"
LOGO_PATH: Final = "/static/logo"
LARGEST_LOGO: Final = 100_000
"""Bytes of the largest logo."""
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_SVG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*>)*<(?:svg:)?svg[\s>/]", re.DOTALL
)
_YEAR: Final = "public, max-age=31536000, immutable"
_A_WHILE: Final = "public, max-age=300"
# A wide logo stands above the name where both do not fit beside each other.
_LOGO: Final = """\
.logo { flex: none; width: auto; height: 1.875rem; max-width: min(10rem, 100%); object-fit: contain; }
.brand { flex-wrap: wrap; row-gap: 0.25rem; }
.brand bdi { flex: 1 1 7rem; min-width: 0; }
"""
# Seen by itself, a picture is a page: it runs nothing and fetches nothing there either.
_AS_A_PAGE: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture, and of which kind it is."""

    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Brand:
    """What the pages wear: a style sheet and a logo, where the operator chose any.

    Their addresses hold their content hashes, and are empty where there is nothing.
    """

    css: str = ""
    css_url: str = ""
    logo: Logo | None = None
    logo_url: str = ""


@dataclass(slots=True)
class _Worn:
    brand: Brand


_WORN: Final = _Worn(Brand())


def wear(brand: Brand) -> None:
    """Let every page of this process wear ``brand`` from now on: a process serves one installation."""
    _WORN.brand = brand


def worn() -> Brand:
    """Return what the pages of this process wear."""
    return _WORN.brand


def read_brand(settings: Settings) -> Brand:
    """Return the brand of an installation. Raises SettingsError when the logo cannot be used."""
    logo = None if settings.logo is None else _read_logo(settings.logo)
    css = _colors(theme_of(settings.accent_color)) if settings.accent_color else ""
    if logo is not None:
        css += _LOGO
    return Brand(
        css=css,
        css_url=f"{CSS_PATH}?v={_hash(css.encode())}" if css else "",
        logo=logo,
        logo_url="" if logo is None else f"{LOGO_PATH}?v={_hash(logo.content)}",
    )


class BrandFiles:
    """Serves what a brand consists of; where nothing was chosen there is nothing to serve."""

    def __init__(self, brand: Brand) -> None:
        """Serve ``brand``."""
        self._brand = brand

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        if self._brand.css:
            router.add_route(CSS_PATH, self.css, methods=["GET"])
        if self._brand.logo is not None:
            router.add_route(LOGO_PATH, self.logo, methods=["GET"])
        return router

    async def css(self, request: Request) -> Response:
        """Serve the style sheet; with its content hash in the address it may be kept for a year."""
        return Response(self._brand.css, media_type="text/css; charset=utf-8", headers=_kept(request))

    async def logo(self, request: Request) -> Response:
        """Serve the logo."""
        logo = self._brand.logo
        if logo is None:
            return Response(status_code=404)
        headers = {**_kept(request), "Content-Security-Policy": _AS_A_PAGE}
        return Response(logo.content, media_type=logo.media_type, headers=headers)


def _read_logo(file: Path) -> Logo:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_LOGO + 1)
    except OSError as error:
        raise SettingsError([f"logo: {file} cannot be read: {error.strerror or 'it is no file'}"]) from error
    if len(content) > LARGEST_LOGO:
        raise SettingsError([f"logo: {file} is larger than {LARGEST_LOGO // 1_000} KB; give a smaller picture"])
    if content.startswith(_PNG):
        return Logo(content, "image/png")
    if _SVG.match(content):
        return Logo(content, "image/svg+xml")
    raise SettingsError([f"logo: {file} is neither an SVG nor a PNG picture"])


def _colors(theme: Theme) -> str:
    return (
        f":root {{ {_properties(theme.light)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_properties(theme.dark)} }} }}\n"
    )


def _properties(shades: Shades) -> str:
    return f"--accent: {shades.accent}; --accent-strong: {shades.accent_strong}; --on-accent: {shades.on_accent};"


def _kept(request: Request) -> dict[str, str]:
    return {"Cache-Control": _YEAR if request.url.query else _A_WHILE}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
