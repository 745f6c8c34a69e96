"""An installation over PostgreSQL: any number of nodes open it, each with the same master secret (promise J4).

The secret is never made up here: a node that made its own would leave the others, or its own next start, without it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg

from keystead.db.copy_mark import refuse_half_a_copy
from keystead.db.installation import INSERT, RESEAL, SEALED_ROOT, Keys
from keystead.db.master_secret import MASTER_SECRET_FILE, InstallationError, check_length, secret_from_file, unseal
from keystead.db.master_secret import PURPOSE as ROOT
from keystead.db.migrate import NewerDatabase, migrate_postgres
from keystead.db.postgres import options
from keystead.db.shared_faults import plain_faults
from keystead.kernel.clock import Clock
from keystead.kernel.sealing import master_key, new_root, seal
from keystead.kernel.secrets import Secret

if TYPE_CHECKING:
    OwnConnection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")

OLDEST_SERVER: Final = 13
READ_ONLY: Final = asyncpg.TargetServerAttributeNotMatched
_WHERE: Final = "this database"
_GIVE_ONE: Final = (
    "A database that nodes share needs a master secret that all of them are given: set KEYSTEAD_MASTER_SECRET to at "
    "least 32 random characters, for instance from: openssl rand -base64 32"
)


def open_shared_installation(directory: Path, given: Secret | None, clock: Clock, url: Secret) -> Keys:
    """Create or open the installation in a PostgreSQL database, bring it up to date, and return its keys.

    ``directory`` is this node's own: it may hold the master secret in its file. Raises InstallationError.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InstallationError(f"The data directory {directory} cannot be made: {error}") from error
    return _run_apart(lambda: _open(directory, given, clock, url.reveal()))


def rotate_shared_master_secret(directory: Path, old: Secret | None, new: Secret, url: Secret) -> None:
    """Seal the root key under another master secret; no credential changes. Raises InstallationError.

    Each node must be given the new one before it is started again.
    """
    check_length(new)

    async def rotate() -> None:
        async with connected(url.reveal()) as connection:
            row = await connection.fetchrow(f"{SEALED_ROOT.numbered.sql} FOR UPDATE")
            if row is None:
                raise InstallationError("The database holds no installation yet.")
            sealed = SEALED_ROOT.read(row)
            refuse_half_a_copy(sealed)
            root = unseal(sealed, old or secret_from_file(directory, sealed), _WHERE)
            fresh = {"sealed": seal(master_key(new), root, ROOT)}
            await connection.execute(RESEAL.numbered.sql, *RESEAL.bind_numbered(fresh))

    _run_apart(rotate)


async def check_master_secret(connection: "OwnConnection", directory: Path, given: Secret | None) -> None:
    """Raise InstallationError unless this node's master secret opens the installation. Nothing is changed."""
    row = await connection.fetchrow(SEALED_ROOT.numbered.sql)
    if row is not None:
        sealed = SEALED_ROOT.read(row)
        refuse_half_a_copy(sealed)
        unseal(sealed, given or secret_from_file(directory, sealed), _WHERE)


async def _open(directory: Path, given: Secret | None, clock: Clock, url: str) -> Keys:
    async with connected(url) as connection:
        version = connection.get_server_version().major
        if version < OLDEST_SERVER:
            raise InstallationError(f"The database is PostgreSQL {version}. Keystead needs {OLDEST_SERVER} or newer.")
        try:
            with plain_faults("Making the tables", "Start again."):
                await migrate_postgres(url)
        except NewerDatabase:
            raise InstallationError(
                "The database was last used by a newer version of Keystead: install that version or a newer one."
            ) from None
        return Keys.from_root(await _open_root(connection, directory, given, clock))


async def _open_root(connection: "OwnConnection", directory: Path, given: Secret | None, clock: Clock) -> bytes:
    row = await connection.fetchrow(SEALED_ROOT.numbered.sql)
    if row is None:
        master = given or _secret_in_file(directory)
        check_length(master)
        first = {"id": 1, "sealed_root": seal(master_key(master), new_root(), ROOT), "created_at": clock.now()}
        try:
            await connection.execute(INSERT.numbered.sql, *INSERT.bind_numbered(first))
        except asyncpg.UniqueViolationError:
            pass  # another node was quicker; its root is everybody's
        row = await connection.fetchrow(SEALED_ROOT.numbered.sql)
    if row is None:
        raise InstallationError("The installation was removed from the database at this moment. Start again.")
    sealed = SEALED_ROOT.read(row)
    refuse_half_a_copy(sealed)
    return unseal(sealed, given or secret_from_file(directory, sealed), _WHERE)


def _secret_in_file(directory: Path) -> Secret:
    file = directory / MASTER_SECRET_FILE
    if not file.exists():
        raise InstallationError(_GIVE_ONE)
    return Secret(file.read_text(encoding="utf-8").strip())


class connected:  # noqa: N801 - it is used as a function is
    """A connection for a while, or InstallationError with the sentence that says why there is none."""

    def __init__(self, url: str) -> None:
        """Connect to ``url`` when entered."""
        self._url = url
        self._connection: OwnConnection | None = None

    async def __aenter__(self) -> "OwnConnection":
        try:
            connection: OwnConnection = await asyncpg.connect(self._url, **options())
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, READ_ONLY) as error:
            raise InstallationError(f"The database cannot be reached: {reason_of(error)}") from None
        self._connection = connection
        return connection

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.terminate()


def reason_of(error: Exception, address: str = "KEYSTEAD_DATABASE_URL") -> str:
    """Return why there is no connection, in words that hold no part of the address: it has a password in it."""
    if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
        return f"it refuses the user or the password in {address}."
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"there is no database of the name in {address}."
    if isinstance(error, READ_ONLY):
        return f"no server in {address} takes writes. Check it, and that the primary runs."
    if isinstance(error, TimeoutError):
        return f"it does not answer. Check {address}, and that the database runs."
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens at the address in KEYSTEAD_DATABASE_URL. Check it, and that the database runs."
    if isinstance(error, OSError):
        return f"{error.strerror or 'no connection'}. Check {address}, and that the database runs."
    return f"{type(error).__name__}. Check {address}."


def _run_apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in a thread of its own: the caller may itself be called from an event loop."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(work()))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="opening-the-database")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
