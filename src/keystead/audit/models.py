"""The record of the audit room."""

from dataclasses import dataclass

Detail = str | int | bool | None
"""What an event may tell beyond its columns. A ``Secret`` is none of these, so that none is written by accident."""


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
