"""What each page shows: one frozen view model per page, filled by the routes and handed to `render`.

Times are Unix seconds and durations are seconds; the templates turn both into words. Names, addresses and codes are
passed as they are: escaping is the templates' work.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import quote

SIGN_IN_PATH = "/sign-in"
SIGN_OUT_PATH = "/sign-out"
DEVICE_PATH = "/getServiceKeys/device"
PROBLEMS_PATH = "/problems"
HOME_PATH = "/"

SignInError = Literal["wrong", "too_many", "refused"]
CodeError = Literal["unknown", "malformed"]
DeviceState = Literal["approved", "denied", "expired", "used", "unknown", "too_many", "form_expired"]
Obstacle = Literal["second_factor", "password", "devices"]
"""Why an organization cannot be chosen at approval.

It asks for a second factor, or for more than a password, and the session was begun without; or it lets no device in.
"""


def device_url(user_code: str) -> str:
    """The page that shows the request behind a user code; the entry form when there is no code yet."""
    if not user_code:
        return DEVICE_PATH
    return f"{DEVICE_PATH}?user_code={quote(user_code, safe='')}"


def sign_in_url(next_path: str) -> str:
    """The sign-in page, from which the person goes on to ``next_path``."""
    return f"{SIGN_IN_PATH}?next={quote(next_path, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page has: the template that draws it and the name of this installation in its header."""

    template: ClassVar[str]
    product_name: str = "Keystead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The person who is signed in, as they know themselves. The e-mail address may be empty."""

    username: str
    email: str = ""

    @property
    def label(self) -> str:
        """The e-mail address where there is one, for it says more than a user name."""
        return self.email or self.username


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeLine:
    """One permission: the scope as it goes over the wire, and a sentence such as "Create API keys"."""

    scope: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationChoice:
    """An organization the person may choose at approval, with what their role there does not allow.

    One that is `blocked` by something cannot be chosen.
    """

    id: str
    name: str
    role: str
    withheld: tuple[ScopeLine, ...] = ()
    blocked: Obstacle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn(Page):
    """The sign-in form. `user_code` is set when the person comes from a device sign-in and goes back to it.

    `username` is kept after a wrong password. `wait_seconds` belongs to the error "too_many", `refusal` to "refused":
    the password was right and is not enough, whatever is typed again.
    `current` is who is signed in already, when somebody came here to use another account. `notice` says why somebody
    is here again. `sign_up_url` is empty where nobody can sign up by themselves.
    """

    template: ClassVar[str] = "sign_in.html"
    next: str = HOME_PATH
    username: str = ""
    error: SignInError | None = None
    wait_seconds: int = 0
    refusal: str = ""
    user_code: str = ""
    current: Account | None = None
    signed_out: bool = False
    notice: str = ""
    passkey_url: str = "/sign-in/passkey"
    forgot_url: str = "/sign-in/forgot"
    sign_up_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEnter(Page):
    """The form for the code a device shows. `typed` is what the person entered, kept after an error."""

    template: ClassVar[str] = "device_enter.html"
    account: Account
    typed: str = ""
    error: CodeError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConsent(Page):
    """The decision about one pending device sign-in (RFC 8628 section 3.3 and section 5.4, remote phishing).

    `user_code` is written as the device shows it, BCDF-GHJK. `machine` and `address` may be empty when unknown, and so
    may `device_name`, which the device gave itself, as the client did `client_name`.
    `scopes` are those the permission will hold; `withheld` were asked for and are given in none of the organizations;
    what only one organization's role refuses stands with that organization.
    """

    template: ClassVar[str] = "device_consent.html"
    form_token: str
    user_code: str
    client_name: str
    device_name: str = ""
    machine: str
    address: str
    requested_at: int
    expires_at: int
    now: int
    scopes: tuple[ScopeLine, ...]
    withheld: tuple[ScopeLine, ...] = ()
    organizations: tuple[OrganizationChoice, ...]
    selected_organization: str = ""
    organization_missing: bool = False
    grant_seconds: int
    account: Account
    security_url: str = "/settings/security"

    def blocked_by(self, obstacle: Obstacle) -> tuple[OrganizationChoice, ...]:
        """The organizations that cannot be chosen because of this."""
        return tuple(one for one in self.organizations if one.blocked == obstacle)

    @property
    def choosable(self) -> bool:
        """Whether there is an organization for which the person can approve."""
        return not all(one.blocked for one in self.organizations)

    @property
    def another_account_url(self) -> str:
        """Sign in as somebody else and come back to this code; a plain link changes nothing by itself."""
        return sign_in_url(device_url(self.user_code))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOutcome(Page):
    """What became of a device sign-in. Only "approved" needs the client, the account and the organization.

    `wait_seconds` belongs to "too_many"; `user_code` to "form_expired", whose link keeps the code.
    """

    template: ClassVar[str] = "device_outcome.html"
    state: DeviceState
    user_code: str = ""
    client_name: str = ""
    device_name: str = ""
    account: Account | None = None
    organization: str = ""
    grant_seconds: int = 0
    wait_seconds: int = 0

    @property
    def again_url(self) -> str:
        """The request once more, with its code."""
        return device_url(self.user_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemPage(Page):
    """A refusal, for a browser. `detail` says what happened, `next_step` what to do about it.

    `reference` is the incident or request id a person can quote; `retry_after` is in seconds, 0 when waiting does
    not help; `code` is empty when the problem has no page of documentation.
    """

    template: ClassVar[str] = "problem.html"
    status: int
    title: str
    detail: str
    next_step: str = ""
    code: str = ""
    reference: str = ""
    retry_after: int = 0

    @property
    def documentation_url(self) -> str:
        """The page that explains this problem."""
        return f"{PROBLEMS_PATH}/{quote(self.code, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDoc(Page):
    """The documentation of one problem. `meaning` may hold paragraphs, divided by an empty line."""

    template: ClassVar[str] = "problem_doc.html"
    code: str
    status: int
    title: str
    meaning: str
    what_to_do: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemEntry:
    """One line of the list of problems."""

    code: str
    status: int
    title: str

    @property
    def url(self) -> str:
        """The page that explains this problem."""
        return f"{PROBLEMS_PATH}/{quote(self.code, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemsIndex(Page):
    """The list of all problems, in the order in which they are given."""

    template: ClassVar[str] = "problems_index.html"
    problems: tuple[ProblemEntry, ...]
