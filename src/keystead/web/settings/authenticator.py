"""Setting up and removing an authenticator app, and making new recovery codes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import Response

from keystead.factors.models import NewTotp
from keystead.kernel.problems import Conflict, InvalidParameters, NotFound
from keystead.web.frame import DONE, SettingsPage, Visitor, done, page
from keystead.web.qr import qr_svg
from keystead.web.settings.second_factors import (
    PASSWORD_FIELD,
    PATH,
    SecurityConfirm,
    SecurityDesk,
    errors_by_field,
)

NEW_APP: Final = f"{PATH}/totp/new"
REMOVE_APP: Final = f"{PATH}/totp/remove"
NEW_CODES: Final = f"{PATH}/recovery-codes/new"
_GROUP: Final = 4

DONE["security-totp-added"] = (
    "The authenticator app was added. Its codes are asked for from now on, and browsers in which you showed your "
    "password alone are signed out."
)
DONE["security-totp-removed"] = "The authenticator app was removed. Its codes no longer let anybody in."
DONE["security-codes-made"] = "You have new recovery codes. The old ones are no longer good."


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpNew(SettingsPage):
    """A new authenticator app: its secret as a QR code and as text, and the field for its first code."""

    template: ClassVar[str] = "settings/totp_new.html"
    qr: Markup = field(repr=False)
    secret: str = field(repr=False)
    app_url: str = field(repr=False)
    sealed: str = field(repr=False)
    has_password: bool
    code_error: str = ""
    password_error: str = ""
    action_url: str = NEW_APP
    cancel_url: str = PATH


class AuthenticatorPages:
    """The pages under ``/settings/security/totp`` and ``/settings/security/recovery-codes``."""

    def __init__(self, desk: SecurityDesk) -> None:
        """Change what ``desk`` leads to."""
        self._desk = desk
        self._factors = desk.factors

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(NEW_APP, self.new, methods=["GET"])
        router.add_route(NEW_APP, self.add, methods=["POST"])
        router.add_route(REMOVE_APP, self.ask_remove, methods=["GET"])
        router.add_route(REMOVE_APP, self.remove, methods=["POST"])
        router.add_route(NEW_CODES, self.ask_codes, methods=["GET"])
        router.add_route(NEW_CODES, self.make_codes, methods=["POST"])
        return router

    async def new(self, request: Request) -> Response:
        """Show the secret of a new app, which is not stored yet."""
        visitor = self._desk.frames.visitor(request)
        identity = visitor.principal.identity
        if (await self._factors.summary(identity.user_id)).totp_since is not None:
            raise Conflict("You have an authenticator app already. Remove it before you set up another one.")
        return await self._new(visitor, self._factors.new_totp(identity.user_id, _label(visitor)))

    async def add(self, request: Request) -> Response:
        """Add the app, once its code is right."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        user_id, sealed = visitor.principal.identity.user_id, form.get("sealed", "")
        pending = self._factors.pending_totp(user_id, _label(visitor), sealed)
        try:
            await self._desk.check_password(visitor, form)
            codes = await self._desk.second_factors.add_app(
                visitor.principal, sealed, form.get("code", ""), visitor.address
            )
        except InvalidParameters as problem:
            return await self._new(visitor, pending, errors_by_field(problem))
        return self._desk.added(visitor, codes, "security-totp-added")

    async def ask_remove(self, request: Request) -> Response:
        """Ask whether to remove the app."""
        visitor = self._desk.frames.visitor(request)
        return page(await self._removal(visitor))

    async def remove(self, request: Request) -> Response:
        """Remove the app."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        try:
            await self._desk.check_password(visitor, form)
        except InvalidParameters as problem:
            return page(await self._removal(visitor, errors_by_field(problem).get(PASSWORD_FIELD, "")), 422)
        await self._desk.second_factors.remove_app(visitor.principal, visitor.address)
        return done(PATH, "security-totp-removed")

    async def ask_codes(self, request: Request) -> Response:
        """Ask whether to make new recovery codes."""
        visitor = self._desk.frames.visitor(request)
        return page(await self._renewal(visitor))

    async def make_codes(self, request: Request) -> Response:
        """Make new recovery codes and show them."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        try:
            await self._desk.check_password(visitor, form)
        except InvalidParameters as problem:
            return page(await self._renewal(visitor, errors_by_field(problem).get(PASSWORD_FIELD, "")), 422)
        codes = await self._desk.second_factors.new_recovery_codes(visitor.principal, visitor.address)
        lead = "These take the place of your old recovery codes, none of which is good any more."
        return self._desk.show_codes(visitor, codes, lead, "security-codes-made")

    async def _new(self, visitor: Visitor, new: NewTotp, errors: Mapping[str, str] | None = None) -> Response:
        found = errors or {}
        view = TotpNew(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            qr=qr_svg(new.uri),
            secret=_grouped(new.secret.reveal()),
            app_url=new.uri.reveal(),
            sealed=new.sealed,
            has_password=await self._desk.has_password(visitor),
            code_error=found.get("code", ""),
            password_error=found.get(PASSWORD_FIELD, ""),
        )
        return page(view, 422 if found else 200)

    async def _removal(self, visitor: Visitor, error: str = "") -> SecurityConfirm:
        summary = await self._factors.summary(visitor.principal.identity.user_id)
        if summary.totp_since is None:
            raise NotFound("You have no authenticator app. Perhaps it was removed already.")
        return SecurityConfirm(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            title="Remove your authenticator app?",
            sentences=(
                "Its codes will not let you in any more. Where you are signed in, you stay signed in.",
                *await self._desk.losing(visitor, len(summary.passkeys)),
            ),
            action=REMOVE_APP,
            button="Remove the app",
            has_password=await self._desk.has_password(visitor),
            error=error,
        )

    async def _renewal(self, visitor: Visitor, error: str = "") -> SecurityConfirm:
        summary = await self._factors.summary(visitor.principal.identity.user_id)
        if not summary.any:
            raise Conflict("Add a passkey or an authenticator app first: recovery codes stand in for them.")
        return SecurityConfirm(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            title="Make new recovery codes?",
            sentences=("The codes that you have now are no longer good afterwards, wherever you keep them.",),
            action=NEW_CODES,
            button="Make new codes",
            harmless=True,
            has_password=await self._desk.has_password(visitor),
            error=error,
        )


def _label(visitor: Visitor) -> str:
    return visitor.principal.identity.email or visitor.principal.identity.username


def _grouped(secret: str) -> str:
    return " ".join(secret[at : at + _GROUP] for at in range(0, len(secret), _GROUP))
