"""What a service sees of a database, whichever engine is behind it.

Services are written as coroutines. On SQLite these never suspend: reads run inline and a unit of work runs to its end
on the writer's thread. On a networked database the same coroutines wait for the wire.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from keystead.db.statements import Command, Parameters, Query
from keystead.kernel.problems import Unavailable

T = TypeVar("T")


class DatabaseError(Unavailable):
    """The database is away, busy, full or broken: cannot know, try again (promises R8, V5)."""


class UniqueViolation(Exception):  # noqa: N818 - reads as what happened
    """A row with this unique value is already there."""


class Reader(Protocol):
    """Something that answers queries."""

    async def one(self, query: Query[T], parameters: Parameters) -> T | None:
        """Return the first row's record, or None. Raises DatabaseError."""
        ...

    async def all(self, query: Query[T], parameters: Parameters) -> list[T]:
        """Return every row's record. Raises DatabaseError."""
        ...


class Transaction(Reader, Protocol):
    """One unit of work: what it reads is current, what it writes is kept whole or not at all.

    It is as if no other unit ran meanwhile. One that meets a UniqueViolation ends there.
    """

    async def run(self, command: Command, parameters: Parameters) -> int:
        """Run a command and return how many rows it touched. Raises UniqueViolation and DatabaseError."""
        ...

    async def announce(self, subject: str) -> None:
        """Tell every process, once this is committed, that what it knows of ``subject`` is no longer true."""
        ...


class Database(Reader, Protocol):
    """Storage, as services use it: reads outside a transaction, and units of work that write."""

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction and return its value after the commit is durable.

        ``work`` may be run again from the start, so it must do nothing but use its transaction. Whatever it raises
        undoes its writes; a refusal that must keep its writes is returned as a value. Raises DatabaseError.
        """
        ...

    async def run(self, command: Command, parameters: Parameters) -> int:
        """Run one command by itself and return how many rows it touched, after that is durable.

        A conditional command looks and acts in one step, so whatever else happens meanwhile, its condition was true.
        Raises UniqueViolation and DatabaseError; after the latter it may have been done.
        """
        ...

    async def run_all(self, command: Command, rows: Sequence[Parameters]) -> None:
        """Run one command for each of these; all of them are durable afterwards. Raises what ``run`` raises.

        Give the rows in one order everywhere, the order of their ids: two that took them in two orders could wait for
        each other.
        """
        ...

    async def changes(self) -> None:
        """Hear of every change that any process has committed so far (see ``ChangeFeed``). Raises DatabaseError."""
        ...

    def fresh(self) -> bool:
        """Hear of every change that is known here; False when what is remembered must not be trusted just now.

        For the hot path, which cannot afford a coroutine. Raises DatabaseError.
        """
        ...

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with each changed subject, or with ``EVERYTHING``. It must return quickly."""
        ...

    @property
    def hears_by_itself(self) -> bool:
        """Whether changes are heard of without anybody calling ``changes``."""
        ...

    async def start(self) -> None:
        """Begin what a server needs beyond queries: hearing of changes by itself, and cleaning up."""
        ...

    async def aclose(self) -> None:
        """Finish what was accepted, then let go of the database."""
        ...
