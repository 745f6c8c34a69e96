"""Events in sentences: every type that is recorded has one, and names that people chose cannot turn them round."""

import json
import re
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import pytest

from keystead.audit.models import AuditEvent
from keystead.web.settings.events import SENTENCES, sentence

RECORDED = re.compile(r'"([a-z]+(?:-[a-z]+)*:[a-z]+(?:-[a-z]+)*)"')
ROOMS = ("accounts", "balance", "factors", "keys", "oauth", "organizations", "sessions", "tokens")


def event(event_type: str, **detail: Any) -> AuditEvent:
    """Return an event as the audit log holds it."""
    return AuditEvent("id", 1_773_480_413, event_type, "ada", "acme", "target", "192.0.2.7", json.dumps(detail))


def plain(text: str) -> str:
    """Return a sentence without the marks around names."""
    return text.replace("\u2068", "").replace("\u2069", "")


def sources(folder: Traversable) -> str:
    """Return the text of every module of a room that records events."""
    found = [each.read_text() for each in folder.iterdir() if each.name.endswith(".py")]
    return "\n".join(text for text in found if "_audit" in text)


def test_every_event_that_is_recorded_has_a_sentence() -> None:
    package = resources.files("keystead")
    recorded = {kind for room in ROOMS for kind in RECORDED.findall(sources(package / room))}
    assert len(recorded) > 30
    assert recorded - SENTENCES.keys() == set()


def test_every_sentence_reads_as_one_and_knows_what_to_say_without_names() -> None:
    for kind in SENTENCES:
        said = sentence(event(kind))
        assert re.fullmatch(r"[A-Z][^{}]+\.", said), kind
        assert ":" not in said, kind


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (event("passkey:add", name="Phone"), "Added the passkey “Phone”."),
        (event("key:create", title="CI", hint="abcd…wxyz"), "Made the API key “CI” (abcd…wxyz)."),
        (event("invitation:create", email="eve@example.com", role="admin"), "Invited eve@example.com as admin."),
        (event("balance:add", amount_cents=123_456), "Added 1,234.56 to the balance."),
        (event("session:create", known_device=True), "Signed in with a browser."),
        (event("session:create", second_factor="totp"), "Signed in with a browser, with an authenticator app."),
        (event("session:create", because="switch"), "Switched to another organization."),
        (event("some-thing:new-kind"), "Some thing: new kind."),
    ],
)
def test_an_event_is_told_with_its_names(told: AuditEvent, said: str) -> None:
    assert plain(sentence(told)) == said


def test_a_name_that_reads_from_right_to_left_stays_in_its_place() -> None:
    name = "\u0645\u0641\u062a\u0627\u062d"
    assert sentence(event("passkey:add", name=name)) == f"Added the passkey “\u2068{name}\u2069”."


@pytest.mark.parametrize("detail", ["", "[]", "null", "{", '{"name": null}', '{"name": {"x": 1}}', '{"name": "{x}"}'])
def test_a_detail_of_another_shape_is_no_fault(detail: str) -> None:
    told = AuditEvent("id", 1, "passkey:add", None, None, None, None, detail)
    assert sentence(told).startswith("Added")
