"""Second factors over JSON: what there is, adding an authenticator app or a passkey, and removing them.

Adding takes two requests. What the second needs of the first is sealed for this person, and for minutes, in a cookie
that only these addresses see, so that nothing waits in the database.
"""

import base64
import json
from io import BytesIO
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from keystead.activate.factor_bodies import (
    Added,
    AppCode,
    Creation,
    CreationOptions,
    FactorSettings,
    MadePasskey,
    NewApp,
    NewPasskey,
    Removal,
    Setting,
)
from keystead.activate.identity import BY_SESSION, KNOWN
from keystead.activate.shapes import ABSENT, UNKEPT, body_of, described, iso, refused
from keystead.factors.models import CHALLENGE_LIFETIME, PENDING_LIFETIME, FactorSummary, PasskeyOptions
from keystead.factors.service import Factors
from keystead.kernel.permissions import Permission
from keystead.kernel.principal import Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    CrossSite,
    FieldProblem,
    Forbidden,
    FormExpired,
    Impersonating,
    InvalidParameters,
    NotFound,
    Problem,
    SignInAgain,
    UnsupportedMediaType,
)
from keystead.kernel.secrets import Secret
from keystead.organizations.service import Organizations
from keystead.sessions.second_factors import SecondFactors
from keystead.wire.access import allow
from keystead.wire.caller import caller_of
from keystead.wire.documented import NO_STORE, documented

PATH: Final = "/api/sso/mfa"
APP_COOKIE: Final = "cloud.app"
PASSKEY_COOKIE: Final = "cloud.passkey"
APP_ID: Final = "otp"
"""The id of the authenticator app. A person has one at most, so it is the same for everybody."""
_ALL_PASSKEYS: Final = "webauthn"
_BEGIN_AGAIN: Final = (
    "Nothing is being set up here: it was begun too long ago, or the cookie that came with it was not sent. Begin "
    "again with POST {}, and send the cookie that it sets."
)
CODE_DIGITS: Final = 6
_PIXELS: Final = 6
"""The width of a module of the QR code, so that a phone reads it off any screen."""
_GUARDS: Final[dict[str, Any]] = {"path": PATH, "secure": True, "httponly": True, "samesite": "lax"}
_COOKIE_SET: Final[dict[str, Any]] = NO_STORE | {
    "Set-Cookie": {
        "description": "What the next step needs, for minutes; and nothing once it is done.",
        "required": True,
        "schema": {"type": "string"},
    }
}
_CHANGES: Final[tuple[type[Problem], ...]] = (*KNOWN, CredentialNotAllowed, CrossSite, Impersonating)


_Own = Annotated[Principal, Depends(allow(Permission.OWN_ACCOUNT))]
_Administers = Annotated[Principal, Depends(allow(Permission.ADMINISTER))]


