"""What was done, in a sentence: every event of the audit log in words that stand after a name or alone.

"Added the passkey “Phone”." reads well in a person's own list and, after a name, in that of an organization.
"""

import json
from typing import Any, Final

from keystead.audit.models import AuditEvent, ToldEvent

_ISOLATE, _POP = "\u2068", "\u2069"
"""Around names that people chose, so that one in Arabic does not turn the sentence round (Unicode, UAX 9)."""

SENTENCES: Final[dict[str, tuple[str, ...]]] = {
    "app:create": ("Made the app “{name}”.", "Made an app."),
    "app:delete": ("Deleted the app “{name}” with its API keys.", "Deleted an app with its API keys."),
    "balance:add": ("Added {amount} to the balance.", "Added to the balance."),
    "client:delete": ("Deleted a client.",),
    "client:switch-off": ("Switched a client off.",),
    "client:switch-on": ("Switched a client on again.",),
    "device:approve": ("Let a device in.",),
    "device:refuse": ("Refused a device.",),
    "grant:open": ("Signed a device in.",),
    "grant:reuse": ("Signed a device out, because its sign-in was used by somebody else as well.",),
    "grant:revoke": ("Signed a device out.",),
    "grant:revoke-all": ("Signed every device out of an app.",),
    "invitation:accept": ("Accepted an invitation to the organization.",),
    "invitation:create": ("Invited {email} as {role}.", "Invited somebody."),
    "invitation:delete": ("Took back the invitation of {email}.", "Took back an invitation."),
    "key:create": ("Made the API key “{title}” ({hint}).", "Made an API key."),
    "key:delete": ("Deleted an API key.",),
    "key:exposed": ("Sent an API key over plain HTTP, where others can read it.",),
    "key:revoke": ("Revoked an API key.",),
    "key:rotate": ("Rotated an API key.",),
    "key:update": ("Changed an API key.",),
    "membership:create": ("Added a member as {role}.", "Added a member."),
    "membership:delete": ("Removed a member.",),
    "membership:sign-out": ("Signed a member out of every browser and device.",),
    "membership:update": ("Changed a member's role from {before} to {role}.", "Changed a member's role."),
    "organization:create": ("Made the organization “{name}”.", "Made an organization."),
    "organization:set-policies": ("Changed the organization's policies.",),
    "passkey:add": ("Added the passkey “{name}”.", "Added a passkey."),
    "passkey:refuse": ("Was refused with a passkey that may have been copied. Remove it if it is not yours.",),
    "passkey:remove": ("Removed the passkey “{name}”.", "Removed a passkey."),
    "passkey:rename": ("Renamed a passkey to “{name}”.", "Renamed a passkey."),
    "recovery-code:use": ("Used a recovery code.",),
    "recovery-codes:make": ("Got new recovery codes.",),
    "second-factor:remove-all": ("Removed every second factor of a user.",),
    "session:create": ("Signed in with a browser.",),
    "session:delete": ("Signed a browser out.",),
    "session:delete-others": ("Signed out in all other browsers.",),
    "session:impersonate": (
        "Acted as {username}, for this reason: {reason}",
        "Acted as another user.",
    ),
    "session:impersonate-end": ("Ended that an operator acted as a user.",),
    "signing-key:create": ("Made a signing key.",),
    "token:create": ("Made a short-term token.",),
    "token:revoke": ("Revoked a short-term token.",),
    "totp:add": ("Added an authenticator app.",),
    "totp:remove": ("Removed an authenticator app.",),
    "user:create": ("Made the user “{username}”.", "Made a user."),
    "user:reset-link": ("Made a link to a new password for a user.",),
    "user:disable": ("Disabled a user.",),
    "user:enable": ("Enabled a user again.",),
    "user:set-password": ("Set a new password.",),
}
"""For each type of event what it says, and what it says when the event does not tell the names in that."""

_SESSIONS: Final = {
    "totp": "Signed in with a browser, with an authenticator app.",
    "passkey": "Signed in with a browser, with a passkey.",
    "recovery-code": "Signed in with a browser, with a recovery code.",
    "switch": "Switched to another organization.",
    "impersonate-end": "Signed in anew after acting as a user.",
    "password-change": "Stayed signed in after a change of the password.",
}


def told_to_person(event: ToldEvent) -> str:
    """Return what a person is told of an operator who acted as them."""
    operator, detail = event.actor or "?", _detail(event)
    return f"The operator {_shown(operator)} acted as you: {_shown(detail.get('reason', '?'))}"


def sentence(event: AuditEvent) -> str:
    """Return what was done, in a sentence without its actor. An event of an unknown type is told by that."""
    detail = _detail(event)
    if event.type == "session:create":
        how = detail.get("because") or detail.get("second_factor")
        return _SESSIONS.get(str(how), SENTENCES[event.type][0])
    for text in SENTENCES.get(event.type, ()):
        try:
            return text.format_map({name: _shown(value) for name, value in detail.items()})
        except KeyError:
            continue
    subject, _, action = event.type.partition(":")
    return f"{subject}: {action}.".replace("-", " ").capitalize()


def _detail(event: AuditEvent) -> dict[str, Any]:
    try:
        found = json.loads(event.detail)
    except ValueError:
        return {}
    detail: dict[str, Any] = found if isinstance(found, dict) else {}
    cents = detail.get("amount_cents")
    return {**detail, "amount": f"{cents / 100:,.2f}"} if isinstance(cents, int) else detail


def _shown(value: object) -> str:
    return f"{_ISOLATE}{value}{_POP}"
