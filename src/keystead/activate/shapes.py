"""What the bodies of this API share.

An optional member that has no value is absent and never null, because the SDK that reads them fails over null. Times
are ISO 8601 in UTC, because it reads no numbers there.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema
from starlette.requests import Request

from keystead.kernel.principal import Principal
from keystead.kernel.problems import FieldProblem, InvalidParameters, InvalidRequest, NotFound, UnsupportedMediaType
from keystead.wire.asgi import read_body
from keystead.wire.forms import media_type

JSON: Final = "application/json"
UNKEPT: Final = {"Cache-Control": "no-store"}
"""The header of an answer that carries a secret, or says who somebody is."""
ABSENT: Final[dict[str, Any]] = {"response_model_exclude_none": True}
"""What every route that answers a ``Shape`` is given: a member without a value is left out."""


class Shape(BaseModel):
    """The body of an answer. Its schema says of an optional member that it may be absent, not that it may be null."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        found = handler.resolve_ref_schema(schema)
        for name, member in found.get("properties", {}).items():
            found["properties"][name] = _without_null(member)
        return schema


class Sent(BaseModel):
    """The body of a request. Members that are not listed are ignored, and what was sent is never repeated (W9)."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


def iso(at: int) -> str:
    """Return Unix seconds as the wire has them: ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(at: int | None) -> str | None:
    """Return the same, or None where there is no time, which leaves the member out."""
    return None if at is None else iso(at)


S = TypeVar("S", bound=Sent)


async def body_of(request: Request, model: type[S], *, media: Collection[str] = (JSON,)) -> S:
    """Return the body of a request. Read here, so that no secret in it is part of a framework's report (W9).

    Raises UnsupportedMediaType, BodyTooLarge, InvalidRequest for what is not JSON, and InvalidParameters.
    """
    if media_type(request.headers.get("content-type", "")) not in media:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    return _read(await read_body(request.receive), model)


async def optional_body_of(request: Request, model: type[S]) -> S | None:
    """Return the same where the body may be left out; the SDK names a media type for an empty one as well."""
    body = await read_body(request.receive)
    if not body.strip():
        return None
    if media_type(request.headers.get("content-type", "")) != JSON:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    return _read(body, model)


def described(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that reads such a body by itself."""
    return {"requestBody": {"required": required, "content": {JSON: {"schema": model.model_json_schema()}}}}


def refused(field: str, code: str, sentence: str) -> InvalidParameters:
    """Return the refusal of one member of a body."""
    return InvalidParameters(sentence, fields=[FieldProblem("body", field, code, sentence)])


def check_organization(principal: Principal, name: str) -> None:
    """Raise NotFound unless this is the organization that the credential is for, whatever else there may be (K5)."""
    if name != principal.identity.organization:
        raise NotFound(
            "There is no such organization, or the credential is for another one. Name the organization that "
            "/api/auth/whoami/organization tells, or switch to the other one and use a credential from there."
        )


def _read(body: bytes, model: type[S]) -> S:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    if any(mistake["type"] == "json_invalid" for mistake in mistakes):
        raise InvalidRequest("The body is not valid JSON.")
    raise InvalidParameters(
        fields=[
            FieldProblem("body", ".".join(str(part) for part in mistake["loc"]), mistake["type"], mistake["msg"])
            for mistake in mistakes
        ]
    )


def _without_null(member: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional member as it is when it is there."""
    kinds = [one for one in member.get("anyOf", ()) if one != {"type": "null"}]
    if not kinds or len(kinds) == len(member["anyOf"]):
        return member
    kept = {name: value for name, value in member.items() if name not in {"anyOf", "default"}}
    return {**kinds[0], **kept} if len(kinds) == 1 else {**kept, "anyOf": kinds}
