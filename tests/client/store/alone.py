"""One process that asks once for the header: ``python -m tests.client.store.alone DIRECTORY NAME HOW``.

``HOW`` is ``killed`` (by SIGKILL between the server's commit and the store's write), ``full`` (no file may grow beyond
what it is), ``read-only`` (the directory cannot be written to) or ``plain``. Prints an object: whether there was a
header, the error, and how often the server was asked.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from keystead.client._credentials import StoredCredential
from keystead.client._errors import KeysteadError
from keystead.client._models import TokenSet
from keystead.client._store import Store
from keystead.kernel.secrets import Secret
from tests.client.store.refreshing import refresh

NOBODY = 65_534


def main(directory: Path, name: str, how: str) -> None:
    """Ask, and tell."""
    asked = 0

    def counted(server: str, refresh_token: Secret, client_id: str) -> TokenSet:
        nonlocal asked
        asked += 1
        tokens = refresh(server, refresh_token, client_id)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return tokens

    report: dict[str, Any] = {"header": False, "error": "", "sentence": ""}
    credential = StoredCredential(Store.open(directory), name, counted)
    _hinder(directory, how)
    try:
        report["header"] = bool(credential.authorization().reveal())
    except KeysteadError as error:
        report |= {"error": type(error).__name__, "sentence": str(error)}
    json.dump({**report, "asked": asked}, sys.stdout)


def _hinder(directory: Path, how: str) -> None:
    if how == "full":
        size = (directory / "credentials.json").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if how == "read-only":
        directory.chmod(0o500)
        if os.getuid() == 0:  # whom no mode stops
            for path in (directory, *directory.iterdir()):
                os.chown(path, NOBODY, NOBODY)
            os.setuid(NOBODY)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
