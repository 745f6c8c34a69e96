"""Policies: what an organization, or the whole installation, asks of sign-ins and of API keys."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import Field, TypeAdapter, ValidationError

from keystead.accounts.models import Policies
from keystead.accounts.policies import stricter
from keystead.activate.identity import BY_ANY, BY_SESSION
from keystead.activate.shapes import ABSENT, JSON, Shape, check_organization
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    Impersonating,
    InvalidParameters,
    InvalidRequest,
    NotFound,
    Problem,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from keystead.organizations.models import LIFE, LONGEST_POLICY_DAYS, POLICY_NAMES
from keystead.organizations.policies import value_of
from keystead.organizations.service import Organizations
from keystead.wire.access import allow
from keystead.wire.asgi import read_body
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, documented
from keystead.wire.forms import media_type

_OF_ORGANIZATION: Final = "/api/organizations/{organization}/policies"
_OF_PLATFORM: Final = "/api/platform/policies"
_PLACES: Final = {"organization": "an organization", "platform": "the installation"}
Handler = Callable[..., Awaitable[Any]]
_READ: Final = (*ANYWHERE, TwoCredentials, Unauthenticated, CredentialNotAllowed, Forbidden, RateLimited)
_CHANGED: Final = (*_READ, CrossSite, Impersonating, NotFound)
_LIFE_UNSET: Final = (*_READ, CrossSite, Impersonating)
_VALUE: Final[TypeAdapter[int | bool | float]] = TypeAdapter(int | bool | float)
_LIFE: Final = next(name for name, field in POLICY_NAMES.items() if field == LIFE)
_DAYS_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "Whole days, without an object around them; 0 for no limit.",
        "content": {JSON: {"schema": {"type": "integer", "minimum": 0, "maximum": LONGEST_POLICY_DAYS}}},
    }
}
_FLAG_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "Whether the policy is on, without an object around it.",
        "content": {JSON: {"schema": {"type": "boolean"}}},
    }
}
_MEANINGS: Final = (
    "`max-api-key-ttl`: how many days an API key that is made from now on lives at most. `enforce-mfa`: nobody signs "
    "in with a password alone. `disable-password-login`: nobody signs in with a password; passkeys let people in. "
    "`disable-device-login`: nobody signs in a device any more."
)

_Name = Annotated[
    str, Path(description=_MEANINGS, json_schema_extra={"enum": [name for name in POLICY_NAMES if name != _LIFE]})
]
_Organization = Annotated[str, Path(description="The name of the organization that the credential is for.")]
_Reader = Annotated[Principal, Depends(allow(Permission.POLICIES_READ))]
_Administrator = Annotated[Principal, Depends(allow(Permission.ADMINISTER))]


class ShownPolicy(Shape):
    """A policy that counts."""

    level: Literal["organization", "platform"] = Field(description="Who asks for it.")
    name: str = Field(description="The name of the policy.")
    value: int | bool = Field(description="Whole days for `max-api-key-ttl`, otherwise whether it is on.")


class PolicyRoutes:
    """The policies of the caller's organization, and those of the installation."""

    def __init__(self, organizations: Organizations) -> None:
        """Show and set what ``organizations`` knows."""
        self._organizations = organizations

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Policies"])
        self._add_list(router, _OF_ORGANIZATION, "organization", self.of_organization, (*_READ, NotFound))
        self._add_list(router, _OF_PLATFORM, "platform", self.of_platform, _READ)
        for at, kind, life, flag, no_life in (
            (
                _OF_ORGANIZATION,
                "organization",
                (self.set_life_of_organization, self.unset_life_of_organization),
                (self.set_of_organization, self.unset_of_organization),
                _CHANGED,
            ),
            (
                _OF_PLATFORM,
                "platform",
                (self.set_life_of_platform, self.unset_life_of_platform),
                (self.set_of_platform, self.unset_of_platform),
                _LIFE_UNSET,
            ),
        ):
            self._add_policy(
                router, f"{at}/{_LIFE}", f"{kind}_max_api_key_ttl", life, refusals=no_life, body=_DAYS_BODY
            )
            self._add_policy(router, at + "/{name}", kind, flag, refusals=_CHANGED, body=_FLAG_BODY)
        return router

    def _add_list(
        self, router: APIRouter, path: str, kind: str, show: Handler, refusals: tuple[type[Problem], ...]
    ) -> None:
        router.add_api_route(
            path,
            show,
            methods=["GET"],
            summary=f"List the policies of {_PLACES[kind]}",
            operation_id=f"get_{kind}_policies",
            responses=documented(*refusals),
            openapi_extra=BY_ANY,
            **ABSENT,
        )

    def _add_policy(
        self,
        router: APIRouter,
        path: str,
        kind: str,
        handlers: tuple[Handler, Handler],
        *,
        refusals: tuple[type[Problem], ...],
        body: dict[str, Any],
    ) -> None:
        """Add setting and unsetting at an address, by these two handlers."""
        of, days = _PLACES[kind.partition("_")[0]], body is _DAYS_BODY
        what = f"how long API keys of {of} live" if days else f"a policy of {of}"
        router.add_api_route(
            path,
            handlers[0],
            methods=["POST"],
            response_model=dict[str, ShownPolicy],
            summary=f"Set {what}" if days else f"Turn {what} on or off",
            operation_id=f"set_{kind}_policy",
            responses=documented(*refusals, UnsupportedMediaType, InvalidParameters),
            openapi_extra=BY_SESSION | body,
            **ABSENT,
        )
        router.add_api_route(
            path,
            handlers[1],
            methods=["DELETE"],
            status_code=204,
            response_class=Response,
            summary=f"Unset {what}",
            operation_id=f"delete_{kind}_policy",
            responses=documented(*refusals),
            openapi_extra=BY_SESSION,
        )

    async def of_organization(self, organization: _Organization, principal: _Reader) -> dict[str, ShownPolicy]:
        """Answer the policies that count in your organization, by name; those that are not set are left out.

        Of a policy that the installation has as well the stricter one counts. For owners and admins.
        """
        check_organization(principal, organization)
        own, platform = await self._organizations.policies_for(principal)
        return {name: _shown(name, own, platform) for name in _set_ones(stricter(own, platform))}

    async def set_life_of_organization(
        self, request: Request, organization: _Organization, principal: _Administrator
    ) -> dict[str, ShownPolicy]:
        """Set how many days an API key that is made from now on lives at most, and answer what counts now.

        For owners and admins. The installation's policy may be stricter.
        """
        return await self.set_of_organization(request, organization, _LIFE, principal)

    async def set_of_organization(
        self, request: Request, organization: _Organization, name: _Name, principal: _Administrator
    ) -> dict[str, ShownPolicy]:
        """Turn a policy of your organization on or off and answer what counts now; the installation's may be stricter.

        For owners and admins. `enforce-mfa` needs a session that was begun with a second factor, and ends those that
        were not; `disable-password-login` needs one that was begun with a passkey.
        """
        value = await _value(request, name)
        check_organization(principal, organization)
        own, platform = await self._organizations.change_policy(
            principal, name, value, caller_of(request.scope).address
        )
        return {name: _shown(name, own, platform)}

    async def unset_of_organization(
        self, request: Request, organization: _Organization, name: _Name, principal: _Administrator
    ) -> Response:
        """Unset a policy of your organization; the installation's goes on. One that is not set is no mistake."""
        check_organization(principal, organization)
        await self._organizations.change_policy(principal, name, 0, caller_of(request.scope).address)
        return Response(status_code=204)

    async def unset_life_of_organization(
        self, request: Request, organization: _Organization, principal: _Administrator
    ) -> Response:
        """Unset the policy of your organization; the installation's goes on. One that is not set is no mistake."""
        return await self.unset_of_organization(request, organization, _LIFE, principal)

    async def of_platform(self, principal: _Reader) -> dict[str, ShownPolicy]:
        """Answer the policies of the installation, by name; those that are not set are left out. For operators."""
        platform = await self._organizations.platform_policies_for(principal)
        return {name: _shown(name, None, platform) for name in _set_ones(platform)}

    async def set_life_of_platform(self, request: Request, principal: _Administrator) -> dict[str, ShownPolicy]:
        """Set how many days an API key that is made from now on lives at most, in every organization. For operators."""
        return await self.set_of_platform(request, _LIFE, principal)

    async def set_of_platform(self, request: Request, name: _Name, principal: _Administrator) -> dict[str, ShownPolicy]:
        """Turn a policy of the installation on or off, which counts in every organization. For operators.

        `enforce-mfa` needs a session that was begun with a second factor, and ends those that were not;
        `disable-password-login` needs one that was begun with a passkey.
        """
        value = await _value(request, name)
        platform = await self._organizations.change_platform_policy(
            principal, name, value, caller_of(request.scope).address
        )
        return {name: _shown(name, None, platform)}

    async def unset_of_platform(self, request: Request, name: _Name, principal: _Administrator) -> Response:
        """Unset a policy of the installation; those of organizations go on. One that is not set is no mistake."""
        await self._organizations.change_platform_policy(principal, name, 0, caller_of(request.scope).address)
        return Response(status_code=204)

    async def unset_life_of_platform(self, request: Request, principal: _Administrator) -> Response:
        """Unset the policy of the installation; those of organizations go on. One that is not set is no mistake."""
        return await self.unset_of_platform(request, _LIFE, principal)


