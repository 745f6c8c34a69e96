"""A person's own API keys: GET and POST /api/apikeys, DELETE /api/apikeys/{name}."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from keystead.activate.identity import BY_ANY, BY_SESSION
from keystead.activate.shapes import ABSENT, Sent, Shape, body_of, described, iso, iso_or_none, refused
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    CrossSite,
    Impersonating,
    InsufficientScope,
    InvalidParameters,
    NotFound,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from keystead.kernel.scopes import Scope, Scopes
from keystead.keys.models import LONGEST_LIFE, LONGEST_NAME, NAME_PATTERN, ApiKey
from keystead.keys.service import Keys
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, NO_STORE, documented

SCOPES: Final[Scopes] = frozenset(
    {Scope.KEYS_READ, Scope.KEYS_DELETE, Scope.SESSIONS_READ, Scope.DEVICES_READ, Scope.DEVICES_DELETE}
)
"""What a key that is made here may do, as far as its owner's role allows: all that this surface lets a key do."""
SHORTEST: Final = 900
"""Seconds that ``expiresIn`` asks for at least."""
_DAY: Final = 86_400
_LONGEST_DAYS: Final = LONGEST_LIFE // _DAY
_DAYS: Final = re.compile("[0-9]{1,9}")
_DAYS_SHOWN: Final = "^0{0,5}([0-9]{0,3}|[12][0-9]{3}|3[0-5][0-9]{2}|36[0-4][0-9]|3650)$"
"""The same for the document, with the longest life in it; a test holds it against that."""
_TWO_LIVES: Final[JsonDict] = {
    "properties": {"duration": {"type": "string", "minLength": 1}, "expiresIn": {"type": "integer"}},
    "required": ["duration", "expiresIn"],
}
"""What the document says that a body must not be."""

_REFUSED: Final = (*ANYWHERE, TwoCredentials, Unauthenticated, CredentialNotAllowed, RateLimited)


class NewOwnKey(Sent):
    """The body that asks for an API key."""

    model_config = ConfigDict(json_schema_extra={"not": _TWO_LIVES})

    title: str | None = Field(
        None,
        description="What the key is called, unique among your keys of the organization. Left out or empty, it is "
        "`token-YYYYMMDD-HHMMSS-xxxx`: the time in UTC and four random characters.",
        json_schema_extra={"pattern": f"^$|{NAME_PATTERN}", "maxLength": LONGEST_NAME},
    )
    duration: str | None = Field(
        None,
        description="In how many days the key expires, as text. Empty, `0` or left out it does not, where no policy "
        "says how long keys live. Not together with `expiresIn`.",
        json_schema_extra={"pattern": _DAYS_SHOWN},
    )
    expires_in: int | None = Field(
        None,
        alias="expiresIn",
        ge=SHORTEST,
        le=LONGEST_LIFE,
        description="The same in seconds.",
    )
    type: Literal["platform", "ai"] = Field(
        "platform",
        description="This server has no AI allocations, so `ai` is refused.",
        json_schema_extra={"enum": ["platform"]},
    )
    allocation: str | None = Field(None, description="Ignored: it belongs to AI keys.")


class OwnKey(Shape):
    """An API key of the person who asks, without its text."""

    id: str = Field(description="The id of the key.")
    title: str = Field(description="The key's title.")
    created: str = Field(description="When the key was made.", json_schema_extra={"format": "date-time"})
    type: Literal["platform"] = Field(description="What kind of key it is.")
    expiration: str | None = Field(
        None, description="When the key expires; absent for never.", json_schema_extra={"format": "date-time"}
    )
    key_hint: str = Field(
        serialization_alias="keyHint", description="The first and last characters of the key, to tell keys apart."
    )
    last_used_at: str | None = Field(
        None,
        serialization_alias="lastUsedAt",
        description="When the key was last used, at most two minutes stale; absent for not yet.",
        json_schema_extra={"format": "date-time"},
    )


class MadeKey(OwnKey):
    """An API key that was just made: the one time that its text is shown."""

    key: str = Field(description="The API key.", json_schema_extra={"format": "password"})


