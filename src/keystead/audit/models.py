"""The records of the audit room."""

from dataclasses import dataclass
from typing import Final

Detail = str | int | bool | None
"""What an event may tell beyond its columns. A ``Secret`` is none of these, so that none is written by accident."""
END_OF_TIME: Final = 253_402_300_800
"""The Unix second in which the year 9999 has ended: after everything."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that was done.

    ``at`` is in Unix seconds, ``type`` is ``subject:action``. ``actor_id`` is the user who did it, or None for the
    operator on the host. ``target`` is the id of what it was done to. ``detail`` is a JSON object as text.
    """

    id: str
    at: int
    type: str
    actor_id: str | None
    organization_id: str | None
    target: str | None
    address: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class ToldEvent(AuditEvent):
    """An event with the user name of who did it; None for the operator on the host."""

    actor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilters:
    """Which events are asked for; an empty text asks for all.

    ``kind`` is a type, or the part of it before the colon. ``since`` is the first Unix second, ``until`` the first one
    that is too late.
    """

    kind: str = ""
    actor_id: str = ""
    target: str = ""
    since: int = 0
    until: int = END_OF_TIME

    @property
    def looks(self) -> bool:
        """Whether events have to be looked at one by one, which no index finds."""
        return bool(self.kind or self.target or self.actor_id)


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """A place in the log, just after the event of this time and id; the newest events come first."""

    at: int
    id: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some events, the newest first, and where to go on; ``older`` is None when there is nothing before them.

    With filters there may be few events or none and still an ``older``: so far was looked, and no further.
    """

    events: tuple[ToldEvent, ...]
    older: AuditPlace | None
