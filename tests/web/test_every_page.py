"""Every page there is, in every state its view model has: accessible, escaped, light, and true to the policy.

The pages are found in the package, so that a new one is held to the same rules without being named here.
"""

from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable

import pytest

from keystead.web import views
from keystead.web.render import render
from tests.web.reading import PAGE_BUDGET, Reading, naming_faults, outline_faults, policy_faults, weight
from tests.web.samples import samples, view_models

HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
MODELS = view_models()
PAGES = {
    f"{model.__module__.removeprefix('keystead.web.')}.{model.__name__}: {state}": view
    for model in MODELS
    for state, view in samples(model).items()
}
every_page = pytest.mark.parametrize("view", PAGES.values(), ids=PAGES.keys())
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def _templates(folder: Traversable, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for each in folder.iterdir():
        if each.is_dir():
            found |= _templates(each, f"{prefix}{each.name}/")
        elif not each.name.startswith("_"):
            found.add(prefix + each.name)
    return found


def test_every_template_belongs_to_a_view_that_is_drawn_here() -> None:
    assert _templates(resources.files("keystead.web") / "templates") == {model.template for model in MODELS}


@every_page
def test_a_page_has_a_language_a_title_and_headings_in_order(view: views.Page) -> None:
    assert outline_faults(Reading(render(view))) == []


@every_page
def test_every_field_has_a_label_and_every_reference_a_target(view: views.Page) -> None:
    assert naming_faults(Reading(render(view))) == []


@every_page
def test_a_page_keeps_to_the_policy_and_leads_nowhere_else(view: views.Page) -> None:
    assert policy_faults(Reading(render(view))) == []


@every_page
def test_a_page_and_what_it_loads_stay_below_sixty_kilobytes(view: views.Page) -> None:
    assert weight(Reading(render(view))) < PAGE_BUDGET


@every_page
def test_every_state_uses_the_name_of_the_installation(view: views.Page) -> None:
    renamed = render(replace(view, product_name="Acme Sign-in"))
    assert "Acme Sign-in" in renamed
    assert "Keystead" not in renamed


@every_model
def test_hostile_texts_stay_texts_in_every_state_of_a_page(model: type[views.Page]) -> None:
    pages = {state: render(view) for state, view in samples(model, HOSTILE).items()}
    assert any(HOSTILE in Reading(html).text for html in pages.values())
    for state, html in pages.items():
        assert "<script>" not in html, state
        assert "<img src=x" not in html, state
        assert policy_faults(Reading(html)) == [], state
