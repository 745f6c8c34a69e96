"""Security: the password, passkeys, the authenticator app, recovery codes, and what happened of late."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.audit.service import AuditLog
from keystead.db import Database
from keystead.factors.models import Passkey
from keystead.kernel.problems import InvalidParameters
from keystead.kernel.secrets import Secret
from keystead.sessions.cookies import DEVICE_COOKIE, set_cookies
from keystead.sessions.impersonating import Impersonating
from keystead.sessions.recovery import Recovery
from keystead.web.frame import DONE, SettingsPage, Visitor, done, page
from keystead.web.parts import Shown, stretch
from keystead.web.settings.authenticator import NEW_APP, NEW_CODES, REMOVE_APP
from keystead.web.settings.events import sentence, told_to_person
from keystead.web.settings.passkeys import NEW_PASSKEY, PASSKEYS
from keystead.web.settings.second_factors import PATH, SecurityDesk, errors_by_field

PASSWORD_PATH: Final = f"{PATH}/password"
EVENTS_SHOWN: Final = 10
FEW_CODES: Final = 3
"""With so many recovery codes or fewer it is time for new ones."""

DONE["security-password"] = "Your password is changed. Every other browser is signed out."


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyLine:
    """One passkey. Times are in Unix seconds."""

    name: str
    created_at: int
    last_used_at: int | None
    rename_url: str
    remove_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One thing that the person did, from which address and when, in Unix seconds."""

    sentence: str
    address: str
    done_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPage(SettingsPage):
    """How the person signs in, and what happened of late. ``totp_since`` is None without an authenticator app."""

    template: ClassVar[str] = "settings/security.html"
    has_password: bool
    shortest_password: int
    passkeys: tuple[PasskeyLine, ...]
    shown: Shown
    totp_since: int | None
    codes_left: int
    events: tuple[EventLine, ...]
    old_password_error: str = ""
    password_error: str = ""
    password_url: str = PASSWORD_PATH
    new_passkey_url: str = NEW_PASSKEY
    new_app_url: str = NEW_APP
    remove_app_url: str = REMOVE_APP
    new_codes_url: str = NEW_CODES

    @property
    def protected(self) -> bool:
        """Whether there is a second factor."""
        return self.totp_since is not None or self.shown.total > 0

    @property
    def few_codes(self) -> bool:
        """Whether it is time for new recovery codes."""
        return self.codes_left <= FEW_CODES


class SecurityPages:
    """The page at ``/settings/security``."""

    def __init__(
        self, desk: SecurityDesk, *, audit: AuditLog, db: Database, recovery: Recovery, impersonating: Impersonating
    ) -> None:
        """Show what ``desk`` leads to, and what ``audit`` tells; change passwords by ``recovery``."""
        self._desk = desk
        self._audit = audit
        self._db = db
        self._recovery = recovery
        self._impersonating = impersonating

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PASSWORD_PATH, self.change_password, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the page."""
        visitor = self._desk.frames.visitor(request)
        return page(await self._page(visitor))

    async def change_password(self, request: Request) -> Response:
        """Change the password: every other session ends, and this one goes on under another cookie."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        try:
            renewed = await self._recovery.change(
                visitor.principal,
                Secret(form.get("old_password", "")),
                Secret(form.get("password", "")),
                visitor.address,
                device_cookie=request.cookies.get(DEVICE_COOKIE),
            )
        except InvalidParameters as problem:
            return page(await self._page(visitor, errors_by_field(problem)), 422)
        response = done(PATH, "security-password")
        set_cookies(response, renewed, lifetime=self._desk.sessions.lifetime)
        return response

    async def _page(self, visitor: Visitor, errors: Mapping[str, str] | None = None) -> SecurityPage:
        user_id, found = visitor.principal.identity.user_id, errors or {}
        summary = await self._desk.factors.summary(user_id)
        own = [(event, sentence(event)) for event in await self._audit.of_user(self._db, user_id, EVENTS_SHOWN)]
        told = [(event, told_to_person(event)) for event in await self._impersonating.told(user_id)]
        events = sorted((*own, *told), key=lambda one: (one[0].at, one[0].id), reverse=True)[:EVENTS_SHOWN]
        some = stretch(visitor.request, PATH, summary.passkeys, "passkey")
        return SecurityPage(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            has_password=await self._desk.has_password(visitor),
            shortest_password=self._desk.settings.password_length,
            passkeys=tuple(_line(passkey) for passkey in some.items),
            shown=some.shown,
            totp_since=summary.totp_since,
            codes_left=summary.recovery_codes_left,
            events=tuple(
                EventLine(sentence=words, address=event.address or "", done_at=event.at) for event, words in events
            ),
            old_password_error=found.get("old_password", ""),
            password_error=found.get("password", ""),
        )


def _line(passkey: Passkey) -> PasskeyLine:
    return PasskeyLine(
        name=passkey.name,
        created_at=passkey.created_at,
        last_used_at=passkey.last_used_at,
        rename_url=f"{PASSKEYS}/{passkey.id}/rename",
        remove_url=f"{PASSKEYS}/{passkey.id}/remove",
    )
