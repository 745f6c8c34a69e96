"""Browser sessions: where a person is signed in with a browser, and how to sign out there."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import NotFound
from keystead.sessions.models import BrowserSession
from keystead.sessions.service import Sessions
from keystead.web.frame import DONE, SETTINGS, Confirm, Frames, SettingsPage, Visitor, done, page
from keystead.web.parts import Shown, stretch
from keystead.web.render import exact_words
from keystead.web.settings.browsers import browser_words

PATH: Final = f"{SETTINGS}/sessions"
OTHERS_PATH: Final = f"{PATH}/others/end"

DONE["session-ended"] = "That browser is signed out."
DONE["sessions-ended"] = "All other browsers are signed out."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """One browser in words; ``user_agent`` is what it called itself. Times are in Unix seconds.

    ``operator`` is who acts as the person in it, and ``reason`` why; both are empty for the person's own.
    """

    browser: str
    user_agent: str
    address: str
    begun_at: int
    last_used_at: int
    ends_at: int
    end_url: str
    operator: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsPage(SettingsPage):
    """This browser, and the others, what was used last first. ``this`` is None when it was just ended elsewhere."""

    template: ClassVar[str] = "settings/sessions.html"
    this: SessionLine | None
    others: tuple[SessionLine, ...]
    shown: Shown
    end_others_url: str = OTHERS_PATH


class SessionPages:
    """The pages under ``/settings/sessions``."""

    def __init__(self, *, frames: Frames, sessions: Sessions) -> None:
        """Show what ``sessions`` knows."""
        self._frames = frames
        self._sessions = sessions

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(OTHERS_PATH, self.ask_others, methods=["GET"])
        router.add_route(OTHERS_PATH, self.end_others, methods=["POST"])
        router.add_route(PATH + "/{session}/end", self.ask, methods=["GET"])
        router.add_route(PATH + "/{session}/end", self.end, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show this browser and the others."""
        visitor = self._frames.visitor(request)
        found = await self._sessions.list_everywhere(visitor.principal.identity.user_id)
        here = visitor.principal.credential_id
        others = sorted((one for one in found if one.id != here), key=_last_used_first)
        some = stretch(request, PATH, others)
        return page(
            SessionsPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                this=next((_line(one) for one in found if one.id == here), None),
                others=tuple(_line(one) for one in some.items),
                shown=some.shown,
            )
        )

    async def ask(self, request: Request) -> Response:
        """Ask whether to sign a browser out."""
        visitor = self._frames.visitor(request)
        one = await self._other(visitor, str(request.path_params["session"]))
        address, began = one.address or "an unknown address", exact_words(one.created_at)
        if one.impersonator is None:
            title = f"Sign out {browser_words(one.user_agent)}?"
            sentences = (
                f"You signed in there on {began}, from {address}.",
                "Whoever uses that browser has to sign in again.",
            )
        else:
            title = f"Stop the operator {one.impersonator} from acting as you?"
            sentences = (
                f"It began on {began}, from {address}. The reason given was: {one.impersonation_reason}",
                "The operator sees nothing of yours any more, and has to sign in again.",
            )
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=title,
                sentences=sentences,
                action=_end_url(one.id),
                button="Sign out",
                cancel=PATH,
            )
        )

    async def end(self, request: Request) -> Response:
        """Sign a browser out."""
        visitor = self._frames.visitor(request)
        await visitor.form()
        one = await self._other(visitor, str(request.path_params["session"]))
        user_id = visitor.principal.identity.user_id
        await self._sessions.sign_out(one.id, address=visitor.address, by=user_id)
        return done(PATH, "session-ended")

    async def ask_others(self, request: Request) -> Response:
        """Ask whether to sign out every browser but this one."""
        visitor = self._frames.visitor(request)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="Sign out all other browsers?",
                sentences=(
                    "You stay signed in here. Everywhere else you have to sign in again.",
                    "Programs that you signed in with a code stay signed in; they are under Apps and devices.",
                ),
                action=OTHERS_PATH,
                button="Sign out all others",
                cancel=PATH,
            )
        )

    async def end_others(self, request: Request) -> Response:
        """Sign out every browser but this one."""
        visitor = self._frames.visitor(request)
        await visitor.form()
        await self._sessions.end_others(visitor.principal, visitor.address)
        return done(PATH, "sessions-ended")

    async def _other(self, visitor: Visitor, session_id: str) -> BrowserSession:
        """Return another session of the visitor's own. Raises NotFound for any other id, this session's too."""
        if session_id != visitor.principal.credential_id:
            for one in await self._sessions.list_everywhere(visitor.principal.identity.user_id):
                if one.id == session_id:
                    return one
        raise NotFound("You have no other browser session with this id. Perhaps it has ended already.")


def _last_used_first(session: BrowserSession) -> tuple[int, int, str]:
    return -session.last_used_at, -session.created_at, session.id


def _end_url(session_id: str) -> str:
    return f"{PATH}/{session_id}/end"


def _line(session: BrowserSession) -> SessionLine:
    words = browser_words(session.user_agent)
    return SessionLine(
        browser=words,
        user_agent="" if words == session.user_agent else session.user_agent,
        address=session.address,
        begun_at=session.created_at,
        last_used_at=session.last_used_at,
        ends_at=session.expires_at,
        end_url=_end_url(session.id),
        operator=session.impersonator or "",
        reason=session.impersonation_reason or "",
    )
