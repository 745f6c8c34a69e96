"""What the whole installation asks of everybody, whichever organization they are in."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters
from keystead.organizations.service import Organizations
from keystead.web.asking import operator
from keystead.web.frame import DONE, OPERATOR, Confirm, Frames, SettingsPage, Visitor, done, page
from keystead.web.policy_form import (
    FACTOR,
    FIELDS,
    PASSWORD,
    SHOWN,
    Answers,
    PolicyFields,
    answers_of,
    changed_meanwhile,
    fields_of,
    newly_required,
    read_answers,
    shown_text,
)

PATH: Final = f"{OPERATOR}/policies"
_HERE: Final = "this installation"
_SURE: Final = "sure"
_CONSEQUENCES: Final = {
    FACTOR: "Everybody on this installation who is signed in with a password alone is signed out at once, and sets "
    "up an authenticator app or a passkey at the next sign-in. Keys and devices go on working.",
    PASSWORD: "Nobody on this installation signs in with a password any more, operators included. Who is signed in "
    "stays so, and should add a passkey under Security before they sign out: without one, nobody comes in again until "
    "this is turned off, here or with keystead admin policy on the host.",
}
"""What happens to people, by the field that turns it on."""
_TITLES: Final = {
    (FACTOR,): "Require a second factor of everybody?",
    (PASSWORD,): "Turn sign-in with a password off for everybody?",
    (FACTOR, PASSWORD): "Require a second factor, and turn sign-in with a password off for everybody?",
}

DONE["installation-policies-set"] = "The policies of the installation are saved. They count from now on."


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallationPoliciesPage(SettingsPage):
    """The form of the policies of the installation."""

    template: ClassVar[str] = "operator/policies.html"
    policies: PolicyFields
    action: str = PATH


class InstallationPolicyPages:
    """The page ``/settings/operator/policies``."""

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
        visitor = operator(self._frames, request)
        return self._page(visitor, answers_of(await self._organizations.platform_policies()))

    async def save(self, request: Request) -> Response:
        """Set the policies; what may lock people out is asked for once more before."""
        visitor = operator(self._frames, request)
        form = await visitor.form()
        answers = read_answers(form)
        if answers.errors:
            return self._page(visitor, answers, InvalidParameters.status)
        before = await self._organizations.platform_policies()
        try:
            turned_on = newly_required(before, answers.after(before))
            if turned_on and form.get(_SURE) != "yes":
                return self._ask(visitor, answers, turned_on)
            await self._organizations.set_platform_policies(
                visitor.principal, answers.policies(), visitor.address, shown=answers.shown
            )
        except InvalidParameters as problem:
            return self._page(visitor, answers.misfit(problem), problem.status)
        except Forbidden as problem:
            return self._page(visitor, answers.refused(problem, before), problem.status)
        except Conflict as problem:
            now = await self._organizations.platform_policies()
            return self._page(visitor, changed_meanwhile(problem, now), problem.status)
        return done(PATH, "installation-policies-set")

    def _ask(self, visitor: Visitor, answers: Answers, turned_on: tuple[str, ...]) -> Response:
        """Ask once more: by POST, so that no link leads to this question with somebody else's answers in it."""
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=_TITLES[turned_on],
                sentences=tuple(_CONSEQUENCES[name] for name in turned_on),
                action=PATH,
                button="Save the policies",
                cancel=PATH,
                hidden=(
                    *((name, answers.given[name]) for name in FIELDS),
                    (SHOWN, shown_text(answers.shown)),
                    (_SURE, "yes"),
                ),
            )
        )

    def _page(self, visitor: Visitor, answers: Answers, status: int = 200) -> Response:
        return page(
            InstallationPoliciesPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                policies=fields_of(answers, _HERE),
            ),
            status,
        )
