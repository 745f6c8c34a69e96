"""The second step of a sign-in over JSON: the same steps as on the pages, and cookies of their own."""

import json
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request, Security
from fastapi.responses import Response
from fastapi.security import APIKeyCookie
from pydantic import Field

from keystead.activate.shapes import ABSENT, JSON, UNKEPT, Sent, Shape, body_of, described, refused
from keystead.kernel.permissions import Permission, check_permission
from keystead.kernel.problems import (
    CredentialNotAllowed,
    CrossSite,
    Forbidden,
    InvalidParameters,
    NotFound,
    RateLimited,
    SecondFactorRequired,
    SignInOver,
    UnsupportedMediaType,
    WrongSignIn,
)
from keystead.kernel.secrets import Secret
from keystead.sessions.cookies import (
    DEVICE_COOKIE,
    MFA_CHALLENGE_COOKIE,
    MFA_COOKIE,
    SESSION_COOKIE,
    clear_mfa_cookies,
    mfa_cookie_header,
    set_cookies,
    set_mfa_challenge_cookie,
)
from keystead.sessions.models import OpenStep, PasskeyQuestion, Refused, SignedIn, StepNeeded, Visit
from keystead.sessions.service import Sessions
from keystead.wire.caller import caller_of
from keystead.wire.documented import ANYWHERE, NO_STORE, documented
from keystead.wire.json_bodies import without_duplicates
from keystead.wire.limiter import Limiter, limit_key_of_address
from keystead.wire.origin import check_same_site

OCTETS: Final = "application/octet-stream"
COOKIE_SET: Final[dict[str, Any]] = NO_STORE | {
    "Set-Cookie": {"description": "The session begins or ends.", "required": True, "schema": {"type": "string"}}
}
MUST_ENROL: Final = (
    "Your organization asks its members for a second factor, and you have none yet. Sign in on the sign-in page in a "
    "browser, which sets one up."
)
_WRONG: Final = {
    "otp": "This code is not right, or was used already. Wait for the next one, and check that the clock of the phone "
    "is right.",
    "recovery": "This is not one of your recovery codes, or it was used already. Each works once.",
    "webauthn": "The passkey did not fit your account, or it answered another question. Ask for another question, or "
    "use something else.",
}
_step = APIKeyCookie(
    name=MFA_COOKIE, scheme_name="step", description="The step of a sign-in that is not finished.", auto_error=False
)
_session = APIKeyCookie(
    name=SESSION_COOKIE, scheme_name="cookie", description="The session that a sign-in begins.", auto_error=False
)
_AS_JSON: Final = {"headers": [(b"content-type", JSON.encode())]}


class StepSignIn(Sent):
    """The body of the second step."""

    method: Literal["otp", "recovery", "webauthn"] = Field(
        alias="mfaMethod", description="An authenticator app, a recovery code, or a passkey."
    )
    values: dict[str, Any] = Field(
        description='For an app and for a recovery code {"code": "123456"}; for a passkey what '
        "`navigator.credentials.get` gave, as JSON."
    )


class AllowedPasskey(Shape):
    """One of the person's passkeys."""

    id: str = Field(description="What its authenticator calls it, in base64url.")
    type: Literal["public-key"] = Field(description="The kind of credential.")
    transports: list[str] | None = Field(default=None, description="How it is reached.")


class PasskeyRequest(Shape):
    """What `navigator.credentials.get` is asked (W3C Web Authentication, level 3, section 5.5)."""

    challenge: str = Field(description="What the passkey signs, in base64url.")
    party: str = Field(alias="rpId", description="The host to which the passkeys belong.")
    timeout: int = Field(description="How long the browser waits, in milliseconds.")
    verification: str = Field(alias="userVerification", description="Whether the passkey checks that it is its owner.")
    allowed: list[AllowedPasskey] = Field(alias="allowCredentials", description="The person's passkeys.")
    hints: list[str] | None = Field(default=None, description="Which kinds of authenticators are preferred.")


class PublicKey(Shape):
    """What `navigator.credentials.get` takes."""

    public_key: PasskeyRequest = Field(alias="publicKey", description="The question for passkeys.")


class PasskeyQuestionShape(Shape):
    """The question for a person's passkeys."""

    options: PublicKey = Field(description="What `navigator.credentials.get` takes.")


