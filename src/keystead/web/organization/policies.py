"""What an organization asks of its members and their keys."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters
from keystead.organizations.service import Organizations
from keystead.web.asking import leader
from keystead.web.frame import DONE, ORGANIZATION, Frames, SettingsPage, Visitor, done, page
from keystead.web.policy_form import Answers, PolicyFields, answers_of, changed_meanwhile, fields_of, read_answers

PATH: Final = f"{ORGANIZATION}/policies"
_HERE: Final = "this organization"

DONE["policies-set"] = "The policies are saved. They count from now on."


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesPage(SettingsPage):
    """The form of the policies."""

    template: ClassVar[str] = "organization/policies.html"
    policies: PolicyFields


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
        found = await self._organizations.policies(visitor.principal.identity.organization_id)
        return await self._page(visitor, answers_of(found))

    async def save(self, request: Request) -> Response:
        """Set the policies."""
        visitor = leader(self._frames, request)
        answers = read_answers(await visitor.form())
        if answers.errors:
            return await self._page(visitor, answers, InvalidParameters.status)
        before = await self._organizations.policies(visitor.principal.identity.organization_id)
        try:
            await self._organizations.set_policies(
                visitor.principal, answers.policies(), visitor.address, shown=answers.shown
            )
        except InvalidParameters as problem:
            return await self._page(visitor, answers.misfit(problem), problem.status)
        except Forbidden as problem:
            return await self._page(visitor, answers.refused(problem, before), problem.status)
        except Conflict as problem:
            now = await self._organizations.policies(visitor.principal.identity.organization_id)
            return await self._page(visitor, changed_meanwhile(problem, now), problem.status)
        return done(PATH, "policies-set")

    async def _page(self, visitor: Visitor, answers: Answers, status: int = 200) -> Response:
        installation = await self._organizations.platform_policies()
        return page(
            PoliciesPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                policies=fields_of(answers, _HERE, installation),
            ),
            status,
        )
