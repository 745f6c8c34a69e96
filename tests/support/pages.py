"""A page as a person sees it: its words and its forms, read out of the HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

import httpx

_CHOICES: Final = frozenset({"radio", "checkbox"})
_BUTTONS: Final = frozenset({"submit", "image", "button", "reset"})
_PICKED: Final = _CHOICES | _BUTTONS | {"select"}


class BrowserError(Exception):
    """A page did not offer what the test wanted to do there. The text says what the page said instead."""


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a form: ``kind`` is the input's type, or ``select``, ``textarea``."""

    name: str
    value: str
    kind: str
    chosen: bool = True

    def goes_with(self, answer: str | None) -> bool:
        """Tell whether a browser sends this control after a person answered ``answer``, or nothing."""
        if self.kind not in _PICKED:
            return True
        if answer is None:
            return self.chosen and self.kind not in _BUTTONS
        return self.value == answer

    def sent(self, answer: str | None) -> str:
        """Return the value that is sent after a person answered ``answer``, or nothing."""
        return self.value if answer is None else answer


@dataclass(frozen=True, slots=True)
class Form:
    """A form of a page: where it goes, how, and its controls. Of the buttons only a clicked one is sent."""

    action: str
    method: str
    controls: tuple[Control, ...]

    def names(self) -> frozenset[str]:
        """Return the names of all controls, buttons included."""
        return frozenset(control.name for control in self.controls if control.name)

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values that the form offers under ``name``, chosen or not."""
        return tuple(control.value for control in self.controls if control.name == name)

    def filled(self, answers: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return what a browser would send after a person gave ``answers``: choices are picked, texts typed.

        Raises BrowserError for an answer that the form has no control for or a choice that it does not offer.
        """
        for name, answer in answers.items():
            offered = [control for control in self.controls if control.name == name]
            if not offered:
                raise BrowserError(f"The form has no field {name!r}, only {sorted(self.names())}.")
            fixed = all(control.kind in _PICKED | {"hidden"} for control in offered)
            if fixed and answer not in self.values(name):
                raise BrowserError(f"The form offers {self.values(name)} for {name!r}, not {answer!r}.")
        return [
            (control.name, control.sent(answers.get(control.name)))
            for control in self.controls
            if control.name and control.goes_with(answers.get(control.name))
        ]


class _Reader(HTMLParser):
    """Collects the forms and the readable text of one page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.words: list[str] = []
        self._form: tuple[str, str] | None = None
        self._controls: list[Control] = []
        self._select: str | None = None
        self._textarea: list[str] | None = None
        self._textarea_name = ""
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {"script", "style", "template"}:
            self._silent += 1
        elif tag == "form":
            self._form = (given.get("action", ""), given.get("method", "get").lower())
            self._controls = []
        elif "disabled" in given:
            return
        elif tag == "input":
            self._input(given)
        elif tag == "button":
            self._controls.append(
                Control(given.get("name", ""), given.get("value", ""), given.get("type", "submit").lower())
            )
        elif tag == "select":
            self._select = given.get("name", "")
        elif tag == "option" and self._select is not None:
            first = not any(control.name == self._select for control in self._controls)
            self._controls.append(
                Control(self._select, given.get("value", ""), "select", chosen="selected" in given or first)
            )
        elif tag == "textarea":
            self._textarea, self._textarea_name = [], given.get("name", "")

    def _input(self, given: Mapping[str, str]) -> None:
        kind = given.get("type", "text").lower()
        value = given.get("value", "on" if kind in _CHOICES else "")
        chosen = kind not in _CHOICES or "checked" in given
        self._controls.append(Control(given.get("name", ""), value, kind, chosen))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style", "template"}:
            self._silent = max(0, self._silent - 1)
        elif tag == "form" and self._form is not None:
            self.forms.append(Form(self._form[0], self._form[1], tuple(self._controls)))
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea" and self._textarea is not None:
            self._controls.append(Control(self._textarea_name, "".join(self._textarea), "textarea"))
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self._textarea.append(data)
        elif not self._silent:
            self.words.extend(data.split())


class Page:
    """An answer as a person sees it: its address, status, readable words and forms."""

    def __init__(self, response: httpx.Response) -> None:
        """Read ``response``. Its forms and words are empty when it is not HTML."""
        self.response = response
        self.status = response.status_code
        self.url = str(response.url)
        self.source = response.text
        reader = _Reader()
        if response.headers.get("content-type", "").startswith("text/html"):
            reader.feed(self.source)
            reader.close()
        self.forms = tuple(reader.forms)
        self.words = " ".join(reader.words)

    @property
    def path(self) -> str:
        """The path of the page's address, without the query."""
        return urlsplit(self.url).path

    def form(self, *names: str) -> Form:
        """Return the first form with controls of all these names. Raises BrowserError if there is none."""
        for form in self.forms:
            if form.names() >= set(names):
                return form
        seen = [sorted(form.names()) for form in self.forms]
        raise BrowserError(
            f"The page {self.url} ({self.status}) has no form with {sorted(names)}, only {seen}. "
            f"It says: {self.words[:600] or self.source[:600]}"
        )