class KeyRoutes:
    """The three addresses of a person's own API keys."""

    def __init__(self, keys: Keys) -> None:
        """Answer from ``keys``."""
        self._keys = keys

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["API keys"])
        router.add_api_route(
            "/api/apikeys",
            self.list_own,
            methods=["GET"],
            summary="List your API keys",
            operation_id="get_apikeys",
            responses=documented(*_REFUSED, InsufficientScope),
            openapi_extra=BY_ANY,
            **ABSENT,
        )
        router.add_api_route(
            "/api/apikeys",
            self.create,
            methods=["POST"],
            response_model=MadeKey,
            summary="Create an API key",
            operation_id="create_apikey",
            responses={
                200: {"headers": NO_STORE},
                **documented(*_REFUSED, CrossSite, Impersonating, Conflict, UnsupportedMediaType, InvalidParameters),
            },
            openapi_extra={**BY_SESSION, **described(NewOwnKey)},
            **ABSENT,
        )
        router.add_api_route(
            "/api/apikeys/{name:path}",
            self.delete,
            methods=["DELETE"],
            status_code=204,
            response_class=Response,
            summary="Delete an API key",
            operation_id="delete_apikey",
            responses=documented(*_REFUSED, CrossSite, Impersonating, InsufficientScope, NotFound, Conflict),
            openapi_extra=BY_ANY,
        )
        return router

    async def list_own(self, principal: Annotated[Principal, Depends(allow(Permission.OWN_KEYS_READ))]) -> list[OwnKey]:
        """Answer the API keys that act in your name in your organization, the newest first, without their texts.

        A token needs the scope `keys:read`; every API key may list the keys of its owner.
        """
        return [OwnKey(**_shown(key)) for key in await self._keys.own.all(principal.identity)]

    async def create(
        self,
        request: Request,
        response: Response,
        principal: Annotated[Principal, Depends(allow(Permission.MAKE_KEY))],
    ) -> MadeKey:
        """Make an API key in your own name, with a browser session and with no other credential.

        It can list and delete your keys, see where you are signed in, and sign devices out. It is shown in this answer
        alone. Where a policy says how long API keys live, a longer life is refused, and so is a key without an end.
        """
        asked = await body_of(request, NewOwnKey)
        if asked.type != "platform":
            raise refused("type", "type", "This server has no AI allocations. Leave the type out, or send 'platform'.")
        lives_for, told_by = _life(asked)
        try:
            made = await self._keys.create_own_key(
                principal,
                asked.title or None,
                lives_for=lives_for,
                scopes=SCOPES,
                address=caller_of(request.scope).address,
            )
        except InvalidParameters as problem:
            raise _in_our_words(problem, {"expires_in": told_by, "expires_at": told_by}) from None
        response.headers["Cache-Control"] = "no-store"
        return MadeKey(**_shown(made.record), key=made.secret.reveal())

    async def delete(
        self,
        request: Request,
        name: Annotated[str, Path(description="The id or the title of one of your keys.")],
        principal: Annotated[Principal, Depends(allow(Permission.IDENTITY))],
    ) -> Response:
        """Delete one of your own API keys, which stops working at once, with all that was made with it.

        It is named by its id or, where no key has such an id, by its title; a title that several keys have is refused.
        A token or an API key needs the scope `keys:delete`, but an API key may always delete itself.
        """
        await self._keys.own.delete(principal, name, address=caller_of(request.scope).address)
        return Response(status_code=204)


def _life(asked: NewOwnKey) -> tuple[int | None, str]:
    """Return for how many seconds a key shall live, None for ever, and which member said so."""
    days = 0
    if asked.duration:
        if _DAYS.fullmatch(asked.duration) is None or int(asked.duration) > _LONGEST_DAYS:
            sentence = f"The duration is a whole number of days from 1 to {_LONGEST_DAYS}, or 0 for no expiry, as text."
            raise refused("duration", "days", sentence)
        days = int(asked.duration)
    if asked.expires_in is None:
        return days * _DAY or None, "duration"
    if asked.duration:
        raise refused("expiresIn", "two_lives", "Send either duration or expiresIn, not both.")
    return asked.expires_in, "expiresIn"


def _in_our_words(problem: InvalidParameters, names: Mapping[str, str]) -> InvalidParameters:
    """Return a refusal that names the members as they are called here."""
    return InvalidParameters(
        problem.detail, fields=[replace(one, name=names.get(one.name, one.name)) for one in problem.fields]
    )


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "title": key.title,
        "created": iso(key.created_at),
        "type": "platform",
        "expiration": iso_or_none(key.expires_at),
        "key_hint": key.hint,
        "last_used_at": iso_or_none(key.last_used_at),
    }
