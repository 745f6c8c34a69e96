"""The operator's one colour becomes legible shades in both schemes, whatever it is."""

import re
from importlib import resources
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.kernel.colors import DARK_GROUNDS, LEAST_CONTRAST, LIGHT_GROUNDS, STANDARD, Shades, contrast, theme_of

STEPS = ("00", "33", "66", "99", "cc", "ff")
GRID = ["#" + "".join(parts) for parts in product(STEPS, repeat=3)]


def least_contrast(shades: Shades, grounds: tuple[str, ...]) -> float:
    """Return the contrast of the worst pair of a scheme."""
    on_ground = [contrast(color, ground) for color in (shades.accent, shades.accent_strong) for ground in grounds]
    on_accent = [contrast(shades.on_accent, color) for color in (shades.accent, shades.accent_strong)]
    return min(on_ground + on_accent)


@pytest.mark.parametrize("color", GRID)
def test_every_colour_of_a_grid_gives_legible_links_and_buttons_in_both_schemes(color: str) -> None:
    theme = theme_of(color)
    assert least_contrast(theme.light, LIGHT_GROUNDS) >= LEAST_CONTRAST
    assert least_contrast(theme.dark, DARK_GROUNDS) >= LEAST_CONTRAST


@given(st.integers(0, 0xFFFFFF))
def test_any_colour_at_all_does(number: int) -> None:
    theme = theme_of(f"#{number:06x}")
    assert least_contrast(theme.light, LIGHT_GROUNDS) >= LEAST_CONTRAST
    assert least_contrast(theme.dark, DARK_GROUNDS) >= LEAST_CONTRAST


def test_a_colour_that_is_legible_as_it_is_stays_as_it_is() -> None:
    assert theme_of("#0d4f8a").light.accent == "#0d4f8a"
    assert theme_of("#9fd0ff").dark.accent == "#9fd0ff"


def test_without_a_colour_the_shades_are_those_of_the_style_sheet_and_the_grounds_are_its_grounds() -> None:
    css = (resources.files("keystead.web") / "static" / "keystead.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    )
    found = [Shades(each["accent"], each["accent-strong"], each["on-accent"]) for each in (light, dark)]
    assert [theme_of("").light, theme_of("").dark] == found == [STANDARD.light, STANDARD.dark]
    assert {light["sheet"], light["paper"]} == set(LIGHT_GROUNDS)
    assert {dark["sheet"], dark["paper"]} == set(DARK_GROUNDS)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
