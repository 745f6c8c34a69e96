"""The OAuth endpoints of both surfaces: plain ASGI, because polls and refreshes are the hot calls of sign-in.

Through FastAPI the same endpoint costs half as much again (``docs/decisions/token-endpoint.md``). The answers are
compact JSON, on which clients rely when they search the text. What differs between the surfaces is said in
``surfaces.py``; ``openapi.py`` describes the endpoints.
"""

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Final

import msgspec

from keystead.kernel.problems import (
    AuthorizationPending,
    InvalidClientMetadata,
    InvalidRequest,
    MethodNotAllowed,
    Problem,
    RateLimited,
    SlowDown,
    UnsupportedMediaType,
)
from keystead.oauth.models import Client, TokenRequest
from keystead.oauth.service import DEVICE_CODE as DEVICE_GRANT
from keystead.oauth.service import OAuth
from keystead.oauth.surfaces import OAuthSurface
from keystead.wire.answers import DEVICE_PAGE, Answer, answer
from keystead.wire.asgi import Endpoint, Ready, Receive, Scope, header, raw_header, read_body, ready, until_gone
from keystead.wire.forms import media_type, parse_form, required
from keystead.wire.limiter import Counter, Limiter, limit_key_of_address
from keystead.wire.preferences import preferred_wait

_encode = msgspec.json.Encoder().encode
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_HEADERS: Final = {"Content-Type": "application/json", **_NO_STORE}
_ADDRESSES: Final = 4_096
"""Addresses whose limit is kept at hand, those that were charged last."""


