"""What the client is called, and what importing it costs, counted in modules."""

import inspect
import subprocess
import sys
from typing import Final

import pytest

import keystead
from keystead import client

HEAVY: Final = frozenset(
    {"httpx2", "httpx", "requests", "anyio", "trio", "asyncio", "ssl", "click", "rich", "keyring", "pydantic", "email"}
)
NAMES: Final = [
    "AccountApi",
    "ApiError",
    "ApiKey",
    "App",
    "AsyncAccountApi",
    "AsyncDeviceLogin",
    "AsyncKeystead",
    "Balance",
    "Conflict",
    "Device",
    "DeviceCode",
    "DeviceLogin",
    "FieldError",
    "Forbidden",
    "InsecureAddress",
    "InvalidRequest",
    "KeyringUnavailable",
    "Keystead",
    "KeysteadError",
    "NetworkError",
    "NewApiKey",
    "NewShortTermToken",
    "NotFound",
    "RateLimited",
    "Response",
    "RetryPolicy",
    "RotatedApiKey",
    "Secret",
    "ServerUnavailable",
    "Session",
    "ShortTermToken",
    "SignInCancelled",
    "SignInEnded",
    "SignInExpired",
    "SignInRefused",
    "SignInRequired",
    "SignedIn",
    "SignedOut",
    "StoreError",
    "TokenSet",
    "UsageError",
    "Waiting",
    "Whoami",
    "refresh",
    "register",
    "revoke",
]


def imported_by(statement: str) -> set[str]:
    """Return the modules that a statement imports into an interpreter that has none of them."""
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    found = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


def test_the_public_names_are_these() -> None:
    assert client.__all__ == NAMES
    assert dir(client) == NAMES
    assert keystead.__all__ == [
        "AsyncDeviceLogin",
        "AsyncKeystead",
        "DeviceLogin",
        "Keystead",
        "KeysteadError",
        "__version__",
    ]


def test_each_name_is_what_it_says() -> None:
    for name in client.__all__:
        assert getattr(client, name).__name__ == name
    for name in keystead.__all__:
        assert name == "__version__" or getattr(keystead, name) is getattr(client, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        client.Nothing  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        keystead.Nothing  # noqa: B018


def test_every_public_class_function_and_method_is_documented() -> None:
    for name in client.__all__:
        one = getattr(client, name)
        assert inspect.getdoc(one), name
        for method, found in inspect.getmembers(
            one, lambda value: inspect.isfunction(value) or isinstance(value, property)
        ):
            assert method.startswith("_") or inspect.getdoc(found), f"{name}.{method}"


def test_importing_keystead_imports_next_to_nothing() -> None:
    assert imported_by("import keystead") == {"keystead"}
    assert imported_by("import keystead.client") == {"keystead", "keystead.client"}


@pytest.mark.parametrize(
    "statement",
    [
        "import keystead.client",
        "from keystead import Keystead, DeviceLogin, AsyncKeystead, AsyncDeviceLogin",
        "from keystead.client import *",
    ],
)
def test_no_heavy_package_is_imported_before_it_is_used(statement: str) -> None:
    found = {module.partition(".")[0] for module in imported_by(statement)}
    assert not found & HEAVY
    assert "keystead" in found


def test_the_server_is_not_imported_with_the_client() -> None:
    rooms = {
        module.split(".")[1]
        for module in imported_by("from keystead.client import *")
        if module.startswith("keystead.")
    }
    assert rooms == {"client", "kernel"}