class FactorRoutes:
    """The addresses under /api/sso/mfa that a signed-in person uses, and the one for a member who lost theirs."""

    def __init__(self, *, factors: Factors, second_factors: SecondFactors, organizations: Organizations) -> None:
        """Show what ``factors`` tells; ``second_factors`` changes one's own, ``organizations`` removes a member's."""
        self._factors = factors
        self._second_factors = second_factors
        self._organizations = organizations

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Second factors"])
        router.add_api_route(
            PATH,
            self.show,
            methods=["GET"],
            response_model=FactorSettings,
            summary="List your second factors",
            operation_id="list_second_factors",
            responses={200: {"headers": NO_STORE}, **documented(*KNOWN, CredentialNotAllowed)},
            openapi_extra=BY_SESSION,
        )
        router.add_api_route(
            PATH,
            self.remove,
            methods=["DELETE"],
            status_code=204,
            response_class=Response,
            summary="Remove second factors",
            operation_id="remove_second_factors",
            responses=documented(*_CHANGES, SignInAgain, NotFound, Conflict, UnsupportedMediaType, InvalidParameters),
            openapi_extra=described(Removal) | BY_SESSION,
        )
        router.add_api_route(
            f"{PATH}/otp",
            self.new_app,
            methods=["POST"],
            response_model=NewApp,
            summary="Begin to add an authenticator app",
            operation_id="new_authenticator_app",
            responses={200: {"headers": _COOKIE_SET}, **documented(*_CHANGES, SignInAgain, Conflict)},
            openapi_extra=BY_SESSION,
        )
        router.add_api_route(
            f"{PATH}/otp/verify",
            self.add_app,
            methods=["POST"],
            response_model=Added,
            summary="Add the authenticator app",
            operation_id="add_authenticator_app",
            responses=_added(SignInAgain),
            openapi_extra=described(AppCode) | BY_SESSION,
            **ABSENT,
        )
        self._passkeys(router)
        router.add_api_route(
            "/api/organizations/{organization}/users/{username}/mfa",
            self.remove_of_member,
            methods=["DELETE"],
            status_code=204,
            response_class=Response,
            summary="Remove a member's second factors",
            operation_id="remove_second_factors_of_member",
            responses=documented(*_CHANGES, Forbidden, NotFound, Conflict),
            openapi_extra=BY_SESSION,
        )
        return router

    def _passkeys(self, router: APIRouter) -> None:
        router.add_api_route(
            f"{PATH}/webauthn",
            self.new_passkey,
            methods=["POST"],
            response_model=NewPasskey,
            summary="Begin to add a passkey",
            operation_id="new_passkey",
            responses={200: {"headers": _COOKIE_SET}, **documented(*_CHANGES, SignInAgain)},
            openapi_extra=BY_SESSION,
            **ABSENT,
        )
        router.add_api_route(
            f"{PATH}/webauthn/verify",
            self.add_passkey,
            methods=["POST"],
            response_model=Added,
            summary="Add the passkey",
            operation_id="add_passkey",
            responses=_added(),
            openapi_extra=described(MadePasskey) | BY_SESSION,
            **ABSENT,
        )

    async def show(self, principal: _Own, response: Response) -> FactorSettings:
        """Answer your authenticator app and your passkeys."""
        response.headers.update(UNKEPT)
        summary = await self._factors.summary(principal.identity.user_id)
        return FactorSettings(
            enabled=summary.any,
            enforceWebAuthnMfa=False,
            webAuthnKeyRequiresReplacement=False,
            mfaSettings=_settings(summary),
        )

    async def new_app(self, principal: _Own, response: Response) -> NewApp:
        """Answer the secret of a new authenticator app. It is stored when a code of it was shown, within 15 minutes.

        Second factors can be changed for 15 minutes after a sign-in.
        """
        await self._second_factors.check_fresh(principal)
        identity = principal.identity
        if (await self._factors.summary(identity.user_id)).totp_since is not None:
            raise Conflict("You have an authenticator app already. Remove it before you set up another one.")
        new = self._factors.new_totp(identity.user_id, identity.email or identity.username)
        _give(response, APP_COOKIE, new.sealed, PENDING_LIFETIME)
        return NewApp(qrImage=_png(new.uri), secret=new.secret.reveal())

    async def add_app(self, request: Request, principal: _Own, response: Response) -> Added:
        """Add the app whose code this is. Every other session that was begun with a password alone ends."""
        body = await body_of(request, AppCode)
        if sum(character.isdecimal() for character in body.code) != CODE_DIGITS:
            raise refused("code", "wrong_code", "The code of an authenticator app has six digits.")
        await self._second_factors.check_fresh(principal)
        sealed, address = request.cookies.get(APP_COOKIE, ""), caller_of(request.scope).address
        try:
            codes = await self._second_factors.add_app(principal, sealed, body.code, address)
        except FormExpired:
            raise Conflict(_BEGIN_AGAIN.format(f"{PATH}/otp")) from None
        return _done(response, APP_COOKIE, "The authenticator app was added.", codes)

    async def new_passkey(self, principal: _Own, response: Response) -> NewPasskey:
        """Answer what the browser makes a passkey with, within ten minutes.

        Second factors can be changed for 15 minutes after a sign-in.
        """
        await self._second_factors.check_fresh(principal)
        identity = principal.identity
        summary = await self._factors.summary(identity.user_id)
        label = identity.email or identity.username
        options = self._factors.registration_options(identity.user_id, label, summary.passkeys)
        token = self._factors.challenge_token(principal.credential_id, options.challenge)
        _give(response, PASSKEY_COOKIE, token, CHALLENGE_LIFETIME)
        return _creation(options)

    async def add_passkey(self, request: Request, principal: _Own, response: Response) -> Added:
        """Add the passkey that was made. Every other session that was begun with a password alone ends.

        That the sign-in was a moment ago was asked when the challenge was made, which is this session's alone.
        """
        body = await body_of(request, MadePasskey)
        name, answer = self._factors.check_passkey_name(body.name), _answer_of(body.response)
        begun = request.cookies.get(PASSKEY_COOKIE, "")
        try:
            challenge = self._factors.challenge_of(principal.credential_id, begun)
        except FormExpired:
            raise Conflict(_BEGIN_AGAIN.format(f"{PATH}/webauthn")) from None
        address = caller_of(request.scope).address
        try:
            codes = await self._second_factors.add_passkey(principal, answer, challenge, name, address)
        except InvalidParameters as problem:
            raise _in_words_of_the_body(problem) from None
        return _done(response, PASSKEY_COOKIE, "The passkey was added.", codes)

    async def remove(self, request: Request, principal: _Own) -> Response:
        """Remove what the body names. With the last one the recovery codes end; sessions go on.

        Where your organization asks for a second factor, you set one up again at your next sign-in. Second factors can
        be changed for 15 minutes after a sign-in.
        """
        body = await body_of(request, Removal)
        if not body.removeAll and not body.mfaMethod:
            raise refused("mfaMethod", "missing", "Say what to remove: name it in mfaMethod, or set removeAll.")
        await self._second_factors.check_fresh(principal)
        address = caller_of(request.scope).address
        if body.removeAll:
            await self._second_factors.remove_own(principal, address)
        elif body.mfaMethod == APP_ID:
            await self._second_factors.remove_app(principal, address)
        elif body.mfaMethod == _ALL_PASSKEYS:
            await self._second_factors.remove_passkeys(principal, address)
        else:
            await self._second_factors.remove_passkey(principal, body.mfaMethod, address)
        return Response(status_code=204, headers=UNKEPT)

    async def remove_of_member(
        self, request: Request, principal: _Administers, organization: str, username: str
    ) -> Response:
        """Remove every second factor of a member who has lost theirs, and sign them out everywhere.

        For owners and admins of the organization, as long as the member belongs to no other one, and for operators.
        Only an owner does it for an owner.
        """
        address = caller_of(request.scope).address
        await self._organizations.remove_factors_of(principal, organization, username, address)
        return Response(status_code=204, headers=UNKEPT)


