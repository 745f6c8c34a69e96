"""What operators and their machines ask: is it alive, is it ready, what does it count."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from keystead.db.engine import Database
from keystead.gate.measures import CONTENT_TYPE, Measures
from keystead.gate.transport import Arrival, Network, address_within, was_forwarded
from keystead.kernel.problems import NotFound, Problem
from keystead.oauth.service import OAuth
from keystead.tokens.revocations import RevocationFeed
from keystead.tokens.signing_keys import SigningKeys
from keystead.wire.answers import Answer
from keystead.wire.asgi import Scope
from keystead.wire.limiter import Limiter

HEALTH: Final = "/healthz"
HEALTH_IN_A_WORD: Final = "/healthzz"
"""Where the ACTIVATE SDK asks the same; it reads a JSON string."""
READY: Final = "/readyz"
METRICS: Final = "/metrics"
PATHS: Final = frozenset({HEALTH, HEALTH_IN_A_WORD, READY, METRICS})

_encode = msgspec.json.Encoder().encode


class Operations:
    """Probes and metrics; they carry no credential and may come over plain HTTP from inside the house."""

    def __init__(
        self,
        *,
        db: Database,
        signing_keys: SigningKeys,
        limiter: Limiter,
        oauth: OAuth,
        revocations: RevocationFeed,
        measures: Measures,
        remembered: Callable[[], int],
        metrics_networks: Sequence[Network],
    ) -> None:
        """Answer from these parts; metrics only to ``metrics_networks``."""
        self._db = db
        self._signing_keys = signing_keys
        self._limiter = limiter
        self._oauth = oauth
        self._revocations = revocations
        self._measures = measures
        measures.watch(polls_held=lambda: len(oauth.waiting), credentials_remembered=remembered)
        self._metrics_networks = tuple(metrics_networks)
        self.stopping = False

    async def answer(self, scope: Scope, arrival: Arrival) -> Answer:
        """Answer one of ``PATHS``. Raises NotFound where metrics may not be read."""
        if scope["path"] == HEALTH:
            return _json(200, {"status": "ok"})
        if scope["path"] == HEALTH_IN_A_WORD:
            return _json(200, "ok")
        if scope["path"] == READY:
            return await self._ready()
        if was_forwarded(scope) or not address_within(arrival.address, self._metrics_networks):
            raise NotFound("Metrics are read from the networks that the setting metrics_networks names, not from here.")
        return Answer(200, {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}, self._measures.text())

    def stop(self) -> None:
        """Say so on /readyz from now on, and answer whoever is held."""
        self.stopping = True
        self._oauth.waiting.close()
        self._revocations.close()

    async def _ready(self) -> Answer:
        """Tell whether requests can be served. A node that hears late, or counts limits by itself, still can."""
        await self._limiter.look()
        checks = {"database": "ok", "changes": "heard", "signing_keys": "ok", "limits": str(self._limiter.sharing)}
        try:
            await self._db.changes()
            if not self._db.fresh():
                checks["changes"] = "behind"
        except Problem:
            checks |= {"database": "away", "changes": "behind"}
        try:
            if not await self._signing_keys.published():
                checks["signing_keys"] = "none"
        except Problem:
            checks["signing_keys"] = "unknown"
        checks["stopping"] = "yes" if self.stopping else "no"
        ready = checks == {**checks, "database": "ok", "signing_keys": "ok", "stopping": "no"}
        return _json(200 if ready else 503, {"status": "ready" if ready else "not ready", "checks": checks})


def _json(status: int, content: Mapping[str, Any] | str) -> Answer:
    return Answer(status, {"Content-Type": "application/json", "Cache-Control": "no-store"}, _encode(content))
