"""Going over to another organization of one's own: a new session there, and the old one is dead (promise W2)."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.sessions.cookies import DEVICE_COOKIE, set_cookies
from keystead.sessions.service import Sessions
from keystead.web.frame import DONE, SETTINGS, Frames, done
from keystead.wire.forms import required

SWITCH_PATH: Final = f"{SETTINGS}/switch"

DONE["switched"] = "You are in another organization now."


class SwitchPages:
    """``/settings/switch``: a form with the field ``organization``, the id of one of the person's organizations."""

    def __init__(self, *, frames: Frames, sessions: Sessions) -> None:
        """Begin the new session by ``sessions``."""
        self._frames = frames
        self._sessions = sessions

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(include_in_schema=False)
        router.add_route(SWITCH_PATH, self.switch, methods=["POST"])
        return router

    async def switch(self, request: Request) -> Response:
        """Begin a session in the other organization."""
        visitor = self._frames.visitor(request)
        organization = required(await visitor.form(), "organization")
        cookie = request.cookies.get(DEVICE_COOKIE)
        begun = await self._sessions.switch(visitor.principal, organization, visitor.address, device_cookie=cookie)
        response = done(SETTINGS, "switched")
        set_cookies(response, begun, lifetime=self._sessions.lifetime)
        return response
