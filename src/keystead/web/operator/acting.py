"""Acting as somebody else, for operators: the question why, the way there, and the way back."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.kernel.problems import InvalidParameters, NotFound
from keystead.sessions.cookies import DEVICE_COOKIE, set_acting_cookie, set_cookies
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.models import LONGEST_REASON, STOP_PATH
from keystead.web.asking import messages, operator, path_id
from keystead.web.frame import DONE, SETTINGS, Frames, SettingsPage, Visitor, done, page
from keystead.web.operator.users import PATH as USERS
from keystead.web.pages import see_other

PATH: Final = USERS + "/{user}/act-as"
_NONE: Final = "There is no user with this id."

DONE["acting-stopped"] = "You act in your own name again."


@dataclass(frozen=True, slots=True, kw_only=True)
class ActAsPage(SettingsPage):
    """The question why an operator wants to act as ``username``. ``mails`` tells that the person gets a letter."""

    template: ClassVar[str] = "operator/act_as.html"
    username: str
    email: str
    mails: bool
    action: str
    cancel: str
    longest: int = LONGEST_REASON
    reason: str = ""
    reason_error: str = ""


class ActingPages:
    """``/settings/operator/users/{user}/act-as`` and ``/settings/stop-acting``."""

    def __init__(
        self, *, frames: Frames, accounts: Accounts, impersonating: Impersonating, session_lifetime: int, mails: bool
    ) -> None:
        """``session_lifetime`` is for how many seconds the cookie of one's own session is kept."""
        self._frames = frames
        self._accounts = accounts
        self._impersonating = impersonating
        self._lifetime = session_lifetime
        self._mails = mails

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.ask, methods=["GET"])
        router.add_route(PATH, self.start, methods=["POST"])
        router.add_route(STOP_PATH, self.stop, methods=["POST"])
        return router

    async def ask(self, request: Request) -> Response:
        """Ask why."""
        visitor = operator(self._frames, request)
        return page(self._page(visitor, await self._user(request)))

    async def start(self, request: Request) -> Response:
        """Act as the person, and go to what they see first."""
        visitor = operator(self._frames, request)
        form = await visitor.form()
        user, reason = await self._user(request), form.get("reason", "").strip()
        try:
            acting = await self._impersonating.start(
                visitor.principal,
                user.username,
                reason,
                address=visitor.address,
                user_agent=request.headers.get("user-agent", ""),
            )
        except InvalidParameters as problem:
            return page(self._page(visitor, user, reason, messages(problem)["reason"]), problem.status)
        response = see_other(SETTINGS)
        set_acting_cookie(response, acting)
        return response

    async def stop(self, request: Request) -> Response:
        """Stop, and go back to the user whom one acted as."""
        visitor = self._frames.visitor(request)
        await visitor.form()
        renewed = await self._impersonating.stop(
            visitor.principal, address=visitor.address, device_cookie=request.cookies.get(DEVICE_COOKIE)
        )
        response = done(f"{USERS}/{visitor.principal.identity.user_id}", "acting-stopped")
        set_cookies(response, renewed, lifetime=self._lifetime)
        return response

    def _page(self, visitor: Visitor, user: User, reason: str = "", error: str = "") -> ActAsPage:
        return ActAsPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(USERS),
            username=user.username,
            email=user.email,
            mails=self._mails,
            action=PATH.format(user=user.id),
            cancel=f"{USERS}/{user.id}",
            reason=reason[:LONGEST_REASON],
            reason_error=error,
        )

    async def _user(self, request: Request) -> User:
        """Return the user in the path. Raises NotFound."""
        user = await self._accounts.user_by_id(path_id(request, "user", _NONE))
        if user is None:
            raise NotFound(_NONE)
        return user
