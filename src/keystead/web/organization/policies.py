"""What an organization asks of its members and their keys."""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Forbidden, InvalidParameters
from keystead.organizations.models import DAY, LONGEST_POLICY_DAYS, Policies
from keystead.organizations.service import Organizations
from keystead.web.asking import leader, messages
from keystead.web.frame import DONE, ORGANIZATION, Choice, Frames, SettingsPage, Visitor, done, page

PATH: Final = f"{ORGANIZATION}/policies"
_DAYS: Final = re.compile(r"[0-9]{1,6}\Z", re.ASCII)
_RANGE: Final = f"Type a whole number of days from 1 to {LONGEST_POLICY_DAYS}, or nothing for no limit."

DONE["policies-set"] = "The policies are saved. They count from now on."


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesPage(SettingsPage):
    """The form of the policies: ``days`` as it was typed, an empty text for no limit."""

    template: ClassVar[str] = "organization/policies.html"
    days: str
    days_error: str = ""
    factor: tuple[Choice, ...]
    factor_error: str = ""
    most: int = LONGEST_POLICY_DAYS


class PolicyPages:
    """The page ``/settings/organization/policies``."""

    def __init__(self, *, frames: Frames, organizations: Organizations) -> None:
        """Show what ``organizations`` knows."""
        self._frames = frames
        self._organizations = organizations

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH, self.save, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the policies."""
        visitor = leader(self._frames, request)
        if isinstance(visitor, Response):
            return visitor
        found = await self._organizations.policies(visitor.principal.identity.organization_id)
        life = found.longest_key_life
        days = "" if life is None else str(-(-life // DAY))
        return page(self._view(visitor, days, required=found.second_factor_required))

    async def save(self, request: Request) -> Response:
        """Set the policies."""
        visitor = leader(self._frames, request)
        if isinstance(visitor, Response):
            return visitor
        form = await visitor.form()
        days, factor = form.get("days", "").strip(), form.get("second_factor", "")
        if factor not in {"yes", "no"}:
            view = self._view(visitor, days, required=None, factor_error="Choose one of the two.")
            return page(view, InvalidParameters.status)
        required = factor == "yes"
        if days and _DAYS.match(days) is None:
            return page(self._view(visitor, days, required=required, days_error=_RANGE), InvalidParameters.status)
        wanted = Policies(int(days) * DAY if days else None, required)
        try:
            await self._organizations.set_policies(visitor.principal, wanted, visitor.address)
        except InvalidParameters as problem:
            error = _RANGE if "longest_key_life" in messages(problem) else problem.detail
            return page(self._view(visitor, days, required=required, days_error=error), problem.status)
        except Forbidden as problem:
            return page(self._view(visitor, days, required=required, factor_error=problem.detail), problem.status)
        return done(PATH, "policies-set")

    def _view(
        self, visitor: Visitor, days: str, *, required: bool | None, days_error: str = "", factor_error: str = ""
    ) -> PoliciesPage:
        return PoliciesPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            days=days,
            days_error=days_error,
            factor=(
                Choice(
                    value="no",
                    label="Everybody decides for themselves",
                    hint="A password alone is enough to sign in.",
                    checked=required is False,
                ),
                Choice(
                    value="yes",
                    label="Everybody needs a second factor",
                    hint="Whoever was signed in here with a password alone is signed out, and sets up an authenticator "
                    "app or a passkey at the next sign-in. Keys and devices go on working.",
                    checked=required is True,
                ),
            ),
            factor_error=factor_error,
        )
