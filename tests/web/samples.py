"""A page made of nothing but its view model: each in four states, so that a new page cannot be forgotten.

The fields are filled by their types. "bare" is a page with what it cannot do without and nothing else, "filled" one
with something in every field; the flags are down or up in each. Words of a ``Literal`` are tried one after another.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from importlib import import_module
from pkgutil import walk_packages
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from markupsafe import Markup

import keystead.web
from keystead.kernel.secrets import Secret
from keystead.web import views

NOW: Final = 1_773_480_413  # 14 March 2026, 09:26:53 UTC
_MOMENTS: Final = ("at", "now", "moment", "since", "until", "on", "day")
_PLACES: Final = ("url", "path", "action", "cancel", "close", "href", "link", "older", "newer", "back", "src")
_IDS: Final = ("id", "language")
_NAMES_OF_FIELDS: Final = frozenset({"ScopeBox.name"})
"""Texts that no person reads or chooses, because they name a field of a form."""
_SCALARS: Final = (str, bool, int, float, bytes, Decimal, Markup, Secret)


def view_models() -> list[type[views.Page]]:
    """Return every view model in the package that has a template."""
    for module in walk_packages(keystead.web.__path__, f"{keystead.web.__name__}."):
        import_module(module.name)
    return sorted(_below(views.Page), key=lambda model: (model.__module__, model.__name__))


def _below(model: type[views.Page]) -> set[type[views.Page]]:
    # A dataclass with slots is made anew; what it was made from is still there for a while, and is no view.
    kept = getattr(sys.modules[model.__module__], model.__name__) is model
    found = {model} if "template" in vars(model) and kept else set()
    return found.union(*(_below(each) for each in model.__subclasses__()))


class Everything(dict[str, Any]):
    """A mapping that has this value whatever it is asked for: a message at each field there is."""

    def __missing__(self, key: str) -> Any:
        return next(iter(self.values()))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value."""
        return self[key]


@dataclass
class Filler:
    """Makes values of types. ``text`` stands in every text that is no address and no word of a ``Literal``."""

    filled: bool
    flags: bool
    text: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def page(self, model: type[views.Page], **given: Any) -> views.Page:
        """Return a view of this model; ``given`` are fields with values of their own."""
        return model(**{"product_name": "Keystead", **self._fields(model, given)})

    def _fields(self, model: type, given: Mapping[str, Any]) -> dict[str, Any]:
        hints = get_type_hints(model, vars(sys.modules[model.__module__]))
        wanted = [each for each in fields(model) if each.init and each.name not in {*given, "product_name"}]
        return {**given, **{each.name: self._field(model, each, hints[each.name]) for each in wanted}}

    def _field(self, model: type, each: Field[Any], kind: Any) -> Any:
        if f"{model.__name__}.{each.name}" in _NAMES_OF_FIELDS:
            return self.value(kind, "id")
        if not self.filled and kind is not bool and each.default is not MISSING:
            return each.default
        return self.value(kind, each.name)

    def value(self, kind: Any, name: str) -> Any:
        """Return a value of the type ``kind`` for a field of this name."""
        origin, inner = get_origin(kind), get_args(kind)
        if origin is Literal:
            return inner[0]
        if origin in {UnionType, Union}:
            return self.value(next(each for each in inner if each is not NoneType), name) if self.filled else None
        if origin in {tuple, list, Sequence, frozenset, set} and (len(inner) == 1 or inner[-1] is Ellipsis):
            made = [self.value(inner[0], name) for _ in range(2 if self.filled else 0)]
            return tuple(made) if origin in {tuple, Sequence} else origin(made)
        if origin is tuple:
            return tuple(self.value(each, name) for each in inner)
        if origin in {dict, Mapping}:
            return Everything({name: self.value(inner[1], name)}) if self.filled else {}
        if is_dataclass(kind) and isinstance(kind, type):
            return kind(**self._fields(kind, {}))
        return self._scalar(kind, name)

    def _scalar(self, kind: Any, name: str) -> Any:
        if kind is bool:
            return self.flags
        if isinstance(kind, type) and issubclass(kind, Enum):
            return next(iter(kind))
        if kind is Markup:
            return Markup("<svg></svg>")
        if kind in {int, float, Decimal}:
            moment = name.rpartition("_")[2] in _MOMENTS
            return kind(NOW if moment else 3 + next(self.numbers) if self.filled else 0)
        words = self._words(name)
        return words.encode() if kind is bytes else kind(words) if kind in _SCALARS else words

    def _words(self, name: str) -> str:
        number = next(self.numbers)
        if name.rpartition("_")[2] in _PLACES:
            return f"/place/{number}?a=1&b=2"
        return f"{self.text} {number}" if name.rpartition("_")[2] not in _IDS else f"i{number}"


def samples(model: type[views.Page], text: str = "Ada & Bob") -> dict[str, views.Page]:
    """Return a page of this model in each of its states, by what the state is called."""
    found = {}
    for filled, flags in itertools.product((False, True), repeat=2):
        state = f"{'filled' if filled else 'bare'}{', flags up' if flags else ''}"
        found[state] = Filler(filled, flags, text).page(model)
    for each in fields(model):
        kind = get_type_hints(model, vars(sys.modules[model.__module__]))[each.name]
        for word in _literal(kind):
            for filled in (False, True):
                page = Filler(filled, False, text).page(model, **{each.name: word})
                found[f"{'filled' if filled else 'bare'}, {each.name} {word}"] = page
    return found


def _literal(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(word for each in get_args(kind) for word in _literal(each)) if get_origin(kind) is UnionType else ()
