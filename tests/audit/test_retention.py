"""Audit events are kept for as long as the operator says, and no longer (promise O2)."""

import contextlib
import sqlite3
from pathlib import Path

from keystead.db.installation import DATABASE_FILE
from keystead.kernel.settings import Settings
from keystead.services import open_services
from tests.support.clock import ManualClock

DAY = 86_400
BATCHES = 40
"""Enough writes for the clean-up to have come by every table."""


def kept(directory: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(directory / DATABASE_FILE)) as database:
        found = database.execute("SELECT detail FROM audit_event WHERE type = 'organization:create' ORDER BY at")
        return [row[0] for row in found]


async def test_an_audit_event_leaves_when_its_retention_has_passed_and_not_before(tmp_path: Path) -> None:
    clock = ManualClock()
    services = open_services(tmp_path, Settings(audit_retention=7 * DAY), clock)
    try:
        await services.accounts.create_organization("first")
        clock.advance(7 * DAY)
        for number in range(BATCHES):
            await services.accounts.create_organization(f"second-{number}")
        assert len(kept(tmp_path)) == 1 + BATCHES
        clock.advance(1)
        for number in range(BATCHES):
            await services.accounts.create_organization(f"third-{number}")
        assert len(kept(tmp_path)) == 2 * BATCHES  # the first has left
    finally:
        await services.aclose()
