"""The form of the policies: read, filled and explained, for one organization and for the whole installation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from keystead.accounts.models import Policies
from keystead.kernel.problems import Conflict, Forbidden, InvalidParameters, InvalidRequest
from keystead.organizations.models import DAY, LONGEST_POLICY_DAYS
from keystead.organizations.policies import policies_after
from keystead.web.asking import messages
from keystead.web.frame import Choice

DAYS: Final = "days"
FACTOR: Final = "second_factor"
PASSWORD: Final = "password_sign_in"  # noqa: S105 - a name of a field
DEVICES: Final = "device_sign_in"
FIELDS: Final = (DAYS, FACTOR, PASSWORD, DEVICES)
"""The names of the fields, in order: a text and three questions, answered with a word of ``_ANSWERS``."""
SHOWN: Final = "shown"
"""The hidden field that says what was set when the form was shown."""

_NAMES: Final = {
    "longest_key_life": DAYS,
    "second_factor_required": FACTOR,
    "password_sign_in_off": PASSWORD,
    "device_sign_in_off": DEVICES,
}
"""The field of each policy."""
_ANSWERS: Final = {FACTOR: ("no", "yes"), PASSWORD: ("on", "off"), DEVICES: ("on", "off")}
"""The answers to each question; the second one is the stricter one."""
_WHOLE: Final = re.compile(r"[0-9]{1,6}\Z", re.ASCII)
RANGE: Final = f"Type a whole number of days from 1 to {LONGEST_POLICY_DAYS}, or nothing for no limit."
_LONGEST_TYPED: Final = 100


def _none() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with two answers. ``note`` says that the installation has answered it for everybody."""

    choices: tuple[Choice, ...]
    error: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFields:
    """What the form shows: ``days`` as it was typed, an empty text for no limit; ``most`` is the largest number.

    ``shown`` is what was set when it was shown first, as the form sends it back.
    """

    days: str
    days_error: str = ""
    days_note: str = ""
    second_factor: Question
    password_sign_in: Question
    device_sign_in: Question
    most: int = LONGEST_POLICY_DAYS
    shown: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What was typed and chosen, by field, what is wrong with it, and what was set when the form was shown."""

    given: Mapping[str, str]
    shown: Policies
    errors: Mapping[str, str] = field(default_factory=_none)

    def policies(self) -> Policies:
        """Return what was asked for. Only what has no errors says it."""
        days = self.given[DAYS]
        return Policies(
            longest_key_life=int(days) * DAY if days else None,
            second_factor_required=self._stricter(FACTOR),
            password_sign_in_off=self._stricter(PASSWORD),
            device_sign_in_off=self._stricter(DEVICES),
        )

    def misfit(self, problem: InvalidParameters) -> "Answers":
        """Return the answers with what the service said of its fields."""
        told = {_NAMES[name]: sentence for name, sentence in messages(problem).items() if name in _NAMES}
        return Answers(self.given, self.shown, {**told, DAYS: RANGE} if DAYS in told or not told else told)

    def after(self, before: Policies) -> Policies:
        """Return what would be set after ``before``. Raises Conflict and InvalidParameters, as the service does."""
        return policies_after(before, self.shown, self.policies())

    def refused(self, problem: Forbidden, before: Policies) -> "Answers":
        """Return the answers with a refusal at what they would turn on: only that asks who is asking.

        Raises the refusal where nothing is turned on that was off.
        """
        turned_on = newly_required(before, self.after(before))
        if not turned_on:
            raise problem
        return Answers(self.given, self.shown, dict.fromkeys(turned_on, problem.detail))

    def _stricter(self, name: str) -> bool:
        return self.given[name] == _ANSWERS[name][1]


def read_answers(form: Mapping[str, str]) -> Answers:
    """Return what a form says, with a sentence at each field that does not fit. Raises InvalidRequest."""
    given, errors = _read(form)
    shown, misread = _read(dict(zip(FIELDS, form.get(SHOWN, "").split(","), strict=False)))
    if misread:
        raise InvalidRequest("This form does not say what it has shown. Open the page again, and choose there.")
    return Answers(given, Answers(shown, Policies()).policies(), errors)


def changed_meanwhile(problem: Conflict, now: Policies) -> Answers:
    """Return the answers that say what is set now, with a sentence where somebody else changed it meanwhile."""
    told = {_NAMES[name]: sentence for name, sentence in messages(problem).items()}
    return replace(answers_of(now), errors=told)


def shown_text(policies: Policies) -> str:
    """Return what the form sends back of what it has shown."""
    return ",".join(_given(policies)[name] for name in FIELDS)


def _read(form: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the fields of a form, and what is wrong with them."""
    given = {name: form.get(name, "").strip()[:_LONGEST_TYPED] for name in FIELDS}
    errors = {name: "Choose one of the two." for name, words in _ANSWERS.items() if given[name] not in words}
    if given[DAYS] and _WHOLE.match(given[DAYS]) is None:
        errors[DAYS] = RANGE
    return given, errors


