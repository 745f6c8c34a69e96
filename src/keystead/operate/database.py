"""``keystead db``: looking at the database, and moving it to PostgreSQL."""

import asyncio
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from keystead.cli.options import data_option, examples
from keystead.cli.refusal import Refusal
from keystead.db.copy_mark import refuse_half_a_copy
from keystead.db.installation import DATABASE_FILE
from keystead.db.migrate import NEWEST, revision_of
from keystead.db.opening import database_url_of
from keystead.kernel.secrets import Secret
from keystead.operate.copy import copy, place_of
from keystead.operate.installation import plain_errors, read_settings

STEPS_ARE_DUE: Final = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: its revision, and what it does in a line."""

    revision: str
    what: str


@click.group(
    epilog=examples(
        "keystead db check --data .data", "keystead db copy --data .data --to postgresql://db.example.com/k"
    )
)
def db() -> None:
    """Look at the database of an installation, or move it to PostgreSQL."""


db.add_command(copy)


@db.command(epilog=examples("keystead db check --data .data || echo 'not up to date'"))
@data_option
def check(data: Path) -> None:
    """Say which revision the database has, which one this version needs, and what would be done at the next start.

    Nothing is changed. Exit codes: 0 up to date, 1 it cannot be told or the database is newer, 3 steps are due.
    """
    with plain_errors():
        settings = read_settings(data)
        url = database_url_of(settings)
        place = str(data / DATABASE_FILE) if url is None else place_of(url)
        found = _revision_of_file(data / DATABASE_FILE) if url is None else _revision_of_postgres(url)
    click.echo(f"The database {place} has the revision {found or 'none: it holds nothing yet'}.")
    click.echo(f"This version of Keystead needs the revision {NEWEST}.")
    due = steps_after(found)
    if not due:
        click.echo("It is up to date.")
        return
    click.echo("At its next start the server takes these steps, all of them or none:")
    for step in due:
        click.echo(f"  {step.revision}  {step.what}")
    raise click.exceptions.Exit(STEPS_ARE_DUE)


def steps_after(revision: str | None) -> list[Step]:
    """Return the steps from a revision to the one that this version needs. Raises Refusal for a newer revision."""
    if revision == NEWEST:
        return []
    from alembic.script import ScriptDirectory

    from keystead.db.migrate import migrations

    scripts = list(ScriptDirectory.from_config(migrations()).iterate_revisions(NEWEST, "base"))[::-1]
    steps = [Step(script.revision, (script.doc or "").strip()) for script in scripts]
    known = [step.revision for step in steps]
    if revision is not None and revision not in known:
        raise Refusal(
            f"The database has the revision {revision}, which this version of Keystead does not know: it was last used "
            "by a newer version. Install that version or a newer one."
        )
    return steps if revision is None else steps[known.index(revision) + 1 :]


def _revision_of_file(path: Path) -> str | None:
    if not path.exists():
        raise Refusal(f"There is no database at {path}. The first start makes one.")
    try:
        return revision_of(path)
    except sqlite3.Error as error:
        raise Refusal(f"The database {path} cannot be read: {error}.") from error


def _revision_of_postgres(url: Secret) -> str | None:
    import asyncpg

    from keystead.db.installation import SEALED_ROOT
    from keystead.db.migrate import postgres_revision
    from keystead.db.shared_installation import connected

    async def ask() -> str | None:
        async with connected(url.reveal()) as connection:
            revision = await postgres_revision(connection)
            row = None if revision is None else await connection.fetchrow(SEALED_ROOT.numbered.sql)
            if row is not None:
                refuse_half_a_copy(SEALED_ROOT.read(row))
            return revision

    try:
        return asyncio.run(ask())
    except asyncpg.PostgresError as error:
        raise Refusal(f"The database cannot be read: {error}.") from error
