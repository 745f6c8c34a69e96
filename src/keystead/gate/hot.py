"""The two hottest questions, ``/api/auth/session`` and ``/verify``: who is this credential?

Each is one short list of checks. For a credential that is remembered nothing in it waits, and little is made anew: what
can be prepared for a person, a credential or its limit is in the cache's entry.
"""

from typing import Final

from keystead.gate.authenticator import NOTHING_SENT, Authenticator
from keystead.gate.cache import Entry, Written
from keystead.gate.credentials import Headers, Presented, read_credential
from keystead.gate.entrance import READS, Entrance, only_read
from keystead.gate.identity import session_body, verify_headers
from keystead.gate.last_use import LastUse
from keystead.gate.measures import Measures
from keystead.gate.request_ids import RequestIds
from keystead.gate.transport import Arrival
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    HeadersTooLarge,
    InsufficientScope,
    InvalidRequest,
    InvalidScope,
    TwoCredentials,
    Unauthenticated,
)
from keystead.kernel.scopes import parse_scopes
from keystead.wire.asgi import Message, Scope
from keystead.wire.forms import parse_parameters
from keystead.wire.limiter import Limiter

SESSION: Final = "/api/auth/session"
OLDER_SESSION: Final = "/api/v2/auth/session"
"""The address under which older clients ask the same."""
VERIFY: Final = "/verify"
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE: Final = (b"cache-control", b"no-store")
_JSON: Final = (b"content-type", b"application/json")
_NOTHING: Final[Message] = {"type": "http.response.body", "body": b""}

Finished = tuple[Message, Message]
"""The two messages of an ASGI answer."""
Field = tuple[bytes, bytes]


class HotAnswers:
    """Answers who a credential is, to its holder and to a proxy."""

    def __init__(
        self,
        *,
        clock: Clock,
        entrance: Entrance,
        authenticator: Authenticator,
        limiter: Limiter,
        last_use: LastUse,
        measures: Measures,
        ids: RequestIds,
        api_key_prefix: str,
    ) -> None:
        """Charge, note and count what is answered."""
        self._now = clock.now
        self._entrance = entrance
        self._authenticator = authenticator
        self._limiter = limiter
        self._charge = limiter.meter("api").charge
        self._last_use = last_use
        self._measures = measures
        self._new_id = ids.new
        self._prefix = api_key_prefix
        self._sessions = measures.tally(SESSION, "GET", 200)
        self._verified = measures.tally(VERIFY, "GET", 200)

    async def session(self, scope: Scope) -> Finished:
        """Answer ``/api/auth/session``, or raise the problem that there is."""
        headers, method = scope["headers"], scope["method"]
        arrival = self._entrance.judge(scope)
        sight = self._authenticator.sight(headers)
        if not (arrival.secure or self._entrance.may_pass(arrival)):
            await self._entrance.refuse(scope, arrival)
        if method not in READS:
            raise only_read()
        entry = self._authenticator.recall(sight)
        if entry is None:
            entry = await self._authenticator.entry(self._presented(headers), sight)
        entry.window, charged = self._charge(entry.principal.credential_id, entry.window)
        if charged is None:
            charged = await self._charge_together(entry)
        self._last_use.note(entry.principal, self._now(), arrival.address)
        written = entry.person.session or _write_session(entry)
        start = self._start(written, arrival, charged)
        if method != "GET":
            self._measures.count(SESSION, method, 200)
            return start, _NOTHING
        self._sessions.number += 1
        return start, written.body

    async def verify(self, scope: Scope) -> Finished:
        """Answer a proxy that asks who is behind a request: 200, else 401 or 403, which proxies understand."""
        headers, method = scope["headers"], scope["method"]
        arrival = self._entrance.judge(scope)
        sight = self._authenticator.sight(headers)
        if not (arrival.secure or self._entrance.may_pass(arrival)):
            await self._entrance.refuse(scope, arrival)
        if method not in READS:
            raise only_read()
        entry = self._authenticator.recall(sight)
        if entry is None:
            entry = await self._authenticator.entry(self._presented_to_proxy(headers), sight)
        self._last_use.note(entry.principal, self._now(), arrival.address)
        if scope["query_string"]:
            _check_scope_asked_for(scope["query_string"], entry.principal)
        principal = entry.principal
        written = entry.person.verify.get((principal.method, principal.scopes)) or _write_verify(entry)
        if method != "GET":
            self._measures.count(VERIFY, method, 200)
        else:
            self._verified.number += 1
        return self._start(written, arrival), written.body

    def _start(self, written: Written, arrival: Arrival, charged: tuple[Field, ...] = ()) -> Message:
        headers = [*written.headers, *charged, (b"x-request-id", self._new_id())]
        if arrival.secure:
            headers.append(HSTS)
        return {"type": "http.response.start", "status": 200, "headers": headers}

    async def _charge_together(self, entry: Entry) -> tuple[Field, Field]:
        """Charge the limit that the nodes share, when this one has to ask for more of it. Raises RateLimited."""
        return (await self._limiter.charge("api", entry.principal.credential_id)).fields()

    def _presented(self, headers: Headers) -> Presented:
        """Return the credential. Raises Unauthenticated for none, and what reading it raises."""
        presented = read_credential(headers, self._prefix)
        if presented is None:
            raise Unauthenticated(NOTHING_SENT)
        return presented

    def _presented_to_proxy(self, headers: Headers) -> Presented:
        """Return the credential. Raises Unauthenticated for whatever is wrong, because proxies understand no 400."""
        try:
            return self._presented(headers)
        except (TwoCredentials, HeadersTooLarge) as problem:
            raise Unauthenticated(problem.detail) from None


def _write_session(entry: Entry) -> Written:
    """Write the answer of ``/api/auth/session``, once for each person."""
    entry.person.session = _written([_JSON, _NO_STORE], session_body(entry.principal))
    return entry.person.session


def _write_verify(entry: Entry) -> Written:
    """Write the answer of ``/verify``, once for all credentials of a person that may do the same."""
    principal = entry.principal
    written = _written([*verify_headers(principal), _NO_STORE], b"")
    entry.person.verify[principal.method, principal.scopes] = written
    return written


def _written(headers: list[Field], body: bytes) -> Written:
    length = (b"content-length", b"%d" % len(body))
    return Written([*headers, NOSNIFF, length], {"type": "http.response.body", "body": body})


def _check_scope_asked_for(query: bytes, principal: Principal) -> None:
    """Raise InsufficientScope unless the principal has the scope that a proxy asks for.

    A question that cannot be read is answered no as well: proxies take a 400 for a fault of theirs.
    """
    try:
        wanted = parse_parameters(query).get("scope", "")
        scopes = parse_scopes(wanted)
    except (InvalidRequest, InvalidScope) as problem:
        raise InsufficientScope(problem.detail) from None
    if not scopes:
        raise InsufficientScope("The question names no scope. Ask with ?scope=..., or without a query.")
    if not scopes <= principal.scopes:
        raise InsufficientScope(f"This needs the scope '{wanted}', which the credential does not have.")
