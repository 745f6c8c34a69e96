"""What verifiers elsewhere read: the published key sets, and the list of revoked tokens, which they follow.

There are two key sets, because some clients read RSA keys alone (contract, rule 18). The list is plain ASGI, because
its requests are held.
"""

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from keystead.kernel.problems import InvalidRequest, MethodNotAllowed, RateLimited
from keystead.tokens.models import PublicKeys, RsaPublicKeys
from keystead.tokens.openapi import JWT, LONGEST_WAIT, REVOCATIONS, USUAL_WAIT
from keystead.tokens.revocations import RevocationFeed
from keystead.tokens.service import Tokens
from keystead.wire.answers import Answer
from keystead.wire.asgi import Endpoint, Ready, Receive, Scope, ready, until_gone
from keystead.wire.documented import ANYWHERE, documented
from keystead.wire.forms import parse_parameters
from keystead.wire.limiter import Limiter, limit_key_of_address
from keystead.wire.preferences import preferred_wait

LONGEST_CACHING: Final = 300
"""Seconds for which a verifier may keep a key set."""
LONGEST_OUTAGE: Final = 3_600
"""Seconds for which it may go on with that key set while the server cannot be reached (promise J1)."""

_SCHEMA: Final[dict[str, Any]] = {"response_class": Response, "tags": ["Keys"]}
_TEXT: Final = {"type": "string"}
_CACHING: Final[dict[str, Any]] = {
    "ETag": {"description": "Send it back in If-None-Match.", "required": True, "schema": _TEXT},
    "Cache-Control": {"description": "How long to keep the key set.", "required": True, "schema": _TEXT},
}
_UNCHANGED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "The key set is still the one that If-None-Match names.", "headers": _CACHING}
}
_CLIENT_GONE: Final = Answer(499, {}, b"")
"""What the log is told of a client that went away; nobody reads the answer."""
_SECONDS: Final = re.compile(r"\d{1,4}\Z", re.ASCII)


class KeySetRoutes:
    """GET /.well-known/jwks.json and GET /api/platform/keys. Both are public."""

    def __init__(self, tokens: Tokens, *, signing_key_lead: int) -> None:
        """Let verifiers keep a key set for less than the lead, so that they meet each key before it signs."""
        self._tokens = tokens
        fresh = min(LONGEST_CACHING, signing_key_lead // 2)
        stale = min(fresh, signing_key_lead // 4)  # together three quarters of the lead at most
        self._caching = (
            f"public, max-age={fresh}, stale-while-revalidate={stale}, stale-if-error={LONGEST_OUTAGE}"  # RFC 5861
        )

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        router.add_api_route(
            "/.well-known/jwks.json",
            self.jwks,
            methods=["GET"],
            summary="Every published signing key",
            operation_id="jwks",
            responses={200: {"model": PublicKeys, "headers": _CACHING}, **_UNCHANGED, **documented(*ANYWHERE)},
            **_SCHEMA,
        )
        router.add_api_route(
            "/api/platform/keys",
            self.platform_keys,
            methods=["GET"],
            summary="The published RSA signing keys",
            operation_id="platform_keys",
            responses={
                200: {"model": RsaPublicKeys, "headers": _CACHING},
                **_UNCHANGED,
                **documented(*ANYWHERE, RateLimited),
            },
            **_SCHEMA,
        )
        return router

    async def jwks(self, request: Request) -> Response:
        """Answer every published key, with which access tokens and short-term tokens are verified (RFC 7517)."""
        return self._answer(request, await self._tokens.jwks())

    async def platform_keys(self, request: Request) -> Response:
        """Answer the RSA keys alone, with which short-term tokens are verified."""
        return self._answer(request, await self._tokens.platform_keys())

    def _answer(self, request: Request, body: bytes) -> Response:
        """Answer with the key set, or with 304 when the caller has it already (RFC 9110, section 13.1.2)."""
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"Cache-Control": self._caching, "ETag": tag}
        named = ",".join(request.headers.getlist("if-none-match")).split(",")
        if {name.strip().removeprefix("W/") for name in named} & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)


class RevocationRoutes:
    """GET /.well-known/revocations, public and held while there is nothing new."""

    def __init__(self, feed: RevocationFeed, limiter: Limiter) -> None:
        """Serve ``feed``, charging each request to its address."""
        self._feed = feed
        self._limiter = limiter

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the endpoint by its exact path."""
        return {REVOCATIONS: self.revocations}

    async def revocations(self, scope: Scope, receive: Receive, address: str) -> Ready:
        """Answer what was taken back since ``after``, at once or as soon as there is something."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("Use GET here.", headers={"Allow": "GET, HEAD"})
        await self._limiter.charge("api", limit_key_of_address(address))
        asked = parse_parameters(scope["query_string"])
        seconds = seconds_to_wait(asked.get("wait"), preferred_wait(scope))
        gone = asyncio.Event()
        watching = asyncio.ensure_future(_note_when_gone(receive, gone))
        try:
            body = await self._feed.answer(asked.get("after", ""), seconds, gone)
        finally:
            watching.cancel()
        return ready(Answer(200, {"Content-Type": JWT, "Cache-Control": "no-store"}, body) if body else _CLIENT_GONE)


async def _note_when_gone(receive: Receive, gone: asyncio.Event) -> None:
    await until_gone(receive)
    gone.set()


def seconds_to_wait(asked: str | None, preferred: int | None) -> int:
    """Return for how long to hold a request. Raises InvalidRequest for a parameter that cannot be followed."""
    if asked is not None:
        if _SECONDS.match(asked) and int(asked) <= LONGEST_WAIT:
            return int(asked)
        raise InvalidRequest(f"The parameter 'wait' is a whole number of seconds from 0 to {LONGEST_WAIT}.")
    return USUAL_WAIT if preferred is None else min(preferred, LONGEST_WAIT)
