"""Every organization of the installation, for operators: making one and inviting its first owner."""

from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.accounts.models import Organization
from keystead.accounts.service import Accounts
from keystead.kernel.problems import Conflict, InvalidParameters, Problem, RateLimited
from keystead.organizations.models import ListedOrganization
from keystead.organizations.service import Organizations
from keystead.web.asking import messages, operator, page_url, path_text, searched
from keystead.web.frame import DONE, OPERATOR, Frames, SettingsPage, Visitor, done, page
from keystead.web.render import exact_words
from keystead.web.settings.shown_once import ShownOnce

PATH: Final = f"{OPERATOR}/organizations"
_IN_PLACE: Final = (InvalidParameters, Conflict, RateLimited)

DONE["organization-created"] = "The organization is created. Invite its first owner now."
DONE["owner-invited"] = "The invitation is on its way."


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationLine:
    """An organization; ``created_at`` is in Unix seconds."""

    name: str
    display_name: str
    members: int
    keys: int
    created_at: int
    invite_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationsPage(SettingsPage):
    """The organizations whose names hold ``search``, and the form for another."""

    template: ClassVar[str] = "operator/organizations.html"
    search: str
    organizations: tuple[OrganizationLine, ...]
    first_url: str
    next_url: str
    name: str = ""
    display_name: str = ""
    errors: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerPage(SettingsPage):
    """The form that invites an owner into an organization, which has nobody who could at first."""

    template: ClassVar[str] = "operator/owner.html"
    organization_name: str
    mails: bool
    email: str = ""
    error: str = ""
    action: str
    back: str = PATH


class OrganizationPages:
    """The pages under ``/settings/operator/organizations``."""

    def __init__(self, *, frames: Frames, organizations: Organizations, accounts: Accounts, mails: bool) -> None:
        """``mails`` says that invitations are mailed; without, their links are shown once."""
        self._frames = frames
        self._organizations = organizations
        self._accounts = accounts
        self._mails = mails

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH, self.create, methods=["POST"])
        router.add_route(PATH + "/{organization}/invite", self.ask, methods=["GET"])
        router.add_route(PATH + "/{organization}/invite", self.invite, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show organizations."""
        visitor = operator(self._frames, request)
        return page(await self._view(visitor))

    async def create(self, request: Request) -> Response:
        """Make an organization, and go on to invite its owner."""
        visitor = operator(self._frames, request)
        form = await visitor.form()
        name, shown = form.get("name", ""), form.get("display_name", "")
        try:
            await self._organizations.create_organization(visitor.principal, name, shown or None, visitor.address)
        except _IN_PLACE as problem:
            return page(await self._view(visitor, name, shown, problem), problem.status)
        return done(_invite_url(name), "organization-created")

    async def ask(self, request: Request) -> Response:
        """Show the form that invites an owner."""
        visitor = operator(self._frames, request)
        return page(self._owner(visitor, await self._organization(request)))

    async def invite(self, request: Request) -> Response:
        """Invite an owner; where there is no mail, show the link once."""
        visitor = operator(self._frames, request)
        form = await visitor.form()
        organization = await self._organization(request)
        email = form.get("email", "")
        try:
            made = await self._organizations.invite_owner(visitor.principal, organization.id, email, visitor.address)
        except _IN_PLACE as problem:
            error = messages(problem).get("email", problem.detail)
            return page(self._owner(visitor, organization, email, error), problem.status)
        if made.mailed:
            return done(PATH, "owner-invited")
        return page(
            ShownOnce(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="The invitation is ready",
                lead="This server sends no e-mail. Copy the link now and give it to the person yourself.",
                sentence="Whoever has this link becomes an owner, so send it on a way that nobody else reads.",
                secret=made.url.reveal(),
                snippets=(),
                facts=(("For", made.invitation.email), ("Good until", exact_words(made.invitation.expires_at))),
                close=PATH,
            )
        )

    async def _view(
        self, visitor: Visitor, name: str = "", display_name: str = "", problem: Problem | None = None
    ) -> OrganizationsPage:
        search, after = searched(visitor.request)
        found = await self._organizations.all_organizations(visitor.principal, search, after)
        said = {} if problem is None else messages(problem) or {"name": problem.detail}
        return OrganizationsPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            search=search,
            organizations=tuple(map(_line, found.items)),
            first_url=page_url(PATH, {"search": search}) if after else "",
            next_url=page_url(PATH, {"search": search, "after": found.after}) if found.after else "",
            name=name,
            display_name=display_name,
            errors=said,
        )

    async def _organization(self, request: Request) -> Organization:
        """Return the organization whose name stands in the path. Raises NotFound."""
        return await self._accounts.organization_by_name(path_text(request, "organization"))

    def _owner(self, visitor: Visitor, organization: Organization, email: str = "", error: str = "") -> OwnerPage:
        return OwnerPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            organization_name=organization.display_name,
            mails=self._mails,
            email=email,
            error=error,
            action=_invite_url(organization.name),
        )


def _line(found: ListedOrganization) -> OrganizationLine:
    return OrganizationLine(
        name=found.name,
        display_name=found.display_name,
        members=found.members,
        keys=found.keys,
        created_at=found.created_at,
        invite_url=_invite_url(found.name),
    )


def _invite_url(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}/invite"
