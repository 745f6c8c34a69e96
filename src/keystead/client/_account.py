"""The Account API: apps, API keys, the balance, short-term tokens, sessions and devices.

Each call is described once, and called from threads and from tasks. Any of them may raise SignInRequired, Forbidden
where the credential's scopes or kind do not allow it, RateLimited, InvalidRequest, and NetworkError. What only reads, a
deletion and a payment are repeated by themselves after a lost answer; a creation is not, so a NetworkError whose
``may_be_done`` is true leaves it open whether the thing was made: look at the list before you try again.
"""

import re
import uuid
from datetime import timedelta
from typing import Final, TypeVar

from keystead.client import _requests as wire
from keystead.client._answers import Fields
from keystead.client._both import InTask, InThread, TaskRunner, ThreadRunner, both
from keystead.client._calls import Call, Manner, follow
from keystead.client._errors import NotFound, UsageError
from keystead.client._models import (
    ApiKey,
    App,
    Balance,
    Device,
    NewApiKey,
    NewShortTermToken,
    RotatedApiKey,
    Session,
    ShortTermToken,
)
from keystead.client._steps import Conversation

T = TypeVar("T")

LONGEST_OVERLAP: Final = timedelta(days=30)
SHORTEST_LIFE: Final = timedelta(minutes=1)
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)


class _Calls:
    """What the groups of calls share."""

    _manner: Manner

    def _follow(self, call: Call[T]) -> Conversation[T]:
        return follow(call, self._manner)

    def _apps(self) -> Conversation[tuple[App, ...]]:
        return self._follow(wire.get(wire.place("apps"), lambda said: tuple(map(wire.app_of, said.items("apps")))))

    def _app_id(self, app: str) -> Conversation[str]:
        """Return the id of an app that is named or whose id is given. Raises NotFound."""
        if _ID.match(app):
            return app
        found = [one.id for one in (yield from self._apps()) if one.name == app]
        if not found:
            raise _missing(f"There is no app named '{app}' in your organization.", "See them: keystead apps list")
        return found[0]

    def _keys(self) -> Conversation[tuple[ApiKey, ...]]:
        return self._follow(wire.get(wire.place("keys"), lambda said: tuple(map(wire.key_of, said.items("keys")))))

    def _key_path(self, key_id: str, app: str | None, *more: str) -> Conversation[str]:
        """Return the path of a key, whose app is looked up unless it is given. Raises NotFound."""
        if app is not None:
            app_id = yield from self._app_id(app)
        else:
            homes = [one.app_id for one in (yield from self._keys()) if one.id == key_id]
            if not homes:
                raise _missing(f"There is no API key with the id '{key_id}'.", "See them: keystead keys list")
            app_id = homes[0]
        return wire.place("apps", app_id, "keys", key_id, *more)


class _AppCalls(_Calls):
    @both
    def list(self) -> Conversation[tuple[App, ...]]:
        """Return every app of the organization, the oldest first. Needs the scope ``apps:read``."""
        return self._apps()

    @both
    def create(self, name: str) -> Conversation[App]:
        """Make an app. Needs ``apps:create``. Raises Conflict when there is one with this name.

        The app that is returned names its organization only where the server does.
        """
        call = wire.send("POST", wire.place("apps"), {"app_name": name}, lambda said: _app_named(said, name))
        return self._follow(call)

    @both
    def delete(self, app: str) -> Conversation[None]:
        """Delete an app, by name or id, with all its keys, which stop working at once. Needs ``apps:delete``.

        Raises NotFound.
        """
        app_id = yield from self._app_id(app)
        yield from self._follow(wire.delete(wire.place("apps", app_id)))


