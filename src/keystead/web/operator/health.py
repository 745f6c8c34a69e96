"""How this process does: what it is, whether it hears of changes, and the last hour of its requests."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Final, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead import __version__
from keystead.db import Database
from keystead.gate.history import History, Minute
from keystead.kernel.problems import Problem
from keystead.kernel.settings import Settings
from keystead.web.asking import operator
from keystead.web.charts import Chart, Series, bar_chart, line_chart, whole
from keystead.web.frame import OPERATOR, Frames, SettingsPage, page
from keystead.web.render import span_words

PATH: Final = f"{OPERATOR}/health"
_HEADING: Final = "Until (UTC)"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPage(SettingsPage):
    """What the operator sees. ``feed`` says how changes are heard of; ``since`` is in Unix seconds.

    ``failed`` is how many requests were answered with 5xx in the last hour.
    """

    template: ClassVar[str] = "operator/health.html"
    version: str
    since: int
    database: str
    feed: Literal["heard", "behind", "away"]
    process: int
    several_workers: bool
    failed: int
    charts: tuple[Chart, ...]


class HealthPages:
    """The page ``/settings/operator/health``."""

    def __init__(self, *, frames: Frames, history: History, db: Database, settings: Settings) -> None:
        """Show the minutes of ``history``."""
        self._frames = frames
        self._history = history
        self._db = db
        self._database = "SQLite, a file on this machine" if settings.database_url is None else "PostgreSQL"

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        return router

    async def show(self, request: Request) -> Response:
        """Show how this process does."""
        visitor = operator(self._frames, request)
        *minutes, _ = self._history.minutes()  # the one that has begun would look like a quiet one
        hour = self._history.whole()
        return page(
            HealthPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                version=__version__,
                since=self._history.began,
                database=self._database,
                feed=await self._feed(),
                process=os.getpid(),
                several_workers=self._history.several_workers,
                failed=hour.failed,
                charts=charts(minutes, hour) if minutes else (),
            )
        )

    async def _feed(self) -> Literal["heard", "behind", "away"]:
        try:
            await self._db.changes()
            return "heard" if self._db.fresh() else "behind"
        except Problem:
            return "away"


def charts(minutes: Sequence[Minute], hour: Minute) -> tuple[Chart, ...]:
    """Return the pictures of these minutes, and of the stretch that they are together."""
    labels = [_clock(minute.ends) for minute in minutes]
    span = span_words(hour.ends - hour.begins)
    busiest = max(minute.requests for minute in minutes)
    return (
        bar_chart(
            id="requests",
            title="Requests a minute",
            sentence=f"{whole(hour.requests)} requests in {span}; {whole(busiest)} in the busiest minute.",
            heading=_HEADING,
            labels=labels,
            series=[Series(name="Requests", values=[minute.requests for minute in minutes])],
        ),
        bar_chart(
            id="refusals",
            title="Refused and failed requests a minute",
            sentence=_refusals(hour, span),
            heading=_HEADING,
            labels=labels,
            series=[
                Series(name="Refused (4xx)", values=[minute.refused for minute in minutes]),
                Series(name="Failed (5xx)", values=[minute.failed for minute in minutes]),
            ],
        ),
        line_chart(
            id="latency",
            title="Time to answer",
            sentence=_latency(hour, span),
            heading=_HEADING,
            labels=labels,
            series=[
                Series(name="Half within (p50)", values=[minute.p50 for minute in minutes]),
                Series(name="95 % within (p95)", values=[minute.p95 for minute in minutes]),
                Series(name="99 % within (p99)", values=[minute.p99 for minute in minutes]),
            ],
            write=milliseconds,
        ),
    )


def milliseconds(seconds: float) -> str:
    """Write a duration: 2.5 ms, 120 ms."""
    value = seconds * 1_000
    return f"{value:.1f}".removesuffix(".0") + " ms" if value < 100 else f"{value:,.0f} ms"


def _refusals(hour: Minute, span: str) -> str:
    if not hour.refused and not hour.failed:
        return f"Nothing was refused and nothing failed in {span}."
    return f"{whole(hour.refused)} refused, for the caller to mend, and {whole(hour.failed)} failed in {span}."


def _latency(hour: Minute, span: str) -> str:
    if hour.p50 is None or hour.p95 is None or hour.p99 is None:
        return f"No page and no call of an API was timed in {span}."
    return (
        f"In {span}, half of the answers came within {milliseconds(hour.p50)}, 95 % within {milliseconds(hour.p95)} "
        f"and 99 % within {milliseconds(hour.p99)}."
    )


def _clock(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")
