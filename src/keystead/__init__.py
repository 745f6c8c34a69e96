"""Keystead, the sign-in desk of a company that sells an API.

For those who use it: ``Keystead`` is the client, ``DeviceLogin`` signs a device in, and ``keystead.client`` has the
rest. For those who read it: ``kernel`` holds the shared words, ``db`` the storage, and each feature has a room of its
own; ``app`` wires them together. ``docs/architecture.md`` is the map.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # what typing has, without its 5 ms

if TYPE_CHECKING:
    from keystead.client._device import AsyncDeviceLogin as AsyncDeviceLogin
    from keystead.client._device import DeviceLogin as DeviceLogin
    from keystead.client._errors import KeysteadError as KeysteadError
    from keystead.client._keystead import AsyncKeystead as AsyncKeystead
    from keystead.client._keystead import Keystead as Keystead

__all__ = ["AsyncDeviceLogin", "AsyncKeystead", "DeviceLogin", "Keystead", "KeysteadError", "__version__"]


def __getattr__(name: str) -> object:
    """Import a name of the client when it is first used (PEP 562): the command line and the server need none."""
    if name in __all__:
        from keystead import client  # noqa: PLC0415 - not before a name of it is used

        found: object = getattr(client, name)
        return found
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__]
