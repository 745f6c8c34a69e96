"""What goes wrong with the database of these tests."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from keystead.db.installation import DATABASE_FILE
from tests.support.installation import Installation


@contextmanager
def locked(house: Installation) -> Iterator[None]:
    """Hold the database's write lock, as a stuck process would."""
    with closing(sqlite3.connect(house.directory / DATABASE_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
