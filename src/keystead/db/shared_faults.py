"""What PostgreSQL refuses an operator, as sentences that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

from keystead.db.master_secret import InstallationError

_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    TimeoutError,
    OSError,
)


@contextmanager
def plain_faults(what: str, again: str) -> Iterator[None]:
    """Turn what PostgreSQL refuses into a sentence. Raises InstallationError.

    ``what`` was being done, and ``again`` says how to repeat it.
    """
    try:
        yield
    except DBAPIError as error:  # from the migrations, which wrap the driver's own
        raise InstallationError(_sentence(error.__cause__ or error, what, again)) from error
    except (asyncpg.PostgresError, *_LOST, UnicodeError, ValueError) as error:
        raise InstallationError(_sentence(error, what, again)) from error


def _sentence(error: BaseException, what: str, again: str) -> str:
    """Return what went wrong and what to do. Values stay out: some are hashes of passwords."""
    cause = error.__cause__ if error.__cause__ is not None and not isinstance(error, asyncpg.PostgresError) else error
    if isinstance(cause, (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
        return (
            f"{what} is not allowed: {cause}. Give the address of a user who owns the database, on the primary server."
        )
    if isinstance(cause, (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError, asyncpg.UndefinedColumnError)):
        return f"{what} is not possible: {cause}. The database is used by something else: give one of its own."
    if isinstance(cause, asyncpg.IntegrityConstraintViolationError):
        return (
            f"{what} is not possible: PostgreSQL refuses a row of {cause.table_name} by its rule "
            f"{cause.constraint_name}. Use an empty database instead."
        )
    if isinstance(cause, asyncpg.InsufficientResourcesError):
        return f"{what} ended: {cause}. Make room there. {again}"
    if isinstance(cause, asyncpg.ProgramLimitExceededError):
        return f"{what} is not possible: a row is too large for PostgreSQL: {cause}."
    if isinstance(cause, ValueError):
        return f"{what} ended: a row holds a value that PostgreSQL cannot store ({type(cause).__name__})."
    if isinstance(cause, _LOST):
        return f"{what} ended: the connection to PostgreSQL was lost ({type(cause).__name__}). {again}"
    return f"{what} ended: {type(cause).__name__}. {again}"
