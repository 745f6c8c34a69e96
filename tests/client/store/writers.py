"""Writers that are killed at random: ``python -m tests.client.store.writers DIRECTORY WRITERS KILLS CHANGES``.

Each writer replaces the tokens of its own context and a number of its own, again and again, and notes each number that
the store has taken. One after the other is killed by SIGKILL at any moment and replaced by another, until there were so
many kills and so many changes, or a minute is over. Prints an object: how many changes were made, and what the
store has lost of what it had taken.
"""

import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from keystead.client._models import TokenSet
from keystead.client._store import SignIn, Store
from keystead.kernel.secrets import Secret

PADDING = 600
SECONDS = 60


def tokens(number: int) -> TokenSet:
    """Return tokens that all carry one number."""
    access = f"{number:08}".ljust(PADDING, "a")
    return TokenSet(Secret(access), 2_000_000_000, Secret(f"{number:08}r"), number, number, ("keys:read",), "o", "Acme")


def write_for_ever(store: Store, index: int, taken: mmap.mmap) -> None:
    """Change the store until killed."""
    name, number = f"writer-{index}", _read(taken, index)
    while True:
        number += 1
        store.remember_client(name, f"{number:08}")
        _note(taken, index, number)
        store.renew(store.context(name), tokens(number))


def main(directory: Path, writers: int, kills: int, changes: int) -> None:
    """Run the writers, kill them, and look at what is left."""
    environ = {**os.environ, "HOME": str(directory), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    store = Store.open(directory / "store", environ=environ)
    for index in range(writers):
        store.save(SignIn("https://a.example", "c", f"writer-{index}", "u", name=f"writer-{index}"), tokens(0))
    taken = mmap.mmap(-1, writers * 8)
    pids = [_fork(store, index, taken) for index in range(writers)]
    generator = random.Random(11)  # noqa: S311 - moments, not secrets
    killed, deadline = 0, time.monotonic() + SECONDS
    while killed < kills or (_total(taken, writers) < changes and time.monotonic() < deadline):
        killed += 1
        time.sleep(generator.random() / 50)  # a kill comes at any moment; there is no event to wait for
        index = generator.randrange(writers)
        os.kill(pids[index], signal.SIGKILL)
        os.waitpid(pids[index], 0)
        pids[index] = _fork(store, index, taken)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    ids = [int(store.client_id(f"writer-{index}") or 0) for index in range(writers)]
    lost = [index for index in range(writers) if ids[index] < _read(taken, index)]
    json.dump({"changes": _total(taken, writers), "lost": lost, "contexts": len(store.contexts())}, sys.stdout)


def _fork(store: Store, index: int, taken: mmap.mmap) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            write_for_ever(store, index, taken)
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        os._exit(1)
    return pid


def _note(taken: mmap.mmap, index: int, number: int) -> None:
    taken[index * 8 : index * 8 + 8] = number.to_bytes(8, "little")


def _read(taken: mmap.mmap, index: int) -> int:
    return int.from_bytes(taken[index * 8 : index * 8 + 8], "little")


def _total(taken: mmap.mmap, writers: int) -> int:
    return sum(_read(taken, index) for index in range(writers))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
