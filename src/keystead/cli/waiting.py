"""The line that counts down on a terminal while somebody decides elsewhere."""

import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

from keystead.cli.screen import columns, is_terminal
from keystead.cli.times import countdown

_CLEAR: Final = "\r\x1b[K"


class Countdown:
    """Shows how long a code is still good, a second at a time, on standard error; on anything but a terminal, nothing.

    As a context manager it begins and ends, and leaves no trace of its line behind.
    """

    def __init__(self, until: int, *, shown: bool) -> None:
        """Count down to ``until``, in Unix seconds."""
        self._until = until
        self._shown = shown and is_terminal(sys.stderr)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._shown:
            self._thread.join()
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def _run(self) -> None:
        while not self._ended.is_set():
            left = countdown(self._until - int(time.time()))
            line = f"Waiting for you to decide. The code is good for {left}."
            if len(line) >= columns():
                line = f"Waiting, {left} left."
            sys.stderr.write(_CLEAR + line)
            sys.stderr.flush()
            self._ended.wait(1)