def answers_of(policies: Policies) -> Answers:
    """Return the answers that say what is set."""
    return Answers(_given(policies), policies)


def _given(policies: Policies) -> Mapping[str, str]:
    life = policies.longest_key_life
    return {
        DAYS: "" if life is None else str(-(-life // DAY)),
        FACTOR: _ANSWERS[FACTOR][policies.second_factor_required],
        PASSWORD: _ANSWERS[PASSWORD][policies.password_sign_in_off],
        DEVICES: _ANSWERS[DEVICES][policies.device_sign_in_off],
    }


def newly_required(before: Policies, wanted: Policies) -> tuple[str, ...]:
    """Return the fields that would turn something on by which people may lose their way in."""
    factor = wanted.second_factor_required and not before.second_factor_required
    password = wanted.password_sign_in_off and not before.password_sign_in_off
    return (*([FACTOR] if factor else ()), *([PASSWORD] if password else ()))


def fields_of(answers: Answers, here: str, installation: Policies | None = None) -> PolicyFields:
    """Return the form with these answers. ``here`` is what people sign in to, as in "this organization".

    ``installation`` is what the whole installation asks anyway: what it asks is said beside the field.
    """
    asked = installation or Policies()
    life = asked.longest_key_life
    return PolicyFields(
        days=answers.given[DAYS],
        days_error=answers.errors.get(DAYS, ""),
        days_note="" if life is None else f"This installation lets no new key live longer than {_days(life)}.",
        second_factor=_question(answers, FACTOR, _FACTOR, asked=asked.second_factor_required, here=here),
        password_sign_in=_question(answers, PASSWORD, _PASSWORD, asked=asked.password_sign_in_off, here=here),
        device_sign_in=_question(answers, DEVICES, _DEVICES, asked=asked.device_sign_in_off, here=here),
        shown=shown_text(answers.shown),
    )


_FACTOR: Final = (
    ("Everybody decides for themselves", "A password alone is enough to sign in."),
    (
        "Everybody needs a second factor",
        "Whoever is signed in to {here} with a password alone is signed out, and sets up an authenticator app or a "
        "passkey at the next sign-in. Keys and devices go on working. You can turn it on once you have signed in with "
        "a second factor yourself.",
    ),
)
_PASSWORD: Final = (
    ("With a password or a passkey", "Everybody chooses at each sign-in."),
    (
        "With a passkey only",
        "Nobody signs in to {here} with a password any more. Who is signed in stays so and should add a passkey under "
        "Security before they sign out: without one, they do not come in again. You can turn it "
        "on once you have signed in with a passkey yourself.",
    ),
)
_DEVICES: Final = (
    ("People sign in devices and programs with a code", "They are listed under Apps and devices of each person."),
    (
        "Nobody signs in a device",
        "No sign-in with a code is approved any more. What is signed in stays so until it ends or is signed out. "
        "API keys and short-term tokens go on working.",
    ),
)


def _question(answers: Answers, name: str, texts: tuple[tuple[str, str], ...], *, asked: bool, here: str) -> Question:
    return Question(
        choices=tuple(
            Choice(value=word, label=label, hint=hint.format(here=here), checked=answers.given[name] == word)
            for word, (label, hint) in zip(_ANSWERS[name], texts, strict=True)
        ),
        error=answers.errors.get(name, ""),
        note=_NOTES[name] if asked else "",
    )


_NOTES: Final = {
    FACTOR: "This installation requires it of everybody.",
    PASSWORD: "This installation has sign-in with a password off for everybody.",
    DEVICES: "This installation has sign-in of devices off for everybody.",
}


def _days(seconds: int) -> str:
    days = -(-seconds // DAY)
    return "1 day" if days == 1 else f"{days} days"
