"""Moving an installation from its SQLite file to PostgreSQL (``keystead db copy``).

Both sides are walked in the order of their primary keys: what is in PostgreSQL already is compared and mended, the rest
is appended in bulk. So a run that was interrupted at any point is simply started again. The sealed root key goes last;
until then its mark keeps every server out (``db/copy_mark.py``).
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Table

from keystead.db.copy_mark import is_mark, mark_of
from keystead.db.copy_source import Source, key_of, named
from keystead.db.copy_target import Target, open_target
from keystead.db.installation import DATABASE_FILE
from keystead.db.master_secret import PURPOSE, InstallationError, secret_from_file, unseal
from keystead.db.merging import Row, both, differences
from keystead.db.migrate import NewerDatabase, migrate, migrate_postgres
from keystead.db.shared_faults import plain_faults
from keystead.db.tables import installation, metadata
from keystead.kernel.sealing import WrongKey, master_key, open_sealed
from keystead.kernel.secrets import Secret

BATCH: Final = 10_000
"""Rows that are read, and appended, at a time."""
_AGAIN: Final = "Start the copy again: it goes on where it was."
TABLES: Final = [table for table in metadata.sorted_tables if table is not installation]
"""Every table but the one with the root key, each after those that it refers to."""


class Told(Protocol):
    """Who is told how far the copy is."""

    def step(self, name: str) -> None:
        """Say what is being done now."""
        ...

    def rows(self, done: int, of: int) -> None:
        """Say for how many rows it was done."""
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """What a whole copy holds, and how many of its rows this run has written."""

    rows: int
    tables: int
    written: int


@dataclass(frozen=True, slots=True)
class Original:
    """What is copied: the sealed root key, what it is sealed with and what is in it."""

    sealed_root: bytes
    created_at: int
    root: bytes
    master: Secret

    def is_sealed_in(self, sealed_root: bytes) -> bool:
        """Tell whether a sealed root key is this installation's."""
        try:
            return open_sealed(master_key(self.master), sealed_root, PURPOSE) == self.root
        except WrongKey:
            return False


def open_source(directory: Path, given: Secret | None) -> tuple[Source, Original]:
    """Hold the SQLite file of an installation still, brought up to date. Raises InstallationError."""
    path = directory / DATABASE_FILE
    if not path.exists():
        raise InstallationError(f"There is no database at {path}.")
    try:
        migrate(path)
    except (OSError, sqlite3.Error) as error:
        raise InstallationError(f"The database {path} cannot be opened: {error}") from error
    except NewerDatabase:
        raise InstallationError(
            f"{path} was last used by a newer version of Keystead: install that version or a newer one."
        ) from None
    source = Source(path)
    try:
        sealed, created_at = source.installation()
        master = given or secret_from_file(directory, sealed)
        root = unseal(sealed, master, str(directory))
        source.refuse_what_cannot_be_stored(TABLES)
    except BaseException:
        source.close()
        raise
    return source, Original(sealed, created_at, root, master)


