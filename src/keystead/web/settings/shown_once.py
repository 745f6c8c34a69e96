"""The page after something secret was made, which shows it this once, and the page that says that it was shown."""

from dataclasses import dataclass, field
from typing import ClassVar

from keystead.web.frame import SettingsPage
from keystead.web.settings.snippets import Snippet


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownOnce(SettingsPage):
    """A fresh secret with the ways to use it. ``facts`` are names and values, ``close`` where one goes on to."""

    template: ClassVar[str] = "settings/key_shown_once.html"
    title: str
    lead: str
    secret: str = field(repr=False)
    snippets: tuple[Snippet, ...]
    facts: tuple[tuple[str, str], ...]
    sentence: str
    close: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBefore(SettingsPage):
    """The answer to a form that was sent before: what it made is there, and its secret is not shown again."""

    template: ClassVar[str] = "settings/key_shown_before.html"
    title: str
    sentences: tuple[str, ...]
    back: str
    back_label: str
