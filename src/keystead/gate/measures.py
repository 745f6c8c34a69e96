"""What the server counts of its requests, for ``/metrics`` (Prometheus). No label holds what a caller chose."""

import os
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

MULTIPROCESS_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Measures:
    """The counters of one process; several workers add theirs up through files."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "keystead_requests", "Requests by surface, method and status.", ("surface", "method", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "keystead_request_seconds", "Time to answer, by surface; held polls included.", ("surface",),
            buckets=_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "keystead_polls_held", "Device polls that wait for a decision.", registry=self._registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._remembered = Gauge(
            "keystead_credentials_remembered", "Credentials in the cache.", registry=self._registry,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._counted: dict[tuple[str, str, int], Counter] = {}

    def count(self, surface: str, method: str, status: int) -> None:
        """Count one answered request."""
        key = (surface, method, status)
        counter = self._counted.get(key)
        if counter is None:
            shown = method if method in _METHODS else "other"
            counter = self._counted[surface, shown, status] = self._requests.labels(surface, shown, str(status))
        counter.inc()

    def observe(self, surface: str, seconds: float) -> None:
        """Record how long an answer took."""
        self._seconds.labels(surface).observe(seconds)

    def text(self, *, polls_held: int, credentials_remembered: int) -> bytes:
        """Return everything in Prometheus's text format."""
        self._waiting.set(polls_held)
        self._remembered.set(credentials_remembered)
        if MULTIPROCESS_DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
