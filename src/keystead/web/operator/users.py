"""Every user of the installation, for operators: finding one, keeping one out, and letting one in again."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.accounts.models import User
from keystead.accounts.service import Accounts
from keystead.factors.service import Factors
from keystead.kernel.problems import NotFound
from keystead.organizations.models import ListedUser
from keystead.organizations.service import Organizations
from keystead.sessions.second_factors import SecondFactors
from keystead.web.asking import operator, page_url, path_id, searched
from keystead.web.frame import DONE, OPERATOR, Confirm, Frames, SettingsPage, done, page
from keystead.web.settings.shown_once import ShownOnce

PATH: Final = f"{OPERATOR}/users"
_NONE: Final = "There is no user with this id."

DONE["user-disabled"] = "The user is disabled. Their credentials are refused from now on."
DONE["user-enabled"] = "The user is enabled again, and can sign in."
DONE["user-factors-removed"] = (
    "The second factors are removed, and the person is signed out everywhere. A password alone is enough to sign in "
    "now."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLine:
    """A user; ``created_at`` is in Unix seconds, ``organizations`` how many they belong to."""

    name: str
    username: str
    email: str
    organizations: int
    second_factor: bool
    operates: bool
    disabled: bool
    created_at: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersPage(SettingsPage):
    """The users whose user names or e-mail addresses hold ``search``."""

    template: ClassVar[str] = "operator/users.html"
    search: str
    users: tuple[UserLine, ...]
    first_url: str
    next_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipLine:
    """An organization that a user belongs to."""

    organization: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPage(SettingsPage):
    """One user, and what an operator can do. ``disabled_at`` is in Unix seconds; ``factors`` names what they have.

    ``may_act`` tells that operators may act as this person.
    """

    template: ClassVar[str] = "operator/user.html"
    username: str
    email: str
    own: bool
    may_act: bool
    has_password: bool
    disabled_at: int | None
    memberships: tuple[MembershipLine, ...]
    factors: str
    url: str
    back: str = PATH


class UserPages:
    """The pages under ``/settings/operator/users``."""

    def __init__(
        self,
        *,
        frames: Frames,
        accounts: Accounts,
        organizations: Organizations,
        factors: Factors,
        second_factors: SecondFactors,
    ) -> None:
        """Show what ``factors`` tells; ``second_factors`` removes those that somebody has lost."""
        self._frames = frames
        self._accounts = accounts
        self._organizations = organizations
        self._factors = factors
        self._second_factors = second_factors

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH + "/{user}", self.show_user, methods=["GET"])
        router.add_route(PATH + "/{user}/disable", self.ask_disable, methods=["GET"])
        router.add_route(PATH + "/{user}/disable", self.disable, methods=["POST"])
        router.add_route(PATH + "/{user}/enable", self.ask_enable, methods=["GET"])
        router.add_route(PATH + "/{user}/enable", self.enable, methods=["POST"])
        router.add_route(PATH + "/{user}/reset-link", self.ask_reset, methods=["GET"])
        router.add_route(PATH + "/{user}/reset-link", self.reset, methods=["POST"])
        router.add_route(PATH + "/{user}/second-factors/remove", self.ask_factors, methods=["GET"])
        router.add_route(PATH + "/{user}/second-factors/remove", self.remove_factors, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show users."""
        visitor = operator(self._frames, request)
        search, after = searched(request)
        found = await self._organizations.all_users(visitor.principal, search, after)
        return page(
            UsersPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                search=search,
                users=tuple(map(_line, found.items)),
                first_url=page_url(PATH, {"search": search}) if after else "",
                next_url=page_url(PATH, {"search": search, "after": found.after}) if found.after else "",
            )
        )

    async def show_user(self, request: Request) -> Response:
        """Show one user."""
        visitor = operator(self._frames, request)
        user = await self._user(request)
        memberships = await self._accounts.memberships_of(user.id)
        first = memberships[0].organization_id if memberships else ""
        identity = await self._accounts.identity(user.id, first)  # None for a disabled user
        factors = await self._factors.summary(user.id)
        named = [] if factors.totp_since is None else ["an authenticator app"]
        if factors.passkeys:
            named.append("1 passkey" if len(factors.passkeys) == 1 else f"{len(factors.passkeys)} passkeys")
        return page(
            UserPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                username=user.username,
                email=user.email,
                own=user.id == visitor.principal.identity.user_id,
                may_act=identity is not None and not identity.platform_admin,
                has_password=user.password_hash is not None,
                disabled_at=user.disabled_at,
                memberships=tuple(
                    MembershipLine(organization=one.organization_display_name, role=one.role) for one in memberships
                ),
                factors=" and ".join(named),
                url=_url(user.id),
            )
        )

    async def ask_disable(self, request: Request) -> Response:
        """Ask whether to keep a user out."""
        return await self._ask(
            request,
            "Disable {}?",
            (
                "The person is signed out everywhere, and their tokens end. API keys and devices are refused until you "
                "enable the user again.",
            ),
            "disable",
            "Disable the user",
        )

    async def disable(self, request: Request) -> Response:
        """Keep a user out."""
        visitor = operator(self._frames, request)
        await visitor.form()
        user_id = path_id(request, "user", _NONE)
        await self._organizations.disable_user(visitor.principal, user_id, visitor.address)
        return done(_url(user_id), "user-disabled")

    async def ask_enable(self, request: Request) -> Response:
        """Ask whether to let a user in again."""
        return await self._ask(
            request,
            "Enable {} again?",
            ("The person can sign in again. API keys and devices that have not ended meanwhile work again.",),
            "enable",
            "Enable the user",
        )

    async def enable(self, request: Request) -> Response:
        """Let a user in again."""
        visitor = operator(self._frames, request)
        await visitor.form()
        user_id = path_id(request, "user", _NONE)
        await self._organizations.enable_user(visitor.principal, user_id, visitor.address)
        return done(_url(user_id), "user-enabled")

    async def ask_reset(self, request: Request) -> Response:
        """Ask whether to make a link to a new password."""
        return await self._ask(
            request,
            "Make a link with which {} chooses a new password?",
            (
                "Make sure first that it is this person who asks. Whoever has the link can take the account over.",
                "It is shown to you once, works once, and for an hour. That you made it stands in the audit log.",
            ),
            "reset-link",
            "Make the link",
        )

    async def reset(self, request: Request) -> Response:
        """Make a link to a new password, and show it this once."""
        visitor = operator(self._frames, request)
        await visitor.form()
        user = await self._user(request)
        url = await self._organizations.reset_link(visitor.principal, user.id, visitor.address)
        return page(
            ShownOnce(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="The link is ready",
                lead="Copy it now and give it to the person, on a way that nobody else reads.",
                sentence="Whoever opens it chooses the password of this account. It works once, for an hour.",
                secret=url.reveal(),
                snippets=(),
                facts=(("For", user.username), ("E-mail", user.email)),
                close=_url(user.id),
            )
        )

    async def ask_factors(self, request: Request) -> Response:
        """Ask whether to remove a user's second factors."""
        return await self._ask(
            request,
            "Remove the second factors of {}?",
            (
                "For somebody who has lost their authenticator app, passkeys and recovery codes. Make sure first that "
                "it is this person who asks: afterwards a password alone is enough to sign in.",
                "They are signed out in every browser, and get a letter that says so.",
            ),
            "second-factors/remove",
            "Remove the second factors",
        )

    async def remove_factors(self, request: Request) -> Response:
        """Remove a user's second factors, and tell them."""
        visitor = operator(self._frames, request)
        await visitor.form()
        user = await self._user(request)
        actor_id = visitor.principal.identity.user_id
        await self._second_factors.remove_for(user, actor_id=actor_id, address=visitor.address)
        return done(_url(user.id), "user-factors-removed")

    async def _ask(
        self, request: Request, title: str, sentences: tuple[str, ...], action: str, button: str
    ) -> Response:
        """Ask before something is done to a user, whose name goes into the question."""
        visitor = operator(self._frames, request)
        user = await self._user(request)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=title.format(user.username),
                sentences=(f"The e-mail address is {user.email}.", *sentences),
                action=f"{_url(user.id)}/{action}",
                button=button,
                cancel=_url(user.id),
                harmless=action == "enable",
            )
        )

    async def _user(self, request: Request) -> User:
        """Return the user in the path. Raises NotFound."""
        user = await self._accounts.user_by_id(path_id(request, "user", _NONE))
        if user is None:
            raise NotFound(_NONE)
        return user


def _line(found: ListedUser) -> UserLine:
    return UserLine(
        name=found.name,
        username=found.username,
        email=found.email,
        organizations=found.organizations,
        second_factor=bool(found.second_factor),
        operates=bool(found.platform_admin),
        disabled=found.disabled_at is not None,
        created_at=found.created_at,
        url=_url(found.id),
    )


def _url(user_id: str) -> str:
    return f"{PATH}/{user_id}"