class Copying:
    """One run of a copy, from its beginning to its end or to where it is interrupted."""

    def __init__(self, source: Source, original: Original, told: Told, *, batch: int = BATCH) -> None:
        """Copy from ``source``, so many rows at a time."""
        self._source = source
        self._original = original
        self._mark = mark_of(original.root)
        self._told = told
        self._batch = batch
        self._counts = {table: source.count(table) for table in TABLES}
        self._rows = sum(self._counts.values())
        self._written = 0

    async def run(self, url: Secret, *, replace: bool) -> Copied:
        """Copy into the database at ``url`` until both sides are the same. Raises InstallationError."""
        async with open_target(url) as target:
            with plain_faults("Making the tables", _AGAIN):
                self._told.step("Making the tables")
                self._refuse_another(await target.sealed_root(), replace=replace)
                await self._migrate(url)
                await self._claim(target, replace=replace)
            with plain_faults("The copy", _AGAIN):
                await target.refuse_servers()
                await self._remove(target)
                await self._copy(target)
                await self._compare(target)
                await self._finish(target)
        return Copied(self._rows, len(TABLES), self._written)

    async def _migrate(self, url: Secret) -> None:
        try:
            await migrate_postgres(url.reveal())
        except NewerDatabase:
            raise InstallationError(
                "The database in PostgreSQL was last used by a newer version of Keystead: install that version."
            ) from None

    def _refuse_another(self, found: bytes | None, *, replace: bool) -> None:
        """Raise InstallationError when something else stands where the root key goes."""
        if found is None or found == self._mark:
            return
        if is_mark(found):
            raise InstallationError("Another installation is being copied into this database: give one of its own.")
        if not self._original.is_sealed_in(found):
            raise InstallationError(
                "The database holds another installation, or one with another master secret: give one of its own."
            )
        if not replace:
            raise InstallationError(
                "The database holds this installation already, from a copy that was finished. To copy once more, which "
                "undoes all that has happened there since, use --replace."
            )

    async def _claim(self, target: Target, *, replace: bool) -> None:
        """Put the mark where the root key goes, so that no server starts over this database."""
        found = await target.sealed_root()
        if found is None:
            for table in TABLES:
                if await target.holds_rows(table):
                    raise InstallationError(f"The table {table.name} of the database is not empty: give an empty one.")
            await target.begin(self._mark, self._original.created_at)
        elif found != self._mark and replace and self._original.is_sealed_in(found):
            await target.replace_root(found, self._mark, self._original.created_at)
        found = await target.sealed_root()
        if found != self._mark:
            self._refuse_another(found, replace=False)

    async def _remove(self, target: Target) -> None:
        """Take out what is only in the target, beginning with what others do not refer to."""
        self._told.step("Looking at what is there already")
        for table in reversed(TABLES):
            if not await target.holds_rows(table):
                continue
            async with (
                target.all_of(table, self._batch, keys_only=True) as theirs,
                both(self._source.all_of(table, self._batch, keys_only=True), theirs) as sides,
            ):
                async for found in differences(sides, tuple):
                    extra = [one.target for one in found if one.source is None and one.target is not None]
                    await target.remove(table, extra)
                    self._written += len(extra)

    async def _copy(self, target: Target) -> None:
        self._told.step("Copying")
        done = 0
        for table in TABLES:
            missing: list[Row] = []
            async with (
                target.all_of(table, self._batch) as theirs,
                both(self._source.all_of(table, self._batch), theirs) as sides,
            ):
                async for found in differences(sides, key_of(table)):
                    await target.put(table, [one.source for one in found if one.source and one.target])
                    missing += [one.source for one in found if one.source and not one.target]
                    self._written += len(found)
                    if len(missing) >= self._batch:
                        await target.append(table, missing)
                        missing = []
                    self._told.rows(done + sides.source.taken, self._rows)
            await target.append(table, missing)
            done += self._counts[table]

    async def _compare(self, target: Target) -> None:
        """Go through every row of both sides. Raises InstallationError at the first that differs."""
        self._told.step("Comparing every row")
        done = 0
        for table in TABLES:
            async with (
                target.all_of(table, self._batch) as theirs,
                both(self._source.all_of(table, self._batch), theirs) as sides,
            ):
                async for found in differences(sides, key_of(table)):
                    _refuse_differences(table, [one.source or one.target for one in found])
                    self._told.rows(done + sides.source.taken, self._rows)
                if not sides.source.taken == sides.target.taken == self._counts[table]:
                    raise InstallationError(
                        f"The table {table.name} changed while it was compared. Start the copy again."
                    )
            done += self._counts[table]

    async def _finish(self, target: Target) -> None:
        """Let new rows have new numbers, and put the sealed root key in the place of the mark."""
        self._told.step("Finishing")
        for table in TABLES:
            await target.analyze(table)
            if table.autoincrement_column is not None:
                await target.go_on_counting(table, table.autoincrement_column.name, self._source.last_number(table))
        await target.refuse_servers()
        if not await target.replace_root(self._mark, self._original.sealed_root, self._original.created_at):
            raise InstallationError("Somebody else has changed the database in PostgreSQL. Start the copy again.")


def _refuse_differences(table: Table, rows: Iterable[Row | None]) -> None:
    for row in rows:
        if row is not None:
            raise InstallationError(
                f"The {named(table, row)} differs after it was copied: somebody else writes to the database in "
                "PostgreSQL. Stop that, and start the copy again."
            )
