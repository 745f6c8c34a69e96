"""Who is calling: what the gate found out about a request before any route saw it."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from keystead.kernel.principal import Principal
from keystead.kernel.problems import Problem, Unauthenticated

_KEY: Final = "keystead.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """The gate's findings. ``refusal`` says why a presented credential gave no principal."""

    request_id: str
    address: str
    principal: Principal | None
    refusal: Problem | None

    def known(self) -> Principal:
        """Return the principal. Raises the refusal, or Unauthenticated when no credential was presented."""
        if self.principal is not None:
            return self.principal
        raise self.refusal or Unauthenticated("No credential was sent. Send a bearer token or an API key, or sign in.")


def set_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Attach the findings to an ASGI scope."""
    scope[_KEY] = caller


def caller_of(scope: MutableMapping[str, Any]) -> Caller:
    """Return the findings. Raises KeyError for a request that did not come through the gate: a mistake in wiring."""
    found = scope[_KEY]
    if not isinstance(found, Caller):
        raise TypeError("the scope holds something else than the gate's findings")
    return found
