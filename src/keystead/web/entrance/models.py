"""What the pages of the entrance show. ``errors`` has a sentence for each field that does not fit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from markupsafe import Markup

from keystead.sessions.models import PasskeyQuestion
from keystead.web import views

SECOND_FACTOR_PATH: Final = "/sign-in/second-factor"
ENROL_PATH: Final = "/sign-in/enrol"
PASSKEY_PATH: Final = "/sign-in/passkey"


def _none() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeySignIn(views.Page):
    """Signing in with a passkey and nothing else. ``problem`` says why it did not work the last time."""

    template: ClassVar[str] = "entrance/passkey.html"
    next: str
    question: PasskeyQuestion
    password_url: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor(views.Page):
    """The step after the password. ``totp`` and ``recovery_codes`` tell what the person has.

    ``question`` is what their passkeys are asked, None for who has none.
    """

    template: ClassVar[str] = "entrance/second_factor.html"
    next: str
    username: str
    form_token: str
    again_url: str
    totp: bool
    recovery_codes: bool
    question: PasskeyQuestion | None = None
    errors: Mapping[str, str] = field(default_factory=_none)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol(views.Page):
    """Setting up an authenticator app, because the organization asks for a second factor.

    ``qr`` is the app's QR code as SVG, ``secret`` the same to be typed.
    """

    template: ClassVar[str] = "entrance/enrol.html"
    next: str
    username: str
    form_token: str
    sealed: str
    qr: Markup
    secret: str
    errors: Mapping[str, str] = field(default_factory=_none)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstCodes(views.Page):
    """The recovery codes, shown this once. ``signed_in`` tells that the session has begun."""

    template: ClassVar[str] = "entrance/first_codes.html"
    codes: tuple[str, ...]
    on_url: str
    signed_in: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgot(views.Page):
    """Asking for a link to a new password. Without ``by_mail`` the operator makes the links."""

    template: ClassVar[str] = "entrance/forgot.html"
    by_mail: bool
    email: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(views.Page):
    """Choosing a new password by a link."""

    template: ClassVar[str] = "entrance/reset.html"
    action: str
    username: str
    shortest: int
    errors: Mapping[str, str] = field(default_factory=_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp(views.Page):
    """Asking for the letter that proves an e-mail address."""

    template: ClassVar[str] = "entrance/sign_up.html"
    next: str
    sign_in_url: str
    email: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount(views.Page):
    """Making an account with a proven e-mail address.

    ``joins`` is the organization that the person was invited to, until ``ends_at`` in Unix seconds; without, they name
    one of their own.
    """

    template: ClassVar[str] = "entrance/new_account.html"
    action: str
    email: str
    shortest: int
    joins: str = ""
    inviter: str = ""
    role: str = ""
    ends_at: int = 0
    sign_in_url: str = ""
    username: str = ""
    name: str = ""
    organization: str = ""
    errors: Mapping[str, str] = field(default_factory=_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation(views.Page):
    """An invitation, for somebody who is signed in. ``email`` is the invited address, ``ends_at`` in Unix seconds."""

    template: ClassVar[str] = "entrance/invitation.html"
    action: str
    form_token: str
    organization: str
    inviter: str
    role: str
    email: str
    ends_at: int
    account: views.Account
    other_address: bool
    another_account_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationSignIn(views.Page):
    """An invitation for an address that has an account, shown to somebody who is not signed in."""

    template: ClassVar[str] = "entrance/invitation_sign_in.html"
    organization: str
    inviter: str
    role: str
    email: str
    ends_at: int
    sign_in_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(views.Page):
    """What became of something, and where to go from here."""

    template: ClassVar[str] = "entrance/notice.html"
    title: str
    sentences: tuple[str, ...]
    link_url: str
    link: str
