"""What stands around every page of Account Settings: who is looking, where they can go, and the token of its forms.

A page of settings is one ``Visitor``, one call of a service, one view. A form is a POST with the visitor's form token;
it answers with 303 to a GET, which says what was done (``?done=``), or with the same page and the field's own message.
What destroys something is asked for on a page of its own (``Confirm``) that names the thing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final
from urllib.parse import quote

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from keystead.accounts.models import Membership
from keystead.accounts.service import Accounts
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Forbidden
from keystead.kernel.scopes import Role, Scope
from keystead.kernel.settings import Settings
from keystead.sessions.service import Sessions
from keystead.web import views
from keystead.web.pages import account_of, html, query_value, see_other, signed_in
from keystead.wire.asgi import read_body
from keystead.wire.caller import caller_of
from keystead.wire.forms import parse_form

SETTINGS: Final = "/settings"
ORGANIZATION: Final = "/settings/organization"
OPERATOR: Final = "/settings/operator"
SIGN_OUT: Final = "sign-out"
_PURPOSE: Final = "settings"

DONE: Final[dict[str, str]] = {}
"""What a page says after something was done, by the word in ``?done=``. Each page's module adds its own sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One line of the navigation; ``current`` is the page that is shown."""

    url: str
    label: str
    current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkGroup:
    """Some lines of the navigation under a heading."""

    heading: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What every page of settings is drawn with. ``now`` is in Unix seconds; ``notice`` says what was just done.

    ``acting`` tells that an operator looks, who acts as the person of ``account``.
    """

    account: views.Account
    organization: str
    role: str
    navigation: tuple[LinkGroup, ...]
    form_token: str
    sign_out_token: str
    now: int
    notice: str = ""
    acting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsPage(views.Page):
    """A page of settings."""

    frame: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several answers to a question; ``hint`` says what it means."""

    value: str
    label: str
    hint: str = ""
    checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm(SettingsPage):
    """The question before something that cannot be undone.

    ``title`` is the question and names the thing; ``sentences`` say what happens. ``choices`` are radio buttons named
    ``choice``, if there is something to choose. ``hidden`` are fields that go along. A ``harmless`` act has a button
    that does not warn.
    """

    template: ClassVar[str] = "settings/confirm.html"
    title: str
    sentences: tuple[str, ...]
    action: str
    button: str
    cancel: str
    choices: tuple[Choice, ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    error: str = ""
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is looking at a page of settings, and with which request."""

    request: Request
    principal: Principal
    frames: "Frames"

    @property
    def address(self) -> str:
        """Where the request came from."""
        return caller_of(self.request.scope).address

    @property
    def leads(self) -> bool:
        """Whether this is an owner or an admin of the organization."""
        return self.principal.role in {Role.OWNER, Role.ADMIN}

    @property
    def operates(self) -> bool:
        """Whether this is an operator of the installation."""
        return bool(self.principal.identity.platform_admin)

    def check_scope(self, scope: Scope) -> None:
        """Raise Forbidden unless the person's role lets them do this: what the APIs ask a token's scope for."""
        if scope not in self.principal.scopes:
            raise Forbidden("Your role in this organization does not allow this. Ask an owner or an admin.")

    def check_leads(self) -> None:
        """Raise Forbidden unless this is an owner or an admin."""
        if not self.leads:
            raise Forbidden("Only owners and admins of the organization may see this page. Ask one of them.")

    def check_operates(self) -> None:
        """Raise Forbidden unless this is an operator."""
        if not self.operates:
            raise Forbidden("Only operators of this installation may see this page.")

    def frame(self, current: str) -> Frame:
        """Return the frame of the page at the path ``current``."""
        return self.frames.around(self, current)

    async def form(self) -> Mapping[str, str]:
        """Return the fields of the form that was sent. Raises FormExpired unless it was shown in this session."""
        form = parse_form(await read_body(self.request.receive), self.request.headers.get("content-type", ""))
        self.frames.check(self, form.get("form_token"))
        return form


class NotSignedIn(Exception):  # noqa: N818 - no error, but the beginning of a detour
    """Somebody asked for a page of settings before they have signed in; ``to_sign_in`` answers it."""


class Frames:
    """Makes visitors of requests, and draws the frame around their pages."""

    def __init__(self, *, sessions: Sessions, accounts: Accounts, settings: Settings, clock: Clock) -> None:
        """Frame the pages in the name of ``settings.product_name``."""
        self._sessions = sessions
        self._accounts = accounts
        self._settings = settings
        self._clock = clock

    @property
    def product_name(self) -> str:
        """The name of this installation, for every page."""
        return self._settings.product_name

    def now(self) -> int:
        """Return the time in Unix seconds."""
        return self._clock.now()

    def visitor(self, request: Request) -> Visitor:
        """Return who is looking. Raises NotSignedIn when nobody is signed in."""
        principal = signed_in(request)
        if principal is None:
            raise NotSignedIn()
        return Visitor(request, principal, self)

    async def memberships(self, visitor: Visitor) -> list[Membership]:
        """Return every organization that the visitor belongs to."""
        return await self._accounts.memberships_of(visitor.principal.identity.user_id)

    def around(self, visitor: Visitor, current: str) -> Frame:
        """Return the frame of the page at the path ``current``."""
        principal = visitor.principal
        done = DONE.get(query_value(visitor.request, "done"), "") if visitor.request.method == "GET" else ""
        return Frame(
            account=account_of(principal),
            organization=principal.identity.organization_display_name,
            role=principal.identity.role,
            navigation=_navigation(visitor, current),
            form_token=self._sessions.form_token(principal.credential_id, _PURPOSE),
            sign_out_token=self._sessions.form_token(principal.credential_id, SIGN_OUT),
            now=self.now(),
            notice=done,
            acting=principal.impersonator is not None,
        )

    def check(self, visitor: Visitor, token: str | None) -> None:
        """Raise FormExpired unless the token was given to this session's forms."""
        self._sessions.check_form_token(visitor.principal.credential_id, _PURPOSE, token)


def to_sign_in(request: Request, _: Exception) -> Response:
    """Answer NotSignedIn: lead to the sign-in page, and back to what was asked for; a form is not sent again."""
    path = request.url.path
    if request.method == "GET" and request.url.query:
        path = f"{path}?{request.url.query}"
    return see_other(views.sign_in_url(path if request.method == "GET" else SETTINGS))


def done(path: str, what: str) -> RedirectResponse:
    """Send the browser to a page that says what was done: ``what`` is a word of ``DONE``."""
    return see_other(f"{path}?done={quote(what)}")


def page(view: SettingsPage, status: int = 200) -> Response:
    """Return a page of settings."""
    return html(view, status)


_OWN: Final = (
    (SETTINGS, "Overview"),
    (f"{SETTINGS}/tokens", "Tokens"),
    (f"{SETTINGS}/keys", "API keys"),
    (f"{SETTINGS}/devices", "Apps and devices"),
    (f"{SETTINGS}/sessions", "Browser sessions"),
    (f"{SETTINGS}/security", "Security"),
)
_OF_ORGANIZATION: Final = (
    (f"{ORGANIZATION}/members", "Members"),
    (f"{ORGANIZATION}/apps", "Apps"),
    (f"{ORGANIZATION}/policies", "Policies"),
    (f"{ORGANIZATION}/balance", "Balance"),
    (f"{ORGANIZATION}/audit", "Audit log"),
)
_OF_OPERATOR: Final = (
    (f"{OPERATOR}/organizations", "Organizations"),
    (f"{OPERATOR}/users", "Users"),
    (f"{OPERATOR}/policies", "Policies"),
    (f"{OPERATOR}/clients", "Clients"),
    (f"{OPERATOR}/signing-keys", "Signing keys"),
    (f"{OPERATOR}/health", "Health"),
)


def _navigation(visitor: Visitor, current: str) -> tuple[LinkGroup, ...]:
    groups = [_group("Your account", _OWN, current)]
    if visitor.leads:
        groups.append(_group(visitor.principal.identity.organization_display_name, _OF_ORGANIZATION, current))
    if visitor.operates:
        groups.append(_group("Operator", _OF_OPERATOR, current))
    return tuple(groups)


def _group(heading: str, lines: tuple[tuple[str, str], ...], current: str) -> LinkGroup:
    links = (Link(url=url, label=label, current=url == current) for url, label in lines)
    return LinkGroup(heading=heading, links=tuple(links))
