"""Passwords: changing one's own, choosing another one by a letter, and setting a member's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Final
from unicodedata import normalize

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field, SecretStr
from pydantic.config import JsonDict

from keystead.activate.identity import BY_SESSION
from keystead.activate.shapes import UNKEPT, Sent, body_of, described, refused
from keystead.activate.steps import COOKIE_SET
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    InvalidParameters,
    NotFound,
    RateLimited,
    TwoCredentials,
    Unauthenticated,
    UnsupportedMediaType,
)
from keystead.kernel.secrets import Secret
from keystead.organizations.service import Organizations
from keystead.sessions.cookies import DEVICE_COOKIE, set_cookies
from keystead.sessions.recovery import Recovery
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, documented
from keystead.wire.origin import check_same_site

FEWEST_CHARACTERS: Final = 15
_TOO_EASY: Final = (
    f"A new password has at least {FEWEST_CHARACTERS} characters, among them a lower-case and an upper-case letter, a "
    "digit and a special character."
)
_LINK_OVER: Final = (
    "This token is not good any more, or never was. It works once, for an hour, and only while the password is the one "
    "that it was made for. Ask for another letter."
)
_LEAST: Final[JsonDict] = {"minLength": FEWEST_CHARACTERS}
_CALLED: Final = {"old_password": "oldPassword", "password": "newPassword"}
_BODY: Final = (*ANYWHERE, CrossSite, UnsupportedMediaType, InvalidParameters, RateLimited)
_SIGNED_IN: Final = (*_BODY, TwoCredentials, Unauthenticated, CredentialNotAllowed)


class PasswordChange(Sent):
    """The body of a change of one's own password."""

    old: SecretStr = Field(alias="oldPassword", description="The present password.", max_length=1_024)
    new: SecretStr = Field(alias="newPassword", description=_TOO_EASY, max_length=1_024, json_schema_extra=_LEAST)


class PasswordForgotten(Sent):
    """The body of a request for a letter."""

    username: str = Field(description="The user name or the e-mail address.", min_length=1, max_length=320)


class PasswordChosen(Sent):
    """The body with which somebody whom a letter let in chooses a password."""

    token: SecretStr = Field(description="The end of the link's path in the letter.", max_length=1_024)
    new: SecretStr = Field(alias="newPassword", description=_TOO_EASY, max_length=1_024, json_schema_extra=_LEAST)


class PasswordSet(Sent):
    """The body that sets a member's password."""

    new: SecretStr = Field(alias="newPassword", description=_TOO_EASY, max_length=1_024, json_schema_extra=_LEAST)
    again: SecretStr = Field(alias="confirmPassword", description="The same once more.", max_length=1_024)


