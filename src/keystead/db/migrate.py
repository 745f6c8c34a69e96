"""Bringing a database up to date: all steps in one transaction under the write lock, so a kill leaves all or nothing.

SQLite's DDL is transactional. The version is looked at with plain SQL first, so that a start on an up-to-date database
does not even import Alembic (promises O3, O5).
"""

import sqlite3
from pathlib import Path
from typing import Any, Final

NEWEST: Final = "0001"
"""The revision that this version of Keystead works with; a test holds it against the files in ``migrations/``."""


class NewerDatabase(Exception):  # noqa: N818 - reads as what happened
    """The database was last used by a newer version of Keystead."""


def revision_of(path: Path) -> str | None:
    """Return the revision of a SQLite database, or None when it holds nothing yet."""
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    finally:
        connection.close()
    return None if row is None else str(row[0])


def migrate(path: Path) -> None:
    """Bring the database at ``path`` to the newest revision, creating it when there is none.

    Raises NewerDatabase rather than touching what this version does not understand.
    """
    if revision_of(path) == NEWEST:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError
    from sqlalchemy import create_engine, event

    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _take_the_write_lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    configuration = Config()
    configuration.set_main_option("script_location", "keystead.db:migrations")
    configuration.set_main_option("path_separator", "os")
    try:
        with engine.begin() as connection:
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
    except CommandError as error:
        if "Can't locate revision" in str(error):
            raise NewerDatabase from error
        raise
    finally:
        engine.dispose()
