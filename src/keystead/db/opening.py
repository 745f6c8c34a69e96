"""Which database an installation uses: the file in its data directory, or the PostgreSQL that the settings name."""

from pathlib import Path

from keystead.db.engine import Database
from keystead.db.installation import DATABASE_FILE, Keys, open_installation
from keystead.db.sqlite import SqliteDatabase
from keystead.kernel.clock import Clock
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings


def database_url_of(settings: Settings) -> Secret | None:
    """Return the address of PostgreSQL, which holds a password; None for the file in the data directory."""
    return None if settings.database_url is None else Secret(settings.database_url.get_secret_value())


def open_keys(directory: Path, settings: Settings, clock: Clock) -> Keys:
    """Create or open the installation, bring its database up to date, and return its keys. Raises InstallationError."""
    given = settings.master_secret
    master = None if given is None else Secret(given.get_secret_value())
    url = database_url_of(settings)
    if url is None:
        return open_installation(directory, master, clock)
    from keystead.db.shared_installation import open_shared_installation

    return open_shared_installation(directory, master, clock, url)


def open_database(directory: Path, settings: Settings, clock: Clock) -> Database:
    """Open the database of the installation in ``directory``, which is up to date."""
    url = database_url_of(settings)
    if url is None:
        return SqliteDatabase(directory / DATABASE_FILE, clock=clock, audit_kept=settings.audit_retention)
    from keystead.db.postgres import PostgresDatabase  # whose driver a SQLite server does without

    return PostgresDatabase(
        url,
        clock=clock,
        pool=settings.database_pool,
        notify=settings.database_notify,
        audit_kept=settings.audit_retention,
    )
