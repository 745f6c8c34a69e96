"""Many processes on one store: ``python -m tests.client.store.together WAY DIRECTORY NAME PROCESSES EXPIRIES``.

Each expiry is forced while nobody is asking; then all processes ask for the header at one moment. ``WAY`` is
``alone`` (each process asks once), ``crowded`` (each asks with 10 threads and 100 coroutines) or ``unlocked`` (locks do
not work). Prints an object: how many different answers there were after each expiry, and every error.
"""

import asyncio
import hashlib
import json
import sys
import threading
from pathlib import Path

from keystead.client._credentials import StoredCredential
from keystead.client._store import Store
from keystead.client._store.lock import system_lock
from tests.client.store.crowd import Crowd
from tests.client.store.refreshing import force_expiry, no_locks, refresh

THREADS = 10
COROUTINES = 100


class Worker:
    """One process's part."""

    def __init__(self, way: str, directory: Path, name: str) -> None:
        """Nothing is opened before the process is forked."""
        self._way = way
        self._directory = directory
        self._name = name
        self._credential: StoredCredential | None = None

    def serve(self, index: int, question: str) -> str:
        """Answer with the digests of the headers that were got, or with an error."""
        try:
            credential = self._open(index)
            found = _all_at_once(credential) if self._way == "crowded" else [credential.authorization().reveal()]
            return " ".join(sorted({hashlib.sha256(one.encode()).hexdigest()[:12] for one in found}))
        except Exception as error:
            return f"error: {type(error).__name__}: {error}"

    def _open(self, index: int) -> StoredCredential:
        """Every other process begins anew each time, as a command does; the others stay, as a service does."""
        if self._credential is None or index % 2:
            lock = no_locks if self._way == "unlocked" else system_lock
            self._credential = StoredCredential(Store.open(self._directory, lock=lock), self._name, refresh)
        return self._credential


def _all_at_once(credential: StoredCredential) -> list[str]:
    found: list[str] = []
    start = threading.Barrier(THREADS + 1)

    def in_thread() -> None:
        start.wait()
        found.append(credential.authorization().reveal())

    async def in_task() -> None:
        value = credential.ready()
        if value is None:
            value = await asyncio.to_thread(credential.authorization)
        found.append(value.reveal())

    async def tasks() -> None:
        start.wait()
        await asyncio.gather(*(in_task() for _ in range(COROUTINES)))

    threads = [threading.Thread(target=in_thread) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    if len(found) != THREADS + COROUTINES:
        raise RuntimeError(f"{THREADS + COROUTINES - len(found)} got nothing")
    return found


def main(way: str, directory: Path, name: str, processes: int, expiries: int) -> None:
    """Run the crowd and print what came of it."""
    crowd = Crowd(processes, Worker(way, directory, name).serve, directory / "gate")
    different: list[int] = []
    errors: list[str] = []
    for _ in range(expiries):
        force_expiry(directory, name)
        answers = crowd.ask("go")
        errors += [answer for answer in answers if answer.startswith("error")]
        different.append(len({word for answer in answers for word in answer.split()}))
    crowd.close()
    json.dump({"different": different, "errors": errors}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
