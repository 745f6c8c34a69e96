"""What the pages of second factors share: the password that each change asks for, and what follows a change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from starlette.responses import Response

from keystead.accounts.service import Accounts
from keystead.factors.service import Factors
from keystead.kernel.problems import FieldProblem, InvalidParameters, Unauthenticated
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.mail.service import Mailer
from keystead.sessions.second_factors import SecondFactors
from keystead.sessions.service import Sessions
from keystead.web.frame import SETTINGS, Frames, SettingsPage, Visitor, done, page
from keystead.wire.limiter import Limiter

PATH: Final = f"{SETTINGS}/security"
PASSWORD_FIELD: Final = "current_password"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfirm(SettingsPage):
    """The question before a change of second factors, with the password that it asks for.

    ``error`` is what was wrong with the password, ``refusal`` why it cannot be done at all.
    """

    template: ClassVar[str] = "settings/security_confirm.html"
    title: str
    sentences: tuple[str, ...]
    action: str
    button: str
    harmless: bool = False
    has_password: bool
    error: str = ""
    refusal: str = ""
    cancel: str = PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCodes(SettingsPage):
    """Fresh recovery codes, which are shown this once. ``lead`` says why they are there."""

    template: ClassVar[str] = "settings/recovery_codes.html"
    lead: str
    codes: tuple[str, ...] = field(repr=False)
    close_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityDesk:
    """The services that these pages call, and what each of them does."""

    settings: Settings
    frames: Frames
    accounts: Accounts
    sessions: Sessions
    factors: Factors
    second_factors: SecondFactors
    mailer: Mailer
    limiter: Limiter

    async def has_password(self, visitor: Visitor) -> bool:
        """Tell whether the visitor has a password. Raises Unauthenticated when they were removed meanwhile."""
        user = await self.accounts.user_by_id(visitor.principal.identity.user_id)
        if user is None:
            raise Unauthenticated()
        return user.password_hash is not None

    async def check_password(self, visitor: Visitor, form: Mapping[str, str]) -> None:
        """Raise InvalidParameters on ``current_password`` unless that is the visitor's password.

        So that a browser that was left open, or a cookie that was stolen, changes no second factor. Somebody without a
        password is not asked for one. Raises RateLimited after too many tries.
        """
        user = await self.accounts.user_by_id(visitor.principal.identity.user_id)
        if user is None:
            raise Unauthenticated()
        if user.password_hash is None:
            return
        await self.limiter.charge("sign_in", f"change:{user.id}")
        if not await self.accounts.password_is_right(user, Secret(form.get(PASSWORD_FIELD, "")), known_device=True):
            sentence = "This is not your password."
            raise InvalidParameters(sentence, fields=[FieldProblem("body", PASSWORD_FIELD, "wrong", sentence)])

    def added(self, visitor: Visitor, codes: tuple[Secret, ...], word: str) -> Response:
        """Go on after a factor was added: with the recovery codes, if it was the first."""
        if not codes:
            return done(PATH, word)
        lead = "Keep these codes where you will find them when your device is lost or broken."
        return self.show_codes(visitor, codes, lead, word)

    def show_codes(self, visitor: Visitor, codes: tuple[Secret, ...], lead: str, word: str) -> Response:
        """Show recovery codes, which nobody can show again."""
        return page(
            RecoveryCodes(
                product_name=self.frames.product_name,
                frame=visitor.frame(PATH),
                lead=lead,
                codes=tuple(code.reveal() for code in codes),
                close_url=f"{PATH}?done={word}",
            )
        )

    async def losing(self, visitor: Visitor, factors_left: int) -> tuple[str, ...]:
        """Return what removing a factor means beyond itself, when ``factors_left`` are left afterwards."""
        if factors_left:
            return ()
        asking = [one for one in await self.frames.memberships(visitor) if one.second_factor_required]
        if asking:
            name = asking[0].organization_display_name
            return (
                "It is your last second factor, so your recovery codes end with it. "
                f"{name} asks its members for a second factor: at your next sign-in you have to set one up again.",
            )
        return (
            "It is your last second factor, so your recovery codes end with it, and from then on your password alone "
            "lets somebody in.",
        )


def errors_by_field(problem: InvalidParameters) -> dict[str, str]:
    """Return what is wrong with each field of a form."""
    return {one.name: one.detail for one in problem.fields}
