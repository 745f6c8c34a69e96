"""The members of an organization: their roles, removing them (promise K8), and inviting others."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, NotFound, Problem, RateLimited
from keystead.kernel.scopes import Role
from keystead.organizations.models import FateOfKeys, Invitation, Member
from keystead.organizations.service import Organizations
from keystead.web.asking import leader, messages, path_id
from keystead.web.frame import DONE, ORGANIZATION, Choice, Confirm, Frames, SettingsPage, Visitor, done, page
from keystead.web.parts import Shown, part, stretch
from keystead.web.render import exact_words
from keystead.web.settings.shown_once import ShownOnce

PATH: Final = f"{ORGANIZATION}/members"
INVITATIONS: Final = f"{ORGANIZATION}/invitations"
_NO_MEMBER: Final = "There is no such person in your organization."
_NO_INVITATION: Final = "There is no such invitation. It may have been accepted or revoked."
_FATES: Final[dict[str, FateOfKeys]] = {"delete": "delete", "take": "take"}
_CHOOSE: Final = "Choose what happens to the keys."
_IN_PLACE: Final = (InvalidParameters, Conflict, Forbidden, RateLimited)
"""What is said beside the form that was sent, instead of on a page of its own."""
_ROLES: Final = {
    Role.OWNER: "May do everything here, and make others owners.",
    Role.ADMIN: "Manages members, apps, every key, policies and the balance. Cannot change owners.",
    Role.MEMBER: "Makes keys and tokens in their own name, and sees the apps and the balance.",
}

DONE["member-role"] = "The role is changed. It counts from now on, everywhere."
DONE["member-removed"] = "The person is removed. What they had here is refused from now on."
DONE["invited"] = "The invitation is on its way."
DONE["invitation-revoked"] = "The invitation is revoked. Its link leads nowhere now."


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLine:
    """A person in the organization; ``joined_at`` is in Unix seconds, ``url`` leads to what can be changed."""

    name: str
    username: str
    email: str
    role: str
    joined_at: int
    second_factor: bool
    disabled: bool
    keys: int
    own: bool
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationLine:
    """An invitation that nobody has accepted; ``inviter`` is a user name, ``until`` in Unix seconds."""

    email: str
    role: str
    inviter: str
    until: int
    expired: bool
    revoke_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersPage(SettingsPage):
    """Everybody who belongs to the organization or is invited, and the form that invites."""

    template: ClassVar[str] = "organization/members.html"
    members: tuple[MemberLine, ...]
    shown: Shown
    invitations: tuple[InvitationLine, ...]
    invited: Shown
    mails: bool
    roles: tuple[Choice, ...]
    email: str = ""
    email_error: str = ""
    role_error: str = ""
    action: str = INVITATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPage(SettingsPage):
    """One person: the form for their role, unless ``fixed`` says why nobody here may change it, and removing them."""

    template: ClassVar[str] = "organization/member.html"
    member: MemberLine
    roles: tuple[Choice, ...]
    fixed: str
    error: str = ""
    removable: bool
    action: str
    remove_url: str
    back: str = PATH


class MemberPages:
    """The pages under ``/settings/organization/members`` and ``/settings/organization/invitations``."""

    def __init__(self, *, frames: Frames, organizations: Organizations, mails: bool) -> None:
        """``mails`` says that invitations are mailed; without, their links are shown once."""
        self._frames = frames
        self._organizations = organizations
        self._mails = mails

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH + "/{user}", self.show_member, methods=["GET"])
        router.add_route(PATH + "/{user}/role", self.change_role, methods=["POST"])
        router.add_route(PATH + "/{user}/remove", self.ask, methods=["GET"])
        router.add_route(PATH + "/{user}/remove", self.remove, methods=["POST"])
        router.add_route(INVITATIONS, self.invite, methods=["POST"])
        router.add_route(INVITATIONS + "/{invitation}/revoke", self.ask_revoke, methods=["GET"])
        router.add_route(INVITATIONS + "/{invitation}/revoke", self.revoke, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show members and invitations."""
        visitor = leader(self._frames, request)
        return page(await self._view(visitor))

    async def show_member(self, request: Request) -> Response:
        """Show one person."""
        visitor = leader(self._frames, request)
        return page(self._member_view(visitor, await self._member(visitor, request)))

    async def change_role(self, request: Request) -> Response:
        """Give a person another role."""
        visitor = leader(self._frames, request)
        form = await visitor.form()
        user_id = path_id(request, "user", _NO_MEMBER)
        try:
            await self._organizations.change_role(visitor.principal, user_id, form.get("role", ""), visitor.address)
        except _IN_PLACE as problem:
            member = await self._member(visitor, request)
            return page(self._member_view(visitor, member, form.get("role", ""), problem.detail), problem.status)
        return done(PATH, "member-role")

    async def ask(self, request: Request) -> Response:
        """Ask whether to remove a person, and what happens to their keys."""
        visitor = leader(self._frames, request)
        return page(self._question(visitor, await self._member(visitor, request)))

    async def remove(self, request: Request) -> Response:
        """Remove a person."""
        visitor = leader(self._frames, request)
        form = await visitor.form()
        user_id = path_id(request, "user", _NO_MEMBER)
        keys = _FATES.get(form.get("choice", ""))
        if keys is None:
            member = await self._member(visitor, request)
            return page(self._question(visitor, member, _CHOOSE), InvalidParameters.status)
        await self._organizations.remove_member(visitor.principal, user_id, keys=keys, address=visitor.address)
        return done(PATH, "member-removed")

    async def invite(self, request: Request) -> Response:
        """Invite somebody; where there is no mail, show the link once."""
        visitor = leader(self._frames, request)
        form = await visitor.form()
        email, role = form.get("email", ""), form.get("role", "")
        try:
            made = await self._organizations.invite(visitor.principal, email, role, visitor.address)
        except _IN_PLACE as problem:
            return page(await self._view(visitor, email, role, problem), problem.status)
        if made.mailed:
            return done(PATH, "invited")
        invitation = made.invitation
        return page(
            ShownOnce(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="The invitation is ready",
                lead="This server sends no e-mail. Copy the link now and give it to the person yourself.",
                sentence="Whoever has this link can join, so send it on a way that nobody else reads. It works once.",
                secret=made.url.reveal(),
                snippets=(),
                facts=(
                    ("For", invitation.email),
                    ("Role", invitation.role),
                    ("Good until", exact_words(invitation.expires_at)),
                ),
                close=PATH,
            )
        )

    async def ask_revoke(self, request: Request) -> Response:
        """Ask whether to take an invitation back."""
        visitor = leader(self._frames, request)
        wanted = path_id(request, "invitation", _NO_INVITATION)
        found = await self._organizations.invitations(visitor.principal)
        invitation = next((one for one in found if one.id == wanted), None)
        if invitation is None:
            raise NotFound(_NO_INVITATION)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=f"Revoke the invitation of {invitation.email}?",
                sentences=("Its link leads nowhere afterwards. You can invite the same address again.",),
                action=_revoke_url(invitation),
                button="Revoke the invitation",
                cancel=PATH,
            )
        )

    async def revoke(self, request: Request) -> Response:
        """Take an invitation back."""
        visitor = leader(self._frames, request)
        await visitor.form()
        wanted = path_id(request, "invitation", _NO_INVITATION)
        await self._organizations.revoke_invitation(visitor.principal, wanted, visitor.address)
        return done(PATH, "invitation-revoked")

    async def _view(
        self, visitor: Visitor, email: str = "", role: str = Role.MEMBER, problem: Problem | None = None
    ) -> MembersPage:
        members = await self._organizations.members(visitor.principal)
        some = part(visitor.request, PATH, members, lambda one: (one.name, one.username, one.email, one.role))
        invitations = await self._organizations.invitations(visitor.principal)
        open_ones = stretch(visitor.request, PATH, invitations, "invitation")
        said = messages(problem) if problem is not None else {}
        role_error = said.get("role", "")
        now = self._frames.now()
        return MembersPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            members=tuple(_line(visitor, member) for member in some.items),
            shown=some.shown,
            invitations=tuple(_invitation(one, now) for one in open_ones.items),
            invited=open_ones.shown,
            mails=self._mails,
            roles=_roles(visitor, role),
            email=email,
            email_error="" if problem is None or role_error else said.get("email", problem.detail),
            role_error=role_error,
        )

    def _member_view(self, visitor: Visitor, member: Member, role: str = "", error: str = "") -> MemberPage:
        own = member.user_id == visitor.principal.identity.user_id
        above = member.role == Role.OWNER and visitor.principal.role is not Role.OWNER
        fixed = ""
        if above:
            fixed = "Only an owner may change or remove an owner. Ask one of them."
        elif own and visitor.principal.role is not Role.OWNER:
            fixed = "Nobody changes their own role. Ask an owner or another admin."
        url = _url(member.user_id)
        return MemberPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            member=_line(visitor, member),
            roles=_roles(visitor, role or member.role),
            fixed=fixed,
            error=error,
            removable=not own and not above,
            action=f"{url}/role",
            remove_url=f"{url}/remove",
        )

    def _question(self, visitor: Visitor, member: Member, error: str = "") -> Confirm:
        organization = visitor.principal.identity.organization_display_name
        keys = "1 API key" if member.keys == 1 else f"{member.keys} API keys"
        ask = member.keys > 0
        return Confirm(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            title=f"Remove {member.name} from {organization}?",
            sentences=(
                f"{member.username} ({member.email}) is signed out here, and their tokens and devices end. Their "
                "account and other organizations stay as they are.",
                f"{keys} in this organization {'acts' if member.keys == 1 else 'act'} in their name."
                if ask
                else "They have no API keys here.",
            ),
            action=f"{_url(member.user_id)}/remove",
            button="Remove from the organization",
            cancel=_url(member.user_id),
            choices=_fates() if ask else (),
            hidden=() if ask else (("choice", "delete"),),
            error=error,
        )

    async def _member(self, visitor: Visitor, request: Request) -> Member:
        wanted = path_id(request, "user", _NO_MEMBER)
        found = await self._organizations.members(visitor.principal)
        member = next((one for one in found if one.user_id == wanted), None)
        if member is None:
            raise NotFound(_NO_MEMBER)
        return member


