"""The plain case of the two hottest questions, ``/api/auth/session`` and ``/verify``, as one short list of checks.

It knows one answer only: yes, for a credential that is remembered. Whatever is not the plain case, every refusal
included, is None here and is judged by the door at length, which answers the same to a plain case as well.
"""

from typing import Final

from keystead.gate.authenticator import Authenticator
from keystead.gate.cache import Entry, Written
from keystead.gate.identity import session_body, verify_headers
from keystead.gate.last_use import LastUse
from keystead.gate.measures import Measures
from keystead.gate.request_ids import RequestIds
from keystead.gate.transport import Transport
from keystead.kernel.clock import Clock
from keystead.wire.asgi import Message, Scope
from keystead.wire.limiter import Limiter

SESSION: Final = "/api/auth/session"
VERIFY: Final = "/verify"
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
NO_STORE: Final = (b"cache-control", b"no-store")
_JSON: Final = (b"content-type", b"application/json")

Finished = tuple[Message, Message]
"""The two messages of an ASGI answer."""


class HotAnswers:
    """Answers those who are remembered."""

    def __init__(
        self,
        *,
        dev: bool,
        clock: Clock,
        transport: Transport,
        authenticator: Authenticator,
        limiter: Limiter,
        last_use: LastUse,
        measures: Measures,
        ids: RequestIds,
    ) -> None:
        """Count and note what is answered as the door does."""
        self._dev = dev
        self._clock = clock
        self._judge = transport.judge
        self._recall = authenticator.recall
        self._limiter = limiter
        self._note = last_use.note
        self._new_id = ids.new
        self._sessions = measures.tally(SESSION, "GET", 200)
        self._verified = measures.tally(VERIFY, "GET", 200)

    def session(self, scope: Scope) -> Finished | None:
        """Return who a credential is, or None."""
        arrival = self._judge(scope)
        if scope["method"] != "GET" or not (arrival.secure or (self._dev and arrival.loopback)):
            return None
        entry = self._recall(scope["headers"])
        if entry is None:
            return None
        counter = entry.counter
        if counter is None:
            counter = entry.counter = self._limiter.counter("api", entry.principal.credential_id)
        charged = counter.charge()
        if charged is None:
            return None
        self._note(entry.principal, self._clock.now(), arrival.address)
        written = entry.session or session_of(entry)
        headers = [*written.headers, *charged, (b"x-request-id", self._new_id())]
        if arrival.secure:
            headers.append(HSTS)
        self._sessions.number += 1
        return {"type": "http.response.start", "status": 200, "headers": headers}, written.body

    def verify(self, scope: Scope) -> Finished | None:
        """Tell a proxy who is behind a request, or return None. Raises DatabaseError."""
        arrival = self._judge(scope)
        if scope["method"] != "GET" or not (arrival.secure or (self._dev and arrival.loopback)):
            return None
        if scope["query_string"]:
            return None
        entry = self._recall(scope["headers"])
        if entry is None:
            return None
        self._note(entry.principal, self._clock.now(), arrival.address)
        written = entry.verify or verify_of(entry)
        headers = [*written.headers, (b"x-request-id", self._new_id())]
        if arrival.secure:
            headers.append(HSTS)
        self._verified.number += 1
        return {"type": "http.response.start", "status": 200, "headers": headers}, written.body


def session_of(entry: Entry) -> Written:
    """Return the answer of ``/api/auth/session``, which is written once for each entry."""
    if entry.session is None:
        entry.session = _written([_JSON, NO_STORE], session_body(entry.principal))
    return entry.session


def verify_of(entry: Entry) -> Written:
    """Return the answer of ``/verify``, which is written once for each entry."""
    if entry.verify is None:
        entry.verify = _written([*verify_headers(entry.principal), NO_STORE], b"")
    return entry.verify


def _written(headers: list[tuple[bytes, bytes]], body: bytes) -> Written:
    length = (b"content-length", b"%d" % len(body))
    return Written([*headers, NOSNIFF, length], {"type": "http.response.body", "body": body})