def _added(*more: type[Problem]) -> dict[int | str, dict[str, Any]]:
    problems = documented(*_CHANGES, *more, Conflict, UnsupportedMediaType, InvalidParameters)
    return {200: {"headers": _COOKIE_SET}, **problems}


def _settings(summary: FactorSummary) -> list[Setting]:
    found = [] if summary.totp_since is None else [_setting(APP_ID, "otp", summary.totp_since, "Authenticator app")]
    return found + [_setting(one.id, "webauthn", one.created_at, one.name) for one in summary.passkeys]


def _setting(setting_id: str, kind: Literal["otp", "webauthn"], at: int, name: str) -> Setting:
    return Setting(id=setting_id, type=kind, enabled=True, createdAt=iso(at), updatedAt=iso(at), name=name)


def _creation(options: PasskeyOptions) -> NewPasskey:
    return NewPasskey(options=CreationOptions(publicKey=Creation.model_validate_json(options.json)))


def _give(response: Response, name: str, value: str, lifetime: int) -> None:
    """Give the browser what the next request needs; only these addresses see it."""
    response.headers.update(UNKEPT)
    response.set_cookie(name, value, max_age=lifetime, **_GUARDS)


def _done(response: Response, cookie: str, message: str, codes: tuple[Secret, ...]) -> Added:
    """Take the cookie back, and tell what was done with the recovery codes if it was the first factor."""
    response.headers.update(UNKEPT)
    response.delete_cookie(cookie, **_GUARDS)
    if not codes:
        return Added(message=message)
    told = f"{message} Keep the recovery codes where you will find them: they are shown this once."
    return Added(message=told, recoveryCodes=[code.reveal() for code in codes])


def _answer_of(response: Any) -> str:
    """Return what a browser answered as JSON; programs send it as an object, or as the text of one.

    Raises InvalidParameters for what is no credential at all (W3C Web Authentication, section 5.1).
    """
    found = response
    if isinstance(response, str):
        try:
            found = json.loads(response)
        except (ValueError, RecursionError):
            found = None
    if not (isinstance(found, dict) and isinstance(found.get("id"), str) and isinstance(found.get("response"), dict)):
        raise refused("response", "passkey", "Send the credential as the browser gave it, with its id and response.")
    return json.dumps(found)


def _in_words_of_the_body(problem: InvalidParameters) -> InvalidParameters:
    """Return the refusal with the name that the answer of a passkey has in the body."""
    fields = [
        FieldProblem(one.location, "response" if one.name == "answer" else one.name, one.code, one.detail)
        for one in problem.fields
    ]
    return InvalidParameters(problem.detail, fields=fields)


def _png(text: Secret) -> str:
    """Return a QR code as a PNG in base64."""
    import segno  # noqa: PLC0415 - few processes ever draw one

    out = BytesIO()
    segno.make(text.reveal(), error="m").save(out, kind="png", scale=_PIXELS)
    return base64.b64encode(out.getvalue()).decode()