def _fates() -> tuple[Choice, ...]:
    return (
        Choice(
            value="delete",
            label="Delete their keys",
            hint="Programs that use them are refused at once. The safe choice when you do not know who has them.",
        ),
        Choice(
            value="take",
            label="Take their keys over",
            hint="Programs go on working, and the keys act in your name. The person may still know them, so rotate "
            "them soon.",
        ),
    )


def _roles(visitor: Visitor, chosen: str) -> tuple[Choice, ...]:
    """Return the roles that this visitor may give: an admin makes nobody an owner."""
    given = [role for role in Role if role is not Role.OWNER or visitor.principal.role is Role.OWNER]
    return tuple(
        Choice(value=role.value, label=role.value.capitalize(), hint=_ROLES[role], checked=role == chosen)
        for role in given
    )


def _line(visitor: Visitor, member: Member) -> MemberLine:
    return MemberLine(
        name=member.name,
        username=member.username,
        email=member.email,
        role=member.role,
        joined_at=member.joined_at,
        second_factor=bool(member.second_factor),
        disabled=member.disabled_at is not None,
        keys=member.keys,
        own=member.user_id == visitor.principal.identity.user_id,
        url=_url(member.user_id),
    )


def _invitation(found: Invitation, now: int) -> InvitationLine:
    return InvitationLine(
        email=found.email,
        role=found.role,
        inviter=found.inviter or "",
        until=found.expires_at,
        expired=found.expires_at <= now,
        revoke_url=_revoke_url(found),
    )


def _url(user_id: str) -> str:
    return f"{PATH}/{user_id}"


def _revoke_url(invitation: Invitation) -> str:
    return f"{INVITATIONS}/{invitation.id}/revoke"
