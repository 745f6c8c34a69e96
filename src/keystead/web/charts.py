"""Pictures of numbers over time, drawn as SVG by ``_charts.html``: bars and lines, told in words and in a table too.

The picture has no text of its own, so that it may be stretched to any width; what its axes say stands around it. The
colours are those of the classes ``chart-1`` to ``chart-4``, in the style sheet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

WIDTH: Final = 600
"""The units of a picture from left to right, however wide it is shown."""
HEIGHT: Final = 100
"""The units of a picture from its top to its ground."""
_GAP: Final = 0.2
"""The part of its place that a bar leaves free."""
_STEPS: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Some numbers that belong together, one for each label; None where there is none. ``name`` is for the legend."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar in units of the picture; ``words`` say what it stands for, ``kind`` is the number of its series."""

    x: str
    y: str
    width: str
    height: str
    kind: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One unbroken line: ``points`` as the attribute of a polyline, ``kind`` the number of its series."""

    points: str
    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture with what stands around it.

    ``sentence`` tells in words what the picture shows. ``top`` is what its upper edge stands for, ``first`` and
    ``last`` what its ends do. ``rows`` are the same numbers as a table under ``columns``.
    """

    id: str
    title: str
    sentence: str
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    legend: tuple[str, ...] = ()
    top: str
    first: str
    last: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def view_box(self) -> str:
        """The attribute viewBox."""
        return f"0 0 {WIDTH} {HEIGHT}"


def whole(value: float) -> str:
    """Write a number without its fraction, thousands apart: 12,345."""
    return f"{value:,.0f}"


def bar_chart(
    *,
    id: str,
    title: str,
    sentence: str,
    heading: str,
    labels: Sequence[str],
    series: Sequence[Series],
    write: Callable[[float], str] = whole,
) -> Chart:
    """Return bars, one over each label; those of several series stand on top of each other.

    ``heading`` names what the labels are, ``write`` says how a number is written.
    """
    top = nice_top(max((sum(column) for column in _columns(series)), default=0))
    bars = []
    place = WIDTH / max(1, len(labels))
    for at, label in enumerate(labels):
        ground = float(HEIGHT)
        for kind, one in enumerate(series, 1):
            value = one.values[at] or 0
            height = HEIGHT * value / top
            if height:
                ground -= height
                bars.append(
                    Bar(
                        x=_number(place * (at + _GAP / 2)),
                        y=_number(ground),
                        width=_number(place * (1 - _GAP)),
                        height=_number(height),
                        kind=kind,
                        words=_words(label, one, value, write, alone=len(series) == 1),
                    )
                )
    around = _Around(id, title, sentence, heading, labels, series, write)
    return around.chart(top, bars=tuple(bars))


def line_chart(
    *,
    id: str,
    title: str,
    sentence: str,
    heading: str,
    labels: Sequence[str],
    series: Sequence[Series],
    write: Callable[[float], str] = whole,
) -> Chart:
    """Return a line for each series, broken where a value is missing; parameters as for ``bar_chart``."""
    top = nice_top(max((value for one in series for value in one.values if value is not None), default=0))
    step = WIDTH / max(1, len(labels) - 1)
    lines = []
    for kind, one in enumerate(series, 1):
        for missing, part in groupby(enumerate(one.values), key=lambda entry: entry[1] is None):
            if not missing:
                points = [(step * at, HEIGHT - HEIGHT * (value or 0) / top) for at, value in part]
                if len(points) == 1:  # a single point is drawn as a short line, or nobody would see it
                    ((x, y),) = points
                    points = [(max(0, x - step / 4), y), (min(WIDTH, x + step / 4), y)]
                lines.append(Line(points=" ".join(f"{_number(x)},{_number(y)}" for x, y in points), kind=kind))
    around = _Around(id, title, sentence, heading, labels, series, write)
    return around.chart(top, lines=tuple(lines))


def nice_top(largest: float) -> float:
    """Return a round number that is ``largest`` or somewhat more, a whole one for a whole one; 1 for nothing."""
    if largest <= 0:
        return 1
    power = 10.0 ** int(f"{largest:e}".rpartition("e")[2])
    return next((step * power for step in _STEPS if step * power >= largest), largest)


@dataclass(frozen=True, slots=True)
class _Around:
    """What stands around a picture."""

    id: str
    title: str
    sentence: str
    heading: str
    labels: Sequence[str]
    series: Sequence[Series]
    write: Callable[[float], str]

    def chart(self, top: float, *, bars: tuple[Bar, ...] = (), lines: tuple[Line, ...] = ()) -> Chart:
        """Return the picture with all of it."""
        return Chart(
            id=self.id,
            title=self.title,
            sentence=self.sentence,
            bars=bars,
            lines=lines,
            legend=tuple(one.name for one in self.series) if len(self.series) > 1 else (),
            top=self.write(top),
            first=self.labels[0] if self.labels else "",
            last=self.labels[-1] if self.labels else "",
            columns=(self.heading, *(one.name for one in self.series)),
            rows=tuple(self._row(at, label) for at, label in enumerate(self.labels)),
        )

    def _row(self, at: int, label: str) -> tuple[str, ...]:
        values = (one.values[at] for one in self.series)
        return (label, *("none" if value is None else self.write(value) for value in values))


def _columns(series: Sequence[Series]) -> list[list[float]]:
    return [[value or 0 for value in column] for column in zip(*(one.values for one in series), strict=True)]


def _words(label: str, one: Series, value: float, write: Callable[[float], str], *, alone: bool) -> str:
    return f"{label}: {write(value)}" if alone else f"{label}, {one.name}: {write(value)}"


def _number(value: float) -> str:
    """Write a coordinate: a hundredth of a unit is less than a screen shows."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
