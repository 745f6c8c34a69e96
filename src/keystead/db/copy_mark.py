"""The mark of an unfinished copy: it stands where the sealed root key goes last, so that no server starts over half.

The table ``installation`` has one row at most, so the mark and a new server's own root key cannot both get in.
"""

from hashlib import sha256
from typing import Final

from keystead.db.master_secret import InstallationError
from keystead.kernel.sealing import derive_key

_PREFIX: Final = b"copying:"
_LENGTH: Final = len(_PREFIX) + 32


def mark_of(root: bytes) -> bytes:
    """Return the mark under which the installation with this root key is copied; the key is not in it."""
    return _PREFIX + sha256(derive_key(root, "copying")).digest()


def is_mark(sealed_root: bytes) -> bool:
    """Tell whether this is a mark and not a sealed root key, which is longer."""
    return len(sealed_root) == _LENGTH and sealed_root.startswith(_PREFIX)


def refuse_half_a_copy(sealed_root: bytes) -> None:
    """Raise InstallationError for a database into which an installation is being copied."""
    if is_mark(sealed_root):
        raise InstallationError(
            "The copy into this database is not finished, so nothing starts over it: run keystead db copy again, which "
            "goes on where it was."
        )
