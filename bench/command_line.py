"""What the command line costs each time it is run: time as a multiple of ``python -c pass``, and memory.

``.venv/bin/python bench/command_line.py [--quick]``. Every process is started in turn with the empty program, so that
what else the machine does meets both. The token is one that needs no renewal; nothing asks a server.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from harness import Row, Spread, in_turn, keep, quick, ratio, rounds, say, shares, surroundings, table, workplace

ROUNDS: Final = rounds(3, 15)
STARTS: Final = 3 if quick() else 10
"""So often each program is started in a round; the quickest start counts, as the one that met the least else."""
COMMAND: Final = str(Path(sys.executable).with_name("keystead"))
TOKEN: Final = "e30." + "x" * 900 + ".y"
"""As long as access tokens are."""
IMPORT: Final = "import time; begin = time.perf_counter(); import keystead; print(time.perf_counter() - begin)"
MEMORY: Final = (
    "import os, sys; child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); "
    "_, status, used = os.wait4(child, 0); sys.stderr.write(str(used.ru_maxrss)); sys.exit(status and 1)"
)

EMPTY: Final = "python -c pass"
VERSION: Final = "keystead --version"
PRINT: Final = "keystead auth token --print"
PROGRAM: Final = "keystead auth token --print -o json"
HELP: Final = "keystead --help"
STATUS: Final = "keystead auth status"

PROGRAMS: Final[Mapping[str, Sequence[str]]] = {
    EMPTY: (sys.executable, "-c", "pass"),
    VERSION: (COMMAND, "--version"),
    PRINT: (COMMAND, "auth", "token", "--print"),
    PROGRAM: (COMMAND, "auth", "token", "--print", "-o", "json"),
    HELP: (COMMAND, "--help"),
    STATUS: (COMMAND, "auth", "status"),
}
AIMS: Final = {VERSION: 3.0, PRINT: 5.0, PROGRAM: 5.0}
IMPORT_AIM_MS: Final = 40.0
MEMORY_AIM_MB: Final = 40.0
WAY: Final = "What a start imports is the cost of it: see with python -X importtime."


def signed_in(place: Path) -> dict[str, str]:
    """Write a credential file with a token that is good for days, and return the environment in which it is found."""
    now = int(time.time())
    context = {
        "server": "https://auth.example.com",
        "client_id": "bench",
        "username": "ada",
        "user_id": "ada",
        "organization_id": "acme",
        "organization": "Acme",
        "scopes": [],
        "access_token": TOKEN,
        "access_token_issued_at": now,
        "access_token_expires_at": now + 10 * 86_400,
        "refresh_token": "pwr_" + "x" * 59,
        "store": "file",
        "refresh_token_expires_at": now + 10 * 86_400,
        "authorization_expires_at": now + 90 * 86_400,
        "also": [],
    }
    file = place / "credentials.json"
    content = {"version": 1, "current": "ada", "clients": {}, "contexts": {"ada": context}, "pending": {}}
    file.touch(mode=0o600)
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")
    place.chmod(0o700)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSTEAD_", "PW_", "PYTHON"))}
    return {**ours, "KEYSTEAD_CONFIG_DIR": str(place)}


def run_ms(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a program to its end, and return how many milliseconds it took."""
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=dict(environment), check=True)  # noqa: S603 - our own
    return (time.perf_counter() - begin) * 1_000


def memory_mb(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Run a program and return how many megabytes it had at most.

    It is started by a process that is small itself: what its parent had counts as its own until it is another program.
    """
    started = [sys.executable, "-ISc", MEMORY, *command]
    told = subprocess.run(started, env=dict(environment), capture_output=True, text=True, check=True)  # noqa: S603
    return float(told.stderr) / (1024 if sys.platform == "linux" else 1024**2)


def starting(command: Sequence[str], environment: Mapping[str, str]) -> Callable[[], Mapping[str, float]]:
    """Return a case that starts a program some times."""

    def case() -> Mapping[str, float]:
        quickest = min(run_ms(command, environment) for _ in range(STARTS))
        return {"ms": quickest, "memory": memory_mb(command, environment)}

    return case


def import_ms(environment: Mapping[str, str]) -> float:
    """Return in how many milliseconds ``import keystead`` is done, within a process that is there already."""
    command = [sys.executable, "-c", IMPORT]
    told = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True)  # noqa: S603
    return float(told.stdout) * 1_000


def tell(found: Mapping[str, Mapping[str, Spread]], imports: Spread) -> None:
    """Print all of it, and keep what there is an aim for."""
    rows = [
        [name, figures["ms"].text(1), ratio(found, name, EMPTY, "ms"), figures["memory"].text(1)]
        for name, figures in found.items()
    ]
    table(["program", "ms", f"times {EMPTY}", "memory at most, MB"], rows)
    say(f"import keystead: {imports.text(2)} ms")
    for name, aim in AIMS.items():
        times = shares(found, name, EMPTY, "ms")
        keep(Row(f"`{name}`", f"at most {aim:g} times `{EMPTY}`", times.text(2), times.median <= aim, WAY))
    memory = found[PRINT]["memory"]
    met = max(memory.values) < MEMORY_AIM_MB
    soon = imports.median < IMPORT_AIM_MS
    keep(
        Row("`import keystead`", f"under {IMPORT_AIM_MS:g} ms", f"{imports.text(2)} ms", soon, WAY),
        Row(f"memory of `{PRINT}`", f"under {MEMORY_AIM_MB:g} MB", f"{memory.text(1)} MB", met, WAY),
    )


def main() -> None:
    """Measure the starts of the command line."""
    surroundings("click", "httpx2", "rich")
    with workplace() as place:
        environment = signed_in(place)
        found = in_turn(ROUNDS, {name: starting(command, environment) for name, command in PROGRAMS.items()})
        imports = Spread([import_ms(environment) for _ in range(ROUNDS)])
    tell(found, imports)


if __name__ == "__main__":
    main()
