"""Where things are: the store's own files, and those of the two clients that existed before."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keystead.client import _quick


@dataclass(frozen=True, slots=True)
class Paths:
    """The files in a store's directory."""

    directory: Path

    @property
    def credentials(self) -> Path:
        """The one file that holds the sign-ins."""
        return self.directory / _quick.FILE_NAME

    @property
    def lock(self) -> Path:
        """Held for as long as it takes to change ``credentials``."""
        return self.directory / "credentials.lock"

    def refresh_lock(self, context: str) -> Path:
        """Held while the server is asked for a context's next tokens."""
        return self.directory / f"refresh-{hashlib.sha256(context.encode()).hexdigest()[:16]}.lock"


def default_paths(environ: Mapping[str, str]) -> Paths:
    """Return where the store is when nobody says otherwise."""
    return Paths(Path(_quick.directory(environ)))


def parallel_cli_file(environ: Mapping[str, str]) -> Path:
    """Return where parallel-cli keeps its sign-ins. It looks below the home directory only."""
    return Path(_quick.home(environ), ".config", "parallel-web-tools", "auth.json")


def parallel_cli_old_file(environ: Mapping[str, str]) -> Path:
    """Return where older versions of parallel-cli kept a key."""
    return parallel_cli_file(environ).with_name("credentials.json")


def pw_file(environ: Mapping[str, str]) -> Path:
    """Return where ``pw`` and the ACTIVATE SDK keep their contexts."""
    if environ.get("PW_CREDENTIALS_DIR"):
        return Path(environ["PW_CREDENTIALS_DIR"], ".credentials")
    return Path(_quick.config_home(environ), "pw", "credentials")


def pw_old_file(environ: Mapping[str, str]) -> Path | None:
    """Return where older versions of ``pw`` kept them, which is still read while there is no newer file."""
    return None if environ.get("PW_CREDENTIALS_DIR") else Path(_quick.home(environ), "pw", ".credentials")
