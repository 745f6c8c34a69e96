"""Work that is done while something else goes on."""

import threading
from collections.abc import Callable


class Meanwhile:
    """Does work in a thread of its own, from now on. Whatever ends the program does not wait for it."""

    def __init__(self, work: Callable[[], None]) -> None:
        """Begin."""
        self._work = work
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait for the end of the work, and raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self._error = error
