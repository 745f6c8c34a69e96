"""The colours of buttons and links, from the one that the operator chose, so that text on them and in them is legible.

Contrast is that of WCAG 2.2 (relative luminance, success criterion 1.4.3): 4.5 to 1 at least.
"""

from dataclasses import dataclass
from typing import Final

LEAST_CONTRAST: Final = 4.5
LIGHT_GROUNDS: Final = ("#ffffff", "#eef2f0")
"""What text stands on in the light scheme: the sheet and the paper of ``keystead.css``."""
DARK_GROUNDS: Final = ("#151e1d", "#0e1514")
_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Shades:
    """The colours of one scheme, as #rrggbb: of links and buttons, of those under the pointer, of text on buttons."""

    accent: str
    accent_strong: str
    on_accent: str


@dataclass(frozen=True, slots=True)
class Theme:
    """The shades for the light and the dark scheme."""

    light: Shades
    dark: Shades


STANDARD: Final = Theme(Shades("#0d6a60", "#084f47", "#ffffff"), Shades("#6fd3c3", "#98e4d8", "#04211c"))
"""Keystead's green, as ``keystead.css`` has it."""


def theme_of(color: str) -> Theme:
    """Return the theme around a colour, #rrggbb; for an empty text the standard one.

    The colour itself is kept wherever it is legible: darkened on the light ground, lightened on the dark one, no more
    than it must be.
    """
    if not color:
        return STANDARD
    light = _until_legible(color, "#000000", LIGHT_GROUNDS)
    dark = _until_legible(color, "#ffffff", DARK_GROUNDS)
    return Theme(
        Shades(light, mixed(light, "#000000", 0.28), "#ffffff"),
        Shades(dark, mixed(dark, "#ffffff", 0.35), _until_legible(mixed(dark, "#000000", 0.8), "#000000", (dark,))),
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours: 1 for the same, 21 for black and white (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(color: str, other: str, share: float) -> str:
    """Return a colour with a ``share`` of another one, from 0 to 1."""
    pairs = zip(_parts(color), _parts(other), strict=True)
    return "#" + "".join(f"{round(mine + (its - mine) * share):02x}" for mine, its in pairs)


def _until_legible(color: str, towards: str, grounds: tuple[str, ...]) -> str:
    shades = (mixed(color, towards, step / _STEPS) for step in range(_STEPS))
    legible = (shade for shade in shades if all(contrast(shade, ground) >= LEAST_CONTRAST for ground in grounds))
    return next(legible, towards)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _parts(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