class OAuthRoutes:
    """The endpoints of one surface. ``public_url`` is what verification addresses begin with."""

    def __init__(self, oauth: OAuth, limiter: Limiter, public_url: str, surface: OAuthSurface) -> None:
        """Serve ``oauth``, charging each request to its address, whichever surface it came to."""
        self._oauth = oauth
        self._surface = surface
        self._kind = surface.kind
        # What nearly every poll is told, written once.
        self._pending = ready(answer(AuthorizationPending(), surface.dialect, "", lambda *_: b""))
        self._limiter = limiter
        self._public_url = public_url
        self._sights = oauth.polls.sights
        self._counter = lru_cache(maxsize=_ADDRESSES)(self._new_counter)

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the endpoints by their exact paths."""
        surface = self._surface
        found = {surface.device_authorization: self.device_code, surface.token: self.token, surface.revoke: self.revoke}
        return found if surface.register is None else {surface.register: self.register, **found}

    async def register(self, scope: Scope, receive: Receive, address: str) -> Ready:
        """Register a client (RFC 7591); the answer echoes what took effect."""
        _only_post(scope)
        await self._limiter.charge("registration", limit_key_of_address(address))
        metadata = _parse_json(await read_body(receive), header(scope, b"content-type"))
        client = await self._oauth.clients.register(metadata)
        return _ok(_registration(client), status=201)

    async def device_code(self, scope: Scope, receive: Receive, address: str) -> Ready:
        """Start a device authorization (RFC 8628, section 3.1)."""
        _only_post(scope)
        await self._limiter.charge("device_code", limit_key_of_address(address))
        form = await _form(scope, receive)
        codes = await self._oauth.devices.issue(
            required(form, "client_id"), self._surface.scope(form.get("scope")), address, form.get("device_name")
        )
        page, user_code = self._public_url + DEVICE_PAGE, codes.user_code.reveal()
        return _ok(
            {
                "device_code": codes.device_code.reveal(),
                "user_code": user_code,
                "verification_uri": page,
                "verification_uri_complete": f"{page}?user_code={user_code}",
                "expires_in": codes.expires_in,
                "interval": codes.interval,
            }
        )

    async def token(self, scope: Scope, receive: Receive, address: str) -> Ready:
        """Exchange a device code or a refresh token for tokens (RFC 6749, section 3.2).

        A poll may be held for long, and thousands of them: so nothing of the request is kept.
        """
        _only_post(scope)
        body, content_type = await read_body(receive), raw_header(scope, b"content-type")
        sight = self._sights.of(content_type, body)
        poll = self._sights.recall(sight)
        form = parse_form(body, content_type.decode("latin-1")) if poll is None else {}
        polls = poll is not None or form.get("grant_type") == DEVICE_GRANT
        if self._charged_here(address, polls=polls) is None:
            await self._charge(address, polls=polls)
        if poll is not None:
            answering = self._oauth.poll_again(poll, partial(until_gone, receive), preferred_wait(scope), self._kind)
        else:
            request = self._request(form, address, preferred_wait(scope), sight)
            answering = self._oauth.exchange(request, partial(until_gone, receive))
            del request
        del body, form, sight, poll
        scope["headers"] = []  # a kilobyte, which the server would keep for as long as the poll is held
        found = await answering
        return self._pending if found is None else _ok(self._surface.tokens(found))

    def _request(self, form: Mapping[str, str], address: str, wait: int | None, sight: bytes) -> TokenRequest:
        """Return a token request. Raises InvalidRequest when it names no grant type."""
        return TokenRequest(
            required(form, "grant_type"),
            form.get("client_id"),
            form.get("device_code"),
            form.get("refresh_token"),
            self._surface.scope(form.get("scope")),
            address,
            wait,
            sight,
            self._kind,
        )

    def _charged_here(self, address: str, *, polls: bool) -> object | None:
        """Charge a token request to its address; None when the nodes' storage is to be asked. Raises RateLimited."""
        try:
            return self._counter(address).charge()
        except RateLimited as problem:
            raise _too_many(problem, polls=polls) from None

    async def _charge(self, address: str, *, polls: bool) -> None:
        """Charge it to what the nodes share. Raises RateLimited."""
        try:
            await self._limiter.charge("token", limit_key_of_address(address))
        except RateLimited as problem:
            raise _too_many(problem, polls=polls) from None

    def _new_counter(self, address: str) -> Counter:
        return self._limiter.counter("token", limit_key_of_address(address))

    async def revoke(self, scope: Scope, receive: Receive, address: str) -> Ready:
        """End the grant behind a token; always 200, whether the token is known or not (RFC 7009, section 2.2)."""
        _only_post(scope)
        await self._limiter.charge("token", limit_key_of_address(address))
        form = await _form(scope, receive)
        names = self._surface.revoked_by
        token = next((form[name] for name in names if name in form), None)
        if token is None:
            raise InvalidRequest(f"The parameter '{names[0]}' is missing.")
        await self._oauth.grants.revoke(token, address=address)
        return ready(Answer(200, _NO_STORE, b"")) if self._surface.revoked is None else _ok(self._surface.revoked)


def _too_many(problem: RateLimited, *, polls: bool) -> Problem:
    """Return what is told of too many requests; whoever polls is told in its own words (RFC 8628, section 3.5)."""
    return SlowDown(problem.detail, headers=problem.headers) if polls else problem


def _only_post(scope: Scope) -> None:
    if scope["method"] != "POST":
        raise MethodNotAllowed("Use POST here.", headers={"Allow": "POST"})


async def _form(scope: Scope, receive: Receive) -> Mapping[str, str]:
    return parse_form(await read_body(receive), header(scope, b"content-type"))


def _parse_json(body: bytes, content_type: str) -> Any:
    if media_type(content_type) != "application/json":
        raise UnsupportedMediaType("Send the description as application/json.")
    try:
        return json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise InvalidClientMetadata("The body is not valid JSON.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("A member of the JSON object was sent more than once.")
    return found


def _ok(content: Mapping[str, Any], status: int = 200) -> Ready:
    return ready(Answer(status, _HEADERS, _encode(content)))


def _registration(client: Client) -> Mapping[str, Any]:
    return {
        "client_id": client.id,
        "client_name": client.name,
        "platform": {k: v for k, v in (("system", client.system), ("machine", client.machine)) if v},
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        "response_types": [],
        "token_endpoint_auth_method": "none",
    }
