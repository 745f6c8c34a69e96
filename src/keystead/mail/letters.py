"""Every letter that the server sends, in words. Each says what happened, what to do, what to do if it was not oneself,
and why one gets it.

Addresses of pages are whole ones (``https://…``). Names that other people chose are made harmless: they stay on one
line, and mail programs find no link in them, so that nobody can send advertisements as an invitation.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from keystead.kernel.secrets import Secret
from keystead.mail.models import Letter

_ROLES = {"owner": "an owner", "admin": "an admin", "member": "a member"}


def password_reset(product_name: str, to: str, url: Secret | str, minutes: int) -> Letter:
    """Somebody asked for a new password. ``minutes`` is the life of the link at ``url``."""
    return Letter(
        to=to,
        subject=f"Choose a new password for {product_name}",
        paragraphs=(
            f"Somebody asked for a new password for your account at {product_name}.",
            f"Press the button to choose one. It works once, within {_counted(minutes, 'minute')}.",
        ),
        button=_button("Choose a new password", url),
        closing=(
            "If it was not you, do nothing: your password stays, and nobody can change it without this letter.",
            f"You get this letter because this is the e-mail address of an account at {product_name}.",
        ),
    )


def password_changed(product_name: str, to: str, address: str | None, url: Secret | str) -> Letter:
    """The password was changed, from the network address ``address``; ``url`` is where one asks for a new one."""
    return Letter(
        to=to,
        subject=f"Your password for {product_name} was changed",
        paragraphs=(
            f"The password of your account at {product_name} was changed{_from(address)}.",
            "If it was you, there is nothing to do.",
        ),
        button=_button("It was not me: choose a new password", url),
        closing=(
            "If it was not you, press the button at once. Then look in Account Settings for keys and devices that are "
            "not yours.",
            f"You get this letter because this is the e-mail address of an account at {product_name}.",
        ),
    )


def password_set(product_name: str, to: str, organization: str, url: Secret | str) -> Letter:
    """Somebody who leads an organization, or operates the server, set the password; ``url`` asks for a new one."""
    organization = harmless(organization)
    return Letter(
        to=to,
        subject=f"Your password for {product_name} was set anew",
        paragraphs=(
            f"Somebody who looks after the accounts of {organization} at {product_name} set a new password for yours, "
            "and you are signed out everywhere.",
            "They will tell you the password. It is better if you alone know it: press the button to choose another "
            "one.",
        ),
        button=_button("Choose a password of your own", url),
        closing=(
            "If you did not ask for this, press the button as well, and ask an owner or an admin of your organization "
            "who did it and why.",
            f"You get this letter because this is the e-mail address of an account at {product_name}.",
        ),
    )


def prove_email(product_name: str, to: str, url: Secret | str, hours: int) -> Letter:
    """Somebody signs up with this address. ``hours`` is the life of the link at ``url``, which makes the account."""
    return Letter(
        to=to,
        subject=f"Finish signing up for {product_name}",
        paragraphs=(
            f"Somebody signs up for {product_name} with this e-mail address.",
            f"If it is you, press the button to finish. It works once, within {_counted(hours, 'hour')}.",
        ),
        button=_button("Finish signing up", url),
        closing=(
            "If it was not you, do nothing: no account is made without this letter.",
            f"You get this letter because somebody gave this address at {product_name}.",
        ),
    )


def already_known(product_name: str, to: str, url: Secret | str) -> Letter:
    """Somebody signed up with an address that has an account already; ``url`` is the sign-in page."""
    return Letter(
        to=to,
        subject=f"You have an account at {product_name} already",
        paragraphs=(
            f"Somebody signs up for {product_name} with this e-mail address, but it has an account already.",
            "If it is you, sign in instead. If you forgot your password, the sign-in page helps you to a new one.",
        ),
        button=_button("Sign in", url),
        closing=(
            "If it was not you, do nothing: your account stays as it is.",
            f"You get this letter because this is the e-mail address of an account at {product_name}.",
        ),
    )


def invitation(  # noqa: PLR0917 - in the order of the sentence
    product_name: str, to: str, organization: str, inviter: str, role: str, url: Secret | str, days: int
) -> Letter:
    """``inviter`` invites somebody into an organization. ``days`` is the life of the link at ``url``."""
    organization, inviter = harmless(organization), harmless(inviter)
    return Letter(
        to=to,
        subject=f"Invitation to {organization} at {product_name}",
        paragraphs=(
            f"{inviter} invites you to join the organization {organization} at {product_name}, as "
            f"{_ROLES.get(role, role)}.",
            f"Press the button to see the invitation. It works once, within {_counted(days, 'day')}. "
            "If you have no account yet, you make one there.",
        ),
        button=_button("See the invitation", url),
        closing=(
            "If you do not know who invites you, or do not want to join, do nothing: an invitation that nobody accepts "
            f"ends by itself after {_counted(days, 'day')}.",
            f"You get this letter because somebody at {product_name} gave this address to invite you.",
        ),
    )


def keys_expiring(product_name: str, to: str, keys: Sequence[tuple[str, str, str, int]], url: Secret | str) -> Letter:
    """Some API keys end soon: of each its title, app, hint and end in Unix seconds. ``url`` lists one's keys."""
    one = len(keys) == 1
    return Letter(
        to=to,
        subject=f"{'An API key' if one else f'{len(keys)} API keys'} of yours at {product_name} "
        f"{'expires' if one else 'expire'} soon",
        paragraphs=(
            f"{'This API key' if one else 'These API keys'} of yours at {product_name} "
            f"{'expires' if one else 'expire'} soon, and from then on {'it is' if one else 'they are'} refused:",
        ),
        items=tuple(f"{_line(title)} ({_line(app)}, {hint}): {moment_of(end)}" for title, app, hint, end in keys),
        button=_button("See your API keys", url),
        closing=(
            "A program that still needs one should get a new key before then: rotate the key, and for a while both "
            "work. If nothing uses it any more, do nothing.",
            "If you did not make one of these keys, delete it there at once, and change your password.",
            "You get this letter, once for each key, because you made the key or it was given to you.",
        ),
    )


