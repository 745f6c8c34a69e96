"""The SDK: device sign-in, the credential store, authentication for httpx and requests, and the typed Account API.

Begin with ``Keystead``, or with ``DeviceLogin`` where nobody has signed in yet. The exceptions are drawn as a tree in
``keystead.client._errors``. Modules are private; what is named here stays. Each name is imported when it is first used.
"""

TYPE_CHECKING = False  # what typing has, without its 5 ms

if TYPE_CHECKING:
    from keystead.client._account import AccountApi as AccountApi
    from keystead.client._account import AsyncAccountApi as AsyncAccountApi
    from keystead.client._device import AsyncDeviceLogin as AsyncDeviceLogin
    from keystead.client._device import DeviceLogin as DeviceLogin
    from keystead.client._errors import ApiError as ApiError
    from keystead.client._errors import Conflict as Conflict
    from keystead.client._errors import FieldError as FieldError
    from keystead.client._errors import Forbidden as Forbidden
    from keystead.client._errors import InsecureAddress as InsecureAddress
    from keystead.client._errors import InvalidRequest as InvalidRequest
    from keystead.client._errors import KeyringUnavailable as KeyringUnavailable
    from keystead.client._errors import KeysteadError as KeysteadError
    from keystead.client._errors import NetworkError as NetworkError
    from keystead.client._errors import NotFound as NotFound
    from keystead.client._errors import RateLimited as RateLimited
    from keystead.client._errors import ServerUnavailable as ServerUnavailable
    from keystead.client._errors import SignInCancelled as SignInCancelled
    from keystead.client._errors import SignInEnded as SignInEnded
    from keystead.client._errors import SignInExpired as SignInExpired
    from keystead.client._errors import SignInRefused as SignInRefused
    from keystead.client._errors import SignInRequired as SignInRequired
    from keystead.client._errors import StoreError as StoreError
    from keystead.client._errors import UsageError as UsageError
    from keystead.client._keystead import AsyncKeystead as AsyncKeystead
    from keystead.client._keystead import Keystead as Keystead
    from keystead.client._keystead import Response as Response
    from keystead.client._models import ApiKey as ApiKey
    from keystead.client._models import App as App
    from keystead.client._models import Balance as Balance
    from keystead.client._models import Device as Device
    from keystead.client._models import DeviceCode as DeviceCode
    from keystead.client._models import NewApiKey as NewApiKey
    from keystead.client._models import NewShortTermToken as NewShortTermToken
    from keystead.client._models import RotatedApiKey as RotatedApiKey
    from keystead.client._models import Session as Session
    from keystead.client._models import ShortTermToken as ShortTermToken
    from keystead.client._models import SignedIn as SignedIn
    from keystead.client._models import SignedOut as SignedOut
    from keystead.client._models import TokenSet as TokenSet
    from keystead.client._models import Whoami as Whoami
    from keystead.client._oauth import refresh as refresh
    from keystead.client._oauth import register as register
    from keystead.client._oauth import revoke as revoke
    from keystead.client._retry import RetryPolicy as RetryPolicy
    from keystead.client._waiting import Waiting as Waiting
    from keystead.kernel.secrets import Secret as Secret

_HOMES = {
    "keystead.client._account": ("AccountApi", "AsyncAccountApi"),
    "keystead.client._device": ("AsyncDeviceLogin", "DeviceLogin"),
    "keystead.client._errors": (
        "ApiError",
        "Conflict",
        "FieldError",
        "Forbidden",
        "InsecureAddress",
        "InvalidRequest",
        "KeyringUnavailable",
        "KeysteadError",
        "NetworkError",
        "NotFound",
        "RateLimited",
        "ServerUnavailable",
        "SignInCancelled",
        "SignInEnded",
        "SignInExpired",
        "SignInRefused",
        "SignInRequired",
        "StoreError",
        "UsageError",
    ),
    "keystead.client._keystead": ("AsyncKeystead", "Keystead", "Response"),
    "keystead.client._models": (
        "ApiKey",
        "App",
        "Balance",
        "Device",
        "DeviceCode",
        "NewApiKey",
        "NewShortTermToken",
        "RotatedApiKey",
        "Session",
        "ShortTermToken",
        "SignedIn",
        "SignedOut",
        "TokenSet",
        "Whoami",
    ),
    "keystead.client._oauth": ("refresh", "register", "revoke"),
    "keystead.client._retry": ("RetryPolicy",),
    "keystead.client._waiting": ("Waiting",),
    "keystead.kernel.secrets": ("Secret",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605 - a test pins it


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found: object = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__]
