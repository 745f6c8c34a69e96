"""The store's one file as a whole: read and checked, or changed under its lock."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from keystead.client import _quick
from keystead.client._errors import StoreError
from keystead.client._store.contexts import Context, PendingSignIn, read_context, read_pending
from keystead.client._store.file import damaged, make_directory, read_object, write_object
from keystead.client._store.lock import LockFunction, held
from keystead.client._store.paths import Paths

T = TypeVar("T")

_CHANGE_SECONDS: Final = 10.0
_TABLES: Final = ("clients", "contexts", "pending")


class Content:
    """What ``credentials.json`` holds. Members that nobody here knows are kept: a newer version may have added them."""

    def __init__(self, paths: Paths, lock: LockFunction) -> None:
        """Use the files at ``paths``."""
        self._paths = paths
        self._lock = lock

    def read(self) -> dict[str, Any]:
        """Return the content, with every table in it. Raises StoreError when it is not what was written."""
        path = self._paths.credentials
        found = read_object(path)
        if found is None:
            found = {"version": _quick.VERSION, "current": None}
        version = found.get("version")
        if isinstance(version, int) and version > _quick.VERSION:
            raise StoreError(
                f"{path} was written by a newer version of keystead. It was left as it is.",
                hint="Update this one: pip install --upgrade keystead",
            )
        tables = {name: found.get(name, {}) for name in _TABLES}
        if version != _quick.VERSION or not all(isinstance(table, dict) for table in tables.values()):
            raise damaged(path)
        return {**found, **tables}

    def change(self, work: Callable[[dict[str, Any]], T]) -> T:
        """Read, change and write the content under its lock; write nothing when nothing was changed."""
        make_directory(self._paths.directory)
        with held(self._paths.lock, self._lock, _CHANGE_SECONDS):
            content = self.read()
            result = work(content)
            if content != self.read():
                write_object(self._paths.credentials, content)
        return result

    def context(self, name: str, kept: Any) -> Context:
        """Return an entry of the table ``contexts``. Raises StoreError."""
        try:
            return read_context(name, kept)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise damaged(self._paths.credentials) from None

    def pending(self, id: str, kept: Any) -> PendingSignIn:
        """Return an entry of the table ``pending``. Raises StoreError."""
        try:
            return read_pending(id, kept)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise damaged(self._paths.credentials) from None
