"""The style sheet: contrast in both schemes, measured from the colours it names."""

import re
from importlib import resources
from itertools import product

import pytest

STATIC = resources.files("keystead.web") / "static"


def _schemes() -> dict[str, dict[str, str]]:
    """The colours of the light and of the dark scheme, from the style sheet itself."""
    css = (STATIC / "keystead.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, flags=re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": dark}


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


TEXT_PAIRS = [
    *product(("ink", "muted", "accent", "accent-strong"), ("paper", "sheet")),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("on-stone", "stone"),
    ("on-warn", "warn"),
    ("on-bad", "bad"),
    ("on-good", "good"),
    ("on-danger", "bad-edge"),
    *product(("bad-edge",), ("paper", "sheet")),
    ("sheet", "ink"),
]
EDGE_PAIRS = [
    *product(("edge",), ("sheet", "paper")),
    *((f"{kind}-edge", kind) for kind in ("warn", "bad", "good")),
    *product(("accent",), ("sheet", "paper")),
]
SHEETS = ("keystead.css", "settings.css")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("pair", "least"), [(p, 4.5) for p in TEXT_PAIRS] + [(p, 3.0) for p in EDGE_PAIRS])
def test_colours_contrast_as_wcag_asks_in_both_schemes(scheme: str, pair: tuple[str, str], least: float) -> None:
    colours = _schemes()[scheme]
    assert _contrast(colours[pair[0]], colours[pair[1]]) >= least


@pytest.mark.parametrize("name", SHEETS)
def test_a_style_sheet_loads_nothing_and_uses_only_colours_that_were_measured(name: str) -> None:
    css = (STATIC / name).read_text(encoding="utf-8")
    used, named = set(re.findall(r"var\(--([a-z-]+)\)", css)), set(_schemes()["light"])
    own = set(re.findall(r"--([a-z-]+):", css))
    rules = re.sub(r":root \{.*?\}|@media print \{.*", "", css, flags=re.DOTALL)
    assert "url(" not in css
    assert "@import" not in css
    assert used <= named | own | {"sans", "mono", "gutter"}
    # White stands behind a QR code, which no reader finds on a dark ground.
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", rules)) <= {"#fff"}


def test_the_style_sheets_respect_what_the_person_prefers() -> None:
    css = "".join((STATIC / name).read_text(encoding="utf-8") for name in SHEETS)
    for preference in ("prefers-reduced-motion: reduce", "prefers-color-scheme: dark", "forced-colors: active"):
        assert preference in css, preference
    assert set(_schemes()["light"]) == set(_schemes()["dark"])