class _KeyCalls(_Calls):
    @both
    def list(self, app: str | None = None) -> Conversation[tuple[ApiKey, ...]]:
        """Return the API keys that you may see, of one app (by name or id) or of all. Needs the scope ``keys:read``.

        Raises NotFound for an app that does not exist.
        """
        if app is None:
            return (yield from self._keys())
        app_id = yield from self._app_id(app)
        path = wire.place("apps", app_id, "keys")
        return (yield from self._follow(wire.get(path, lambda said: tuple(map(wire.key_of, said.items("keys"))))))

    @both
    def create(self, *, app: str, title: str, expires_in: timedelta | None = None) -> Conversation[NewApiKey]:
        """Make an API key in an app, by its name or id. Needs ``keys:create``, and ``apps:read`` for a name.

        It lives for ``expires_in``, at least a minute, or without end. Its text is in the answer, and nowhere else.
        Raises NotFound for an app that does not exist.
        """
        body: dict[str, object] = {"api_key_name": title}
        if expires_in is not None:
            if expires_in < SHORTEST_LIFE:
                raise UsageError("A key lives for a minute at least.")
            body["expires_in"] = int(expires_in.total_seconds())
        app_id = yield from self._app_id(app)
        call = wire.send("POST", wire.place("apps", app_id, "keys"), body, wire.new_key_of)
        return (yield from self._follow(call))

    @both
    def rename(self, key_id: str, title: str, *, app: str | None = None) -> Conversation[ApiKey]:
        """Give a key another title. Needs ``keys:update``, and ``keys:read`` unless ``app`` says where it is.

        Raises NotFound.
        """
        path = yield from self._key_path(key_id, app)
        call = wire.send("PATCH", path, {"api_key_name": title}, wire.key_of, repeatable=True)
        return (yield from self._follow(call))

    @both
    def rotate(
        self, key_id: str, *, overlap: timedelta = timedelta(0), app: str | None = None
    ) -> Conversation[RotatedApiKey]:
        """Make a successor of a key, which inherits owner, scopes and expiry (promise K7). Needs ``keys:rotate``.

        The predecessor works for ``overlap`` more, 30 days at most, or until it expires if that is sooner. It needs
        ``keys:read`` too unless ``app`` says where the key is. Raises NotFound.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise UsageError("The overlap is between nothing and 30 days.")
        path = yield from self._key_path(key_id, app, "rotate")
        body = {"overlap_seconds": int(overlap.total_seconds())}
        return (yield from self._follow(wire.send("POST", path, body, wire.rotated_key_of)))

    @both
    def delete(self, key_id: str, *, app: str | None = None) -> Conversation[None]:
        """Delete a key, which stops working at once. Needs ``keys:delete``, and ``keys:read`` unless ``app`` is given.

        Raises NotFound.
        """
        path = yield from self._key_path(key_id, app)
        yield from self._follow(wire.delete(path))


class _BalanceCalls(_Calls):
    @both
    def get(self) -> Conversation[Balance]:
        """Return what the organization has to spend. Needs the scope ``balance:read``."""
        return self._follow(wire.get(wire.place("balance"), wire.balance_of))

    @both
    def add(self, cents: int, *, idempotency_key: str | None = None) -> Conversation[Balance]:
        """Add to the balance, in whole cents, and return it. Needs ``balance:add``.

        However often it is sent with the same ``idempotency_key``, it is charged once. Without one, a key is made for
        this call, so that its own repetitions are safe; give one of your own to be safe over a restart of your program.
        Raises Conflict when the key was used for another amount, and ApiError with the code ``payment_refused``.
        """
        if type(cents) is not int or cents <= 0:
            raise UsageError("The amount is a whole number of cents above zero.")
        body = {"amount_cents": cents, "idempotency_key": idempotency_key or str(uuid.uuid4())}
        path = wire.place("balance", "add")
        return self._follow(wire.send("POST", path, body, wire.balance_of, repeatable=True))


class _TokenCalls(_Calls):
    @both
    def list(self) -> Conversation[tuple[ShortTermToken, ...]]:
        """Return your short-term tokens that are valid. Needs the scope ``tokens:read``."""
        call = wire.get(wire.place("tokens"), lambda said: tuple(map(wire.token_of, said.items("tokens"))))
        return self._follow(call)

    @both
    def create(self) -> Conversation[NewShortTermToken]:
        """Make a short-term token in your name. Its text is in this answer alone. Needs ``tokens:create``."""
        return self._follow(wire.send("POST", wire.place("tokens"), {}, wire.new_token_of))

    @both
    def revoke(self, token_id: str) -> Conversation[None]:
        """Take a short-term token back. Needs ``tokens:delete``. Raises NotFound."""
        return self._follow(wire.delete(wire.place("tokens", token_id)))


class _SessionCalls(_Calls):
    @both
    def list(self) -> Conversation[tuple[Session, ...]]:
        """Return the browsers in which you are signed in. Needs the scope ``sessions:read``."""
        call = wire.get(wire.place("sessions"), lambda said: tuple(map(wire.session_of, said.items("sessions"))))
        return self._follow(call)

    @both
    def revoke(self, session_id: str) -> Conversation[None]:
        """Sign a browser out. Needs ``sessions:delete``. Raises NotFound."""
        return self._follow(wire.delete(wire.place("sessions", session_id)))


class _DeviceCalls(_Calls):
    @both
    def list(self) -> Conversation[tuple[Device, ...]]:
        """Return the command lines and devices that you signed in. Needs the scope ``devices:read``."""
        call = wire.get(wire.place("devices"), lambda said: tuple(map(wire.device_of, said.items("devices"))))
        return self._follow(call)

    @both
    def revoke(self, device_id: str) -> Conversation[None]:
        """Sign a device out. Needs ``devices:delete``. Raises NotFound."""
        return self._follow(wire.delete(wire.place("devices", device_id)))


class Apps(_AppCalls, InThread):
    """Apps: named groups of API keys."""


class AsyncApps(_AppCalls, InTask):
    """Apps: named groups of API keys, for tasks."""


class Keys(_KeyCalls, InThread):
    """API keys."""


class AsyncKeys(_KeyCalls, InTask):
    """API keys, for tasks."""


class Balances(_BalanceCalls, InThread):
    """The balance of the organization."""


class AsyncBalances(_BalanceCalls, InTask):
    """The balance of the organization, for tasks."""


class Tokens(_TokenCalls, InThread):
    """Your short-term tokens."""


class AsyncTokens(_TokenCalls, InTask):
    """Your short-term tokens, for tasks."""


class Sessions(_SessionCalls, InThread):
    """The browsers in which you are signed in."""


class AsyncSessions(_SessionCalls, InTask):
    """The browsers in which you are signed in, for tasks."""


class Devices(_DeviceCalls, InThread):
    """The command lines and devices that you signed in."""


class AsyncDevices(_DeviceCalls, InTask):
    """The command lines and devices that you signed in, for tasks."""


class AccountApi:
    """The Account API: ``apps``, ``keys``, ``balance``, ``tokens``, ``sessions``, ``devices``."""

    def __init__(self, runner: ThreadRunner) -> None:
        """``runner`` carries the calls out."""
        self.apps = Apps(runner)
        self.keys = Keys(runner)
        self.balance = Balances(runner)
        self.tokens = Tokens(runner)
        self.sessions = Sessions(runner)
        self.devices = Devices(runner)


class AsyncAccountApi:
    """The Account API for tasks: the groups and calls of AccountApi, awaited."""

    def __init__(self, runner: TaskRunner) -> None:
        """``runner`` carries the calls out."""
        self.apps = AsyncApps(runner)
        self.keys = AsyncKeys(runner)
        self.balance = AsyncBalances(runner)
        self.tokens = AsyncTokens(runner)
        self.sessions = AsyncSessions(runner)
        self.devices = AsyncDevices(runner)


def _app_named(said: Fields, name: str) -> App:
    return App(said.text("app_id"), name, said.text_or("org_id", ""), said.text_or_none("org_name"))


def _missing(sentence: str, hint: str) -> NotFound:
    return NotFound(sentence, status=404, code="not_found", hint=hint)
