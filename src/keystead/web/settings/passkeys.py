"""Adding, renaming and removing passkeys.

A passkey is made in two steps: the name and the password first, then the browser is asked. So a wrong password never
leaves a passkey in the browser that the server does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.factors.models import FactorSummary, Passkey
from keystead.kernel.problems import Conflict, InvalidParameters, NotFound
from keystead.web.frame import DONE, SettingsPage, Visitor, done, page
from keystead.web.settings.second_factors import (
    PASSWORD_FIELD,
    PATH,
    SecurityConfirm,
    SecurityDesk,
    errors_by_field,
)

PASSKEYS: Final = f"{PATH}/passkeys"
NEW_PASSKEY: Final = f"{PASSKEYS}/new"

DONE["security-passkey-added"] = (
    "The passkey was added. You can sign in with it from now on. Browsers in which you showed your password alone are "
    "signed out."
)
DONE["security-passkey-renamed"] = "The passkey was renamed."
DONE["security-passkey-removed"] = "The passkey was removed. It no longer lets anybody in."


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyNew(SettingsPage):
    """The first step: what to call it, and the password."""

    template: ClassVar[str] = "settings/passkey_new.html"
    has_password: bool
    name: str = ""
    name_error: str = ""
    password_error: str = ""
    action_url: str = NEW_PASSKEY
    cancel_url: str = PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyMake(SettingsPage):
    """The second step: the browser makes it. ``options`` is the JSON for the browser."""

    template: ClassVar[str] = "settings/passkey_make.html"
    name: str
    options: str = field(repr=False)
    challenge: str = field(repr=False)
    error: str = ""
    action_url: str = PASSKEYS
    cancel_url: str = PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyRename(SettingsPage):
    """Another name for a passkey."""

    template: ClassVar[str] = "settings/passkey_rename.html"
    old_name: str
    name: str
    error: str = ""
    action_url: str
    cancel_url: str = PATH


class PasskeyPages:
    """The pages under ``/settings/security/passkeys``."""

    def __init__(self, desk: SecurityDesk) -> None:
        """Change what ``desk`` leads to."""
        self._desk = desk
        self._factors = desk.factors

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(NEW_PASSKEY, self.new, methods=["GET"])
        router.add_route(NEW_PASSKEY, self.make, methods=["POST"])
        router.add_route(PASSKEYS, self.add, methods=["POST"])
        router.add_route(PASSKEYS + "/{passkey}/rename", self.ask_name, methods=["GET"])
        router.add_route(PASSKEYS + "/{passkey}/rename", self.rename, methods=["POST"])
        router.add_route(PASSKEYS + "/{passkey}/remove", self.ask_remove, methods=["GET"])
        router.add_route(PASSKEYS + "/{passkey}/remove", self.remove, methods=["POST"])
        return router

    async def new(self, request: Request) -> Response:
        """Ask for a name and the password."""
        visitor = self._desk.frames.visitor(request)
        return await self._new(visitor)

    async def make(self, request: Request) -> Response:
        """Let the browser make the passkey."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        try:
            name = self._factors.check_passkey_name(form.get("name", ""))
            await self._desk.check_password(visitor, form)
        except InvalidParameters as problem:
            return await self._new(visitor, form, errors_by_field(problem))
        return await self._make(visitor, name)

    async def add(self, request: Request) -> Response:
        """Add the passkey that the browser made. The challenge tells that the password was asked for."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        challenge = self._factors.challenge_of(visitor.principal.credential_id, form.get("challenge", ""))
        name = form.get("name", "")
        try:
            codes = await self._desk.second_factors.add_passkey(
                visitor.principal, form.get("answer", ""), challenge, name, visitor.address
            )
        except InvalidParameters as problem:
            errors = errors_by_field(problem)
            if "answer" in errors:
                return await self._make(visitor, name, errors["answer"])
            return await self._new(visitor, form, errors)
        return self._desk.added(visitor, codes, "security-passkey-added")

    async def ask_name(self, request: Request) -> Response:
        """Ask for another name."""
        visitor = self._desk.frames.visitor(request)
        _, passkey = await self._mine(visitor)
        return page(self._rename(visitor, passkey, passkey.name))

    async def rename(self, request: Request) -> Response:
        """Give a passkey another name."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        _, passkey = await self._mine(visitor)
        name, user_id = form.get("name", ""), visitor.principal.identity.user_id
        try:
            await self._factors.rename_passkey(user_id, passkey.id, name, address=visitor.address)
        except InvalidParameters as problem:
            return page(self._rename(visitor, passkey, name, errors_by_field(problem).get("name", "")), 422)
        return done(PATH, "security-passkey-renamed")

    async def ask_remove(self, request: Request) -> Response:
        """Ask whether to remove a passkey."""
        visitor = self._desk.frames.visitor(request)
        return page(await self._removal(visitor, *await self._mine(visitor)))

    async def remove(self, request: Request) -> Response:
        """Remove a passkey."""
        visitor = self._desk.frames.visitor(request)
        form = await visitor.form()
        summary, passkey = await self._mine(visitor)
        try:
            await self._desk.check_password(visitor, form)
        except InvalidParameters as problem:
            error = errors_by_field(problem).get(PASSWORD_FIELD, "")
            return page(await self._removal(visitor, summary, passkey, error), 422)
        try:
            await self._desk.second_factors.remove_passkey(visitor.principal, passkey.id, visitor.address)
        except Conflict as problem:
            return page(await self._removal(visitor, summary, passkey, refusal=problem.detail), problem.status)
        return done(PATH, "security-passkey-removed")

    async def _new(
        self, visitor: Visitor, form: Mapping[str, str] | None = None, errors: Mapping[str, str] | None = None
    ) -> Response:
        found = errors or {}
        view = PasskeyNew(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            has_password=await self._desk.has_password(visitor),
            name=(form or {}).get("name", ""),
            name_error=found.get("name", ""),
            password_error=found.get(PASSWORD_FIELD, ""),
        )
        return page(view, 422 if found else 200)

    async def _make(self, visitor: Visitor, name: str, error: str = "") -> Response:
        identity = visitor.principal.identity
        summary = await self._factors.summary(identity.user_id)
        label = identity.email or identity.username
        options = self._factors.registration_options(identity.user_id, label, summary.passkeys)
        view = PasskeyMake(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            name=name,
            options=options.json,
            challenge=self._factors.challenge_token(visitor.principal.credential_id, options.challenge),
            error=error,
        )
        return page(view, 422 if error else 200)

    async def _mine(self, visitor: Visitor) -> tuple[FactorSummary, Passkey]:
        """Return the visitor's factors and the passkey that the address names. Raises NotFound."""
        summary = await self._factors.summary(visitor.principal.identity.user_id)
        for passkey in summary.passkeys:
            if passkey.id == visitor.request.path_params["passkey"]:
                return summary, passkey
        raise NotFound("You have no passkey with this id. Perhaps it was removed already.")

    def _rename(self, visitor: Visitor, passkey: Passkey, name: str, error: str = "") -> PasskeyRename:
        return PasskeyRename(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            old_name=passkey.name,
            name=name,
            error=error,
            action_url=f"{PASSKEYS}/{passkey.id}/rename",
        )

    async def _removal(
        self, visitor: Visitor, summary: FactorSummary, passkey: Passkey, error: str = "", refusal: str = ""
    ) -> SecurityConfirm:
        left = len(summary.passkeys) - 1 + (summary.totp_since is not None)
        return SecurityConfirm(
            product_name=self._desk.frames.product_name,
            frame=visitor.frame(PATH),
            title=f"Remove the passkey “{passkey.name}”?",
            sentences=(
                "It will not let you in any more. Where you are signed in, you stay signed in.",
                *await self._desk.losing(visitor, left),
                "The device or the password manager that keeps it goes on listing it until you delete it there too.",
            ),
            action=f"{PASSKEYS}/{passkey.id}/remove",
            button="Remove the passkey",
            refusal=refusal,
            has_password=await self._desk.has_password(visitor),
            error=error,
        )