def second_factor_changed(product_name: str, to: str, what: str, address: str | None, url: Secret | str) -> Letter:
    """How one proves who one is has changed. ``what`` is a sentence without its full stop, such as "A passkey was
    added to your account"; ``url`` is the security page of Account Settings.
    """
    return Letter(
        to=to,
        subject=f"The second step of signing in to {product_name} was changed",
        paragraphs=(
            f"How you sign in to {product_name} has changed.",
            f"{_line(what)}{_from(address)}.",
            "If it was you, there is nothing to do.",
        ),
        button=_button("See how your account is secured", url),
        closing=(
            "If it was not you, somebody knows your password: press the button, change your password, and remove what "
            "is not yours.",
            f"You get this letter because this is the e-mail address of an account at {product_name}.",
        ),
    )


def acted_as(product_name: str, to: str, operator: str, reason: str, url: Secret | str) -> Letter:
    """An operator begins to act as somebody, and says why; ``url`` is Account Settings."""
    return Letter(
        to=to,
        subject=f"An operator of {product_name} acts as you",
        paragraphs=(
            f"The operator {harmless(operator)} of {product_name} begins to see your account as you see it, for an "
            "hour at most.",
            f"The reason given is: {harmless(reason)}",
            "Nothing can be changed or made in your name meanwhile.",
        ),
        button=_button("See it in Account Settings", url),
        closing=(
            "If you did not expect this, ask the operator about it. You can end it there, under Browser sessions.",
            f"You get this letter because this is the e-mail address of an account at {product_name}.",
        ),
    )


def removed_from(product_name: str, to: str, organization: str) -> Letter:
    """Somebody is no member of an organization any more."""
    organization = harmless(organization)
    return Letter(
        to=to,
        subject=f"You are no longer a member of {organization} at {product_name}",
        paragraphs=(
            f"An owner or an admin of the organization {organization} at {product_name} removed you from it.",
            "What you had there no longer works for you: its API keys, tokens and devices. Your account stays.",
        ),
        closing=(
            "If you think that this is a mistake, ask somebody of the organization to invite you again. There "
            "is nothing else to do.",
            "You get this letter because you were a member of this organization.",
        ),
    )


def trial(product_name: str, to: str) -> Letter:
    """What ``keystead admin send-test-mail`` sends."""
    return Letter(
        to=to,
        subject=f"{product_name} can send e-mail",
        paragraphs=(
            f"This letter was sent to try whether {product_name} can send e-mail. It can.",
            "There is nothing to do.",
        ),
        closing=(
            f"You get this letter because an operator of {product_name} gave your address for the trial. If you do not "
            "know one, somebody mistyped an address.",
        ),
    )


def harmless(name: str) -> str:
    """Return a name that somebody else chose, on one line and without what mail programs turn into a link."""
    plain = re.sub(r"\w+://|@", " ", name)
    return _line(re.sub(r"\.(?=[^\W\d_])", ". ", plain))


def moment_of(moment: int) -> str:
    """Return a moment in Unix seconds to the minute: 14 March 2026, 09:26 UTC."""
    at = datetime.fromtimestamp(moment, UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def _line(text: str) -> str:
    """Return a text on one line, without characters that cannot be seen."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _button(label: str, url: Secret | str) -> tuple[str, Secret]:
    return label, url if isinstance(url, Secret) else Secret(url)


def _from(address: str | None) -> str:
    return f", from the network address {address}" if address else ""


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
