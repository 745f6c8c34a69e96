"""The rules of the organizations room: who may do what to whom, and what a policy may be. All are pure."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

from keystead.accounts.models import Policies
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, FieldProblem, Forbidden, InvalidParameters, NotFound
from keystead.kernel.scopes import Role
from keystead.organizations.models import (
    DAY,
    LIFE,
    LONGEST_POLICY_DAYS,
    POLICY_NAMES,
    Account,
    FoundInvitation,
    Standing,
)

ONLY_OWNER: Final = "An organization always has an owner, and there is no other one. Make somebody else an owner first."
CHANGED_MEANWHILE: Final = (
    "Somebody else changed this meanwhile. Nothing was saved; what is set now is shown. Choose again if you want to."
)
LONGEST_SEARCH: Final = 254
"""Characters of a search that count: as many as an e-mail address has at most."""
_LEADERS: Final = frozenset({Role.OWNER, Role.ADMIN})


def check_leads(role: Role) -> Role:
    """Raise Forbidden unless this is the role of an owner or an admin."""
    if role not in _LEADERS:
        raise Forbidden("Only owners and admins of the organization may do this. Ask one of them.")
    return role


def role_of_leader(standing: Standing | None) -> Role:
    """Return the role that an acting person has at this moment. Raises Forbidden unless they still lead."""
    if standing is None or standing.disabled_at is not None:
        raise Forbidden("You are no longer a member of this organization.")
    return check_leads(Role(standing.role))


def check_operates(principal: Principal) -> None:
    """Raise Forbidden unless this is an operator of the installation."""
    if not principal.identity.platform_admin:
        raise Forbidden("Only operators of this installation may do this.")


def check_still_operates(platform_admin: int | None) -> None:
    """Raise Forbidden unless the acting person is an operator at this moment; None for a disabled one."""
    if not platform_admin:
        raise Forbidden("You are no longer an operator of this installation.")


def may_give(actor: Role, role: Role) -> bool:
    """Tell whether somebody with the role ``actor`` may make others what ``role`` is: nobody gives more than theirs."""
    return actor is Role.OWNER or (actor is Role.ADMIN and role is not Role.OWNER)


def check_may_give(actor: Role, role: Role) -> None:
    """Raise Forbidden unless ``actor`` may make others what ``role`` is."""
    if not may_give(actor, role):
        raise Forbidden("Only an owner may make somebody an owner. Ask one of them.")


def check_change_of_role(actor: Role, target: Role, new: Role, *, own: bool) -> None:
    """Raise Forbidden unless somebody who is ``actor`` may make ``new`` of somebody who is ``target``.

    Nobody changes their own role, except an owner, who may step down while another one stays; whether one does is not
    looked at here.
    """
    if own and actor is not Role.OWNER:
        raise Forbidden("Nobody changes their own role. Ask an owner or another admin.")
    if target is Role.OWNER and actor is not Role.OWNER:
        raise Forbidden("Only an owner may change the role of an owner. Ask one of them.")
    check_may_give(actor, new)


def check_removal(actor: Role, target: Role, *, own: bool) -> None:
    """Raise Conflict for somebody who would remove themselves, and Forbidden for an admin who would remove an owner."""
    if own:
        raise Conflict("Nobody removes themselves. Ask another owner or admin of the organization.")
    if target is Role.OWNER and actor is not Role.OWNER:
        raise Forbidden("Only an owner may remove an owner. Ask one of them.")


def check_may_sign_out(actor: Role | None, target: Role) -> None:
    """Raise Forbidden unless ``actor``, a role in the organization, may sign somebody who is ``target`` out of it.

    None stands for an operator of the installation, who may.
    """
    if actor is None:
        return
    check_leads(actor)
    if target is Role.OWNER and actor is not Role.OWNER:
        raise Forbidden("Only an owner may sign an owner out. Ask one of them.")


def check_may_reset(actor: Role | None, account: Account) -> None:
    """Raise Forbidden unless ``actor``, the role of somebody in the organization, may set anew how a person signs in.

    None stands for an operator of the installation, who may. There is one account for all organizations of a person: a
    weaker sign-in, or a password that somebody else knows, opens the other ones as well, so their admins are not asked
    by one of them but by an operator.
    """
    if actor is None:
        return
    check_leads(actor)
    if account.platform_admin:
        raise Forbidden("Only operators of this installation may do this to an operator's account.")
    if account.role == Role.OWNER.value and actor is not Role.OWNER:
        raise Forbidden("Only an owner may do this to an owner's account. Ask one of them.")
    if account.organizations > 1:
        raise Forbidden(
            "The person belongs to another organization as well, and has one account for both. Ask an operator of this "
            "installation."
        )


def still_stands(found: FoundInvitation) -> bool:
    """Tell whether whoever made an invitation could make it today; on the server's host one always could.

    Otherwise somebody who was removed, or lost their role, could have let themselves in again beforehand.
    """
    if found.inviter is None:
        return True
    if found.inviter_disabled_at is not None:
        return False
    if found.inviter_operates:
        return True
    return found.inviter_role is not None and may_give(Role(found.inviter_role), Role(found.role))


def read_role(text: str) -> Role:
    """Return the role that a form names. Raises InvalidParameters."""
    try:
        return Role(text)
    except ValueError:
        sentence = "Choose one of the roles: owner, admin or member."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "role", "choice", sentence)]) from None


def check_fate(keys: str) -> None:
    """Raise InvalidParameters unless this says what becomes of the keys of somebody who is removed."""
    if keys not in {"delete", "take"}:
        sentence = "Choose what happens to the person's API keys: delete them, or take them over."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "keys", "choice", sentence)])


def check_policies(policies: Policies) -> None:
    """Raise InvalidParameters for a life of keys that is not a whole number of days, 1 to 3,650 of them."""
    life = policies.longest_key_life
    if life is not None and (life % DAY or not 1 <= life // DAY <= LONGEST_POLICY_DAYS):
        sentence = f"The longest life of an API key is 1 to {LONGEST_POLICY_DAYS} whole days, or nothing."
        raise InvalidParameters(sentence, fields=[FieldProblem("body", "longest_key_life", "range", sentence)])


def change_of(name: str, value: int) -> Callable[[Policies], Policies]:
    """Return what gives one policy, by the name that the API has for it, another value and leaves the others.

    ``value`` is whole days for the longest life of a key, 0 for no end, and whether it is on for the others. Raises
    NotFound for another name, and InvalidParameters.
    """
    field = POLICY_NAMES.get(name)
    if field is None:
        raise NotFound(f"This server has no policy of this name. It has {', '.join(POLICY_NAMES)}.")
    if field == LIFE:
        life = value * DAY or None
        check_policies(Policies(life))
        return lambda before: replace(before, longest_key_life=life)
    on = bool(value)
    return lambda before: replace(before, **{field: on})


def change_from(shown: Policies, wanted: Policies) -> Callable[[Policies], Policies]:
    """Return what makes of policies what somebody wants who was shown ``shown``; what they left alone stays as it is.

    Raises InvalidParameters. What is returned raises Conflict, at each policy that they would change and somebody else
    has given another value meanwhile than either of them.
    """
    names = [one.name for one in fields(Policies) if getattr(wanted, one.name) != getattr(shown, one.name)]
    wants = {name: getattr(wanted, name) for name in names}
    check_policies(wanted)

    def change(before: Policies) -> Policies:
        lost = [name for name, value in wants.items() if getattr(before, name) not in (getattr(shown, name), value)]
        if lost:
            raise Conflict(
                CHANGED_MEANWHILE, fields=[FieldProblem("body", name, "changed", CHANGED_MEANWHILE) for name in lost]
            )
        return replace(before, **wants)

    return change


def typed(text: str) -> str:
    """Return what somebody typed, as far as any stored name can be like it: what does not print is left out."""
    return "".join(character for character in text.strip()[:LONGEST_SEARCH] if character.isprintable())


def like(search: str) -> str:
    """Return the pattern of SQL's LIKE for texts that hold what was searched for; a backslash escapes."""
    text = typed(search)
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
