"""A real Valkey, or the Redis from which it comes, that keeps nothing on the disk."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.processes import Machine, MachineError
from tests.support.programs import program

HOST: Final = "127.0.0.1"
SECONDS: Final = 5.0


class ValkeyServer(Machine):
    """``valkey-server`` or ``redis-server`` on a port of 127.0.0.1. What it knew is gone when it stops.

    ``settings`` are its own, for instance ``{"maxmemory": "1mb"}``. ``directory`` gets the log.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        """Choose the port. Nothing runs before ``start``."""
        super().__init__(directory / "valkey.log")
        self.settings = {
            "bind": HOST,
            "dir": str(directory),
            "save": "",
            "appendonly": "no",
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """Its address, for clients of Redis."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """Return what starts it."""
        words = [word for name, value in self.settings.items() for word in (f"--{name}", value)]
        return [program("valkey-server", "redis-server"), "--port", str(self.port), *words]

    def is_ready(self) -> bool:
        """Whether it answers a PING."""
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def ask(self, *words: str) -> str:
        """Send a command and return the first line of the answer as it came, such as ``+OK``, ``:3`` or ``$-1``."""
        with socket.create_connection((HOST, self.port), timeout=SECONDS) as connection:
            connection.sendall(f"*{len(words)}\r\n".encode() + b"".join(map(_bulk, words)))
            with connection.makefile("rb") as answer:
                return answer.readline().decode().rstrip("\r\n")

    def flush(self) -> None:
        """Forget everything in every database."""
        answer = self.ask("FLUSHALL")
        if answer != "+OK":
            raise MachineError(f"It would not forget: {answer}")


def _bulk(word: str) -> bytes:
    raw = word.encode()
    return b"$%d\r\n%s\r\n" % (len(raw), raw)
