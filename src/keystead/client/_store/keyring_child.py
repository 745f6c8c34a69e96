"""Asks the keyring of the operating system, in a process of its own that can be ended when the keyring hangs.

It reads one JSON object from standard input and writes one to standard output. It is run as a file and imports nothing
of Keystead, so that it starts as quickly as it can. Secrets pass through pipes, never through arguments.
"""

import json
import secrets
import sys
from typing import Any, Final

SERVICE: Final = "keystead"


def answer(asked: dict[str, str]) -> dict[str, Any]:
    """Do what is asked: ``probe``, ``get``, ``set`` or ``delete``. What went wrong is told in ``refused``."""
    try:
        import keyring
        from keyring.errors import KeyringLocked, NoKeyringError
    except ImportError:
        return {"refused": "absent", "why": "the package 'keyring' is not installed"}
    try:
        return _done(keyring, asked)
    except NoKeyringError:
        return {"refused": "absent", "why": "there is none"}
    except KeyringLocked:
        return {"refused": "locked", "why": "it is locked"}
    except Exception as error:  # whatever a backend raises: its text may hold what it was given
        return {"refused": "failed", "why": f"it failed ({type(error).__name__})"}


def _done(keyring: Any, asked: dict[str, str]) -> dict[str, Any]:
    account = asked["account"]
    if asked["do"] == "get":
        return {"secret": keyring.get_password(SERVICE, account)}
    if asked["do"] == "set":
        keyring.set_password(SERVICE, account, asked["secret"])
        return {}
    if asked["do"] == "delete":
        if keyring.get_password(SERVICE, account) is not None:
            keyring.delete_password(SERVICE, account)
        return {}
    return _probed(keyring)


def _probed(keyring: Any) -> dict[str, Any]:
    """Write, read and delete something, as a sign-in will."""
    backend = type(keyring.get_keyring())
    name = f"{backend.__module__}.{backend.__qualname__}"
    if "plaintext" in name.lower():
        return {"refused": "absent", "why": "the one that is set up keeps plain text"}
    account, text = f"probe-{secrets.token_hex(8)}", secrets.token_hex(8)
    keyring.set_password(SERVICE, account, text)
    if keyring.get_password(SERVICE, account) != text:
        return {"refused": "absent", "why": "the one that is set up keeps nothing"}
    keyring.delete_password(SERVICE, account)
    return {"name": name}


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