class PasswordRoutes:
    """What /api/sso/password and the passwords of members answer."""

    def __init__(
        self, *, recovery: Recovery, organizations: Organizations, session_lifetime: int, public_url: str
    ) -> None:
        """Give browsers sessions for ``session_lifetime`` seconds."""
        self._recovery = recovery
        self._organizations = organizations
        self._lifetime = session_lifetime
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Passwords"])
        router.add_api_route(
            "/api/sso/password",
            self.change,
            methods=["PATCH"],
            status_code=204,
            response_class=Response,
            summary="Change your password",
            operation_id="change_password",
            responses={204: {"headers": COOKIE_SET}, **documented(*_SIGNED_IN)},
            openapi_extra=described(PasswordChange) | BY_SESSION,
        )
        router.add_api_route(
            "/api/sso/password/reset",
            self.forgot,
            methods=["POST"],
            status_code=204,
            response_class=Response,
            summary="Ask for a letter that leads to a new password",
            operation_id="forgot_password",
            responses=documented(*_BODY),
            openapi_extra=described(PasswordForgotten),
        )
        router.add_api_route(
            "/api/sso/password/reset/verify",
            self.choose,
            methods=["POST"],
            status_code=204,
            response_class=Response,
            summary="Choose a new password",
            operation_id="choose_password",
            responses=documented(*_BODY, Forbidden),
            openapi_extra=described(PasswordChosen),
        )
        router.add_api_route(
            "/api/organizations/{organization}/users/{user}/password",
            self.set,
            methods=["PUT"],
            status_code=204,
            response_class=Response,
            summary="Set a member's password",
            operation_id="set_password",
            responses=documented(*_SIGNED_IN, Forbidden, NotFound, Conflict),
            openapi_extra=described(PasswordSet) | BY_SESSION,
        )
        return router

    async def change(
        self,
        request: Request,
        principal: Annotated[Principal, Depends(allow(Permission.OWN_ACCOUNT))],
    ) -> Response:
        """Change one's password: every other session ends, and this one goes on under another cookie."""
        body = await body_of(request, PasswordChange)
        new = check_password(_secret(body.new), "newPassword")
        with _named_as_here():
            renewed = await self._recovery.change(
                principal,
                _secret(body.old),
                new,
                caller_of(request.scope).address,
                device_cookie=request.cookies.get(DEVICE_COOKIE),
            )
        response = Response(status_code=204, headers=UNKEPT)
        set_cookies(response, renewed, lifetime=self._lifetime)
        return response

    async def forgot(self, request: Request) -> Response:
        """Send a letter with a link to whoever has this name, if anybody: the answer is the same for every name."""
        check_same_site(request.headers, self._public_url)
        body = await body_of(request, PasswordForgotten)
        await self._recovery.forgot_by_name(body.username, address=caller_of(request.scope).address)
        return Response(status_code=204)

    async def choose(self, request: Request) -> Response:
        """Give somebody a new password by the link of a letter, and end all their sessions.

        A token that is not good any more is 422 on `token`. Where a password lets nobody in to any of the person's
        organizations, nothing is changed.
        """
        check_same_site(request.headers, self._public_url)
        body = await body_of(request, PasswordChosen)
        new = check_password(_secret(body.new), "newPassword")
        with _named_as_here():
            done = await self._recovery.reset(
                body.token.get_secret_value(), new, address=caller_of(request.scope).address
            )
        if not done:
            raise refused("token", "over", _LINK_OVER)
        return Response(status_code=204)

    async def set(
        self,
        request: Request,
        organization: str,
        user: str,
        principal: Annotated[Principal, Depends(allow(Permission.ADMINISTER))],
    ) -> Response:
        """Set the password of somebody who belongs to this organization and to no other, and end all their sessions.

        Owners and admins may do so in their own organization, but not to those who may do more than they; operators of
        the installation may do so to anybody. The person gets a letter.
        """
        body = await body_of(request, PasswordSet)
        new = check_password(_secret(body.new), "newPassword")
        if _secret(body.again) != new:
            raise refused("confirmPassword", "different", "The two passwords are not the same. Type it again.")
        with _named_as_here():
            await self._organizations.set_password(
                principal, organization, user, new, address=caller_of(request.scope).address
            )
        return Response(status_code=204)


def check_password(new: Secret, field: str) -> Secret:
    """Return a password that this surface lets somebody set. Raises InvalidParameters on ``field``.

    The rule is the one that the SDK states; the house's own, about very common passwords for instance, comes besides.
    """
    text = normalize("NFC", new.reveal())
    wanted = (
        len(text) >= FEWEST_CHARACTERS,
        any(c.islower() for c in text),
        any(c.isupper() for c in text),
        any(c.isdecimal() for c in text),
        any(not c.isalnum() for c in text),
    )
    if not all(wanted):
        raise refused(field, "too_easy", _TOO_EASY)
    return new


def _secret(sent: SecretStr) -> Secret:
    return Secret(sent.get_secret_value())


@contextmanager
def _named_as_here(names: Mapping[str, str] = _CALLED) -> Iterator[None]:
    """Let the services' refusals name the members of the bodies of this surface."""
    try:
        yield
    except InvalidParameters as problem:
        fields = [replace(one, name=names.get(one.name, one.name)) for one in problem.fields]
        raise InvalidParameters(problem.detail, fields=fields) from None
