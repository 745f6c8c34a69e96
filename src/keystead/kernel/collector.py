"""Python's garbage collector stands aside while what stays for good is loaded."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Collect no garbage meanwhile.

    A collection walks through everything that was loaded so far and finds nothing, and it is due again and again while
    modules are imported and routes are made: it would take a third of the time until the server answers.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