class StepRoutes:
    """POST /api/sso/mfa/login and POST /api/sso/mfa/webauthn/authenticate."""

    def __init__(self, sessions: Sessions, limiter: Limiter, *, public_url: str) -> None:
        """Go on with the steps of ``sessions``; ``limiter`` counts who asks without one."""
        self._sessions = sessions
        self._steps = sessions.steps
        self._limiter = limiter
        self._public_url = public_url

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["Sign-in"])
        router.add_api_route(
            "/api/sso/mfa/login",
            self.finish,
            methods=["POST"],
            status_code=204,
            response_class=Response,
            summary="Show a second factor",
            operation_id="sign_in_with_second_factor",
            responses={
                204: {"headers": COOKIE_SET},
                **documented(
                    *ANYWHERE,
                    WrongSignIn,
                    SignInOver,
                    CrossSite,
                    Forbidden,
                    SecondFactorRequired,
                    UnsupportedMediaType,
                    InvalidParameters,
                    RateLimited,
                ),
            },
            openapi_extra=described(StepSignIn),
        )
        router.add_api_route(
            "/api/sso/mfa/webauthn/authenticate",
            self.ask,
            methods=["POST"],
            response_model=PasskeyQuestionShape,
            **ABSENT,
            summary="Ask for a passkey",
            operation_id="ask_for_passkey",
            responses={
                200: {"headers": COOKIE_SET},
                **documented(
                    *ANYWHERE, SignInOver, CrossSite, SecondFactorRequired, CredentialNotAllowed, NotFound, RateLimited
                ),
            },
        )
        return router

    async def finish(self, request: Request) -> Response:
        """Go on with the sign-in whose step is in the cookie `cloud.mfa`, and begin the session.

        The cookie comes with the answer `second_factor_required` of the sign-in with a password. The body is read as
        `application/octet-stream` as well. After some wrong codes, and after ten minutes, the sign-in begins anew.
        """
        check_same_site(request.headers, self._public_url)
        body = await body_of(await _with_one_meaning(request), StepSignIn, media=(JSON, OCTETS))
        self._check_set_up(await self._step(request))
        begun = await self._shown(request, body)
        if begun is Refused.OVER:
            raise SignInOver()
        if begun is Refused.WRONG:
            raise WrongSignIn(_WRONG[body.method])
        response = Response(status_code=204, headers=UNKEPT)
        set_cookies(response, begun, lifetime=self._sessions.lifetime)
        clear_mfa_cookies(response)
        return response

    async def ask(
        self,
        request: Request,
        response: Response,
        _: Annotated[str | None, Security(_step)],
        __: Annotated[str | None, Security(_session)],
    ) -> PasskeyQuestionShape:
        """Return what to ask the passkeys of whoever signs in, or of whoever is signed in.

        The answer of the passkey goes to `/api/sso/mfa/login`, with the cookie `cloud.mfa.challenge` that comes with
        the question.
        """
        check_same_site(request.headers, self._public_url)
        question = await self._question(request)
        set_mfa_challenge_cookie(response, question.token)
        response.headers.update(UNKEPT)
        return PasskeyQuestionShape.model_validate({"options": {"publicKey": json.loads(question.options)}})

    async def _question(self, request: Request) -> PasskeyQuestion:
        caller = caller_of(request.scope)
        if caller.principal is None or request.cookies.get(MFA_COOKIE):
            step = await self._steps.look(request.cookies.get(MFA_COOKIE, ""))
            if step is not None or caller.principal is None:
                open_step = await self._found(request, step)
                self._check_set_up(open_step)
                return await self._steps.passkey_question(open_step)
        check_permission(caller.principal, Permission.OWN_ACCOUNT)
        return await self._steps.question_for(caller.principal.identity.user_id, caller.principal.credential_id)

    async def _step(self, request: Request) -> OpenStep:
        return await self._found(request, await self._steps.look(request.cookies.get(MFA_COOKIE, "")))

    async def _found(self, request: Request, step: OpenStep | None) -> OpenStep:
        """Raise SignInOver without a step, and RateLimited for an address that asks so too often."""
        if step is None:
            address = limit_key_of_address(caller_of(request.scope).address)
            await self._limiter.charge("sign_in", f"step:{address}", times=3)
            raise SignInOver()
        return step

    def _check_set_up(self, step: OpenStep) -> None:
        if step.enrol:
            raise SecondFactorRequired(MUST_ENROL)

    async def _shown(self, request: Request, body: StepSignIn) -> SignedIn | Refused:
        cookie, visit = request.cookies.get(MFA_COOKIE, ""), visit_of(request)
        if body.method == "webauthn":
            token = request.cookies.get(MFA_CHALLENGE_COOKIE, "")
            return await self._steps.show_passkey(cookie, json.dumps(body.values), token, visit)
        code = body.values.get("code")
        if not isinstance(code, str) or not code:
            raise refused("values.code", "missing", "Send the code as a text.")
        if body.method == "recovery":
            return await self._steps.show_recovery_code(cookie, code, visit)
        return await self._steps.show_code(cookie, code, visit)


def visit_of(request: Request) -> Visit:
    """Return the browser, or the program in the place of one, that wants a session."""
    previous = request.cookies.get(SESSION_COOKIE)
    return Visit(
        address=caller_of(request.scope).address,
        user_agent=request.headers.get("user-agent", ""),
        device_cookie=request.cookies.get(DEVICE_COOKIE),
        previous=Secret(previous) if previous else None,
    )


def needs_more(needed: StepNeeded) -> SecondFactorRequired:
    """Return the refusal of a right password that is not enough, with the step that goes on from there."""
    return SecondFactorRequired(MUST_ENROL if needed.enrol else None, headers=mfa_cookie_header(needed.step))


async def _with_one_meaning(request: Request) -> Request:
    """Return the request, its body checked as JSON's whatever its type says: nothing in it comes twice."""
    return Request(request.scope, await without_duplicates(dict(_AS_JSON), request.receive))