def _set_ones(policies: Policies) -> list[str]:
    return [name for name in POLICY_NAMES if value_of(policies, name)]


def _shown(name: str, own: Policies | None, platform: Policies) -> ShownPolicy:
    """Return a policy as it counts, and who asks for it; what nobody asks for is said of those who were asked."""
    value = value_of(platform if own is None else stricter(own, platform), name)
    by_platform = own is None or (bool(value) and value == value_of(platform, name))
    return ShownPolicy(level="platform" if by_platform else "organization", name=name, value=value)


async def _value(request: Request, name: str) -> int:
    """Return the value that a body holds, with nothing around it, of the type that the policy of this name has.

    Raises NotFound for a name that is none, UnsupportedMediaType, BodyTooLarge, InvalidRequest and InvalidParameters.
    """
    field = POLICY_NAMES.get(name)
    if media_type(request.headers.get("content-type", "")) != JSON:
        raise UnsupportedMediaType(f"Send the body as {JSON}.")
    body = await read_body(request.receive)
    if field is None:
        return 0  # the service says which names there are
    days = field == LIFE
    expected = f"a whole number of days from 0 to {LONGEST_POLICY_DAYS}" if days else "true or false"
    sentence = f"The body of {name} is {expected}, as JSON and with nothing around it."
    try:
        value = _VALUE.validate_json(body, strict=True)
    except ValidationError as error:
        if any(mistake["type"] == "json_invalid" for mistake in error.errors(include_input=False)):
            raise InvalidRequest("The body is not valid JSON.") from None
        raise InvalidParameters(sentence) from None
    # What a schema calls an integer may be written as 90.0.
    if isinstance(value, bool) is days or value != value // 1 or not 0 <= value <= LONGEST_POLICY_DAYS:
        raise InvalidParameters(sentence)
    return int(value)
