"""Which credential is used, and for which server: arguments, environment variables, stored sign-ins, in that order.

::

    the credential                              the server of a credential that is not stored
    1. token= or api_key=                       1. server=
    2. the stored sign-in of context=           2. KEYSTEAD_URL
    3. KEYSTEAD_TOKEN, any bearer token         3. what the key or the token itself says
    4. KEYSTEAD_API_KEY                         4. PW_PLATFORM_HOST
    5. PW_API_KEY, of either kind
    6. the stored sign-in of KEYSTEAD_CONTEXT, else the current one

Whoever names a sign-in gets that one and no other: a program that asks for somebody's token must not be given the
token of whoever happens to be in the environment. A stored sign-in belongs to its server and is sent to no other
(promise W3). A variable that is empty is not set.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keystead.client._address import server_address
from keystead.client._claims import is_api_key, server_in
from keystead.client._credentials import ApiKeyCredential, BearerCredential, Credential, Refresh, StoredCredential
from keystead.client._errors import SignInRequired, UsageError
from keystead.client._quick import CONTEXT_VARIABLE, SERVER_VARIABLE, TOKEN_VARIABLES
from keystead.client._store.store import Store
from keystead.kernel.secrets import Secret

HOST_VARIABLE: Final = "PW_PLATFORM_HOST"
_API_KEY_VARIABLE: Final = "KEYSTEAD_API_KEY"


@dataclass(frozen=True, slots=True)
class Override:
    """An environment variable that takes part in the choice. ``used`` is False for one that a stronger one hides."""

    variable: str
    used: bool
    sentence: str


def find_credential(
    *,
    server: str | None = None,
    context: str | None = None,
    token: str | Secret | None = None,
    api_key: str | Secret | None = None,
    environ: Mapping[str, str] | None = None,
    store: Store | None = None,
    refresh: Refresh | None = None,
    at_least: float = 0,
) -> Credential:
    """Return the credential to use, by the order above.

    Raises SignInRequired when there is none, with what to do; UsageError when what is given does not fit together.
    ``refresh`` asks a server for the next tokens; by default over the network. A stored sign-in's token that has less
    than ``at_least`` seconds left is renewed first, once half of its life is over.
    """
    known = os.environ if environ is None else environ
    if token is not None and api_key is not None:
        raise UsageError("A token and an API key were given. One request carries one credential.")
    wanted = server or _variable(known, SERVER_VARIABLE)
    if token is not None:
        return BearerCredential(_server_of(_text(token), wanted, known), Secret(_text(token)))
    if api_key is not None:
        return ApiKeyCredential(_server_of(_text(api_key), wanted, known), Secret(_text(api_key)))
    for name in TOKEN_VARIABLES if context is None else ():
        text = _variable(known, name)
        if text is not None:
            return _from_variable(name, text, wanted, known)
    stored = store or Store.open(environ=known)
    chosen = _stored_name(stored, context or _variable(known, CONTEXT_VARIABLE), wanted)
    return StoredCredential(stored, chosen, refresh or _over_the_network(), at_least=at_least)


def overrides(environ: Mapping[str, str] | None = None, *, context: str | None = None) -> tuple[Override, ...]:
    """Return the variables that are set and take part in the choice, the strongest first, each with a sentence.

    ``context`` is the sign-in that was asked for by its name, which comes before them.
    """
    known = os.environ if environ is None else environ
    found: list[Override] = []
    used = None if context is None else "the sign-in that was asked for"
    for name in (*TOKEN_VARIABLES, *((CONTEXT_VARIABLE,) if context is not None else ())):
        if _variable(known, name) is None:
            continue
        if used is None:
            used = name
            told = "comes before every stored sign-in that is not asked for by its name"
            found.append(Override(name, True, f"{name} is set, and {told}."))
        else:
            found.append(Override(name, False, f"{name} is set, and {used} comes before it."))
    if context is not None:
        return tuple(found)
    context = _variable(known, CONTEXT_VARIABLE)
    if context is not None:
        told = f"{used} comes before it" if used else f"chooses the stored sign-in '{context}'"
        found.append(Override(CONTEXT_VARIABLE, used is None, f"{CONTEXT_VARIABLE} is set, and {told}."))
    for name, what in ((SERVER_VARIABLE, "the server"), (HOST_VARIABLE, "the server of a credential that names none")):
        value = _variable(known, name)
        if value is not None and (name == SERVER_VARIABLE or used):
            hidden = name == HOST_VARIABLE and _variable(known, SERVER_VARIABLE) is not None
            told = f"{SERVER_VARIABLE} comes before it" if hidden else f"says which is {what}"
            found.append(Override(name, not hidden, f"{name} is set, and {told}."))
    return tuple(found)


def _from_variable(name: str, text: str, wanted: str | None, environ: Mapping[str, str]) -> Credential:
    server = _server_of(text, wanted, environ, name)
    if name == _API_KEY_VARIABLE or (name != TOKEN_VARIABLES[0] and is_api_key(text)):
        return ApiKeyCredential(server, Secret(text))
    return BearerCredential(server, Secret(text))


def _server_of(text: str, wanted: str | None, environ: Mapping[str, str], variable: str = "") -> str:
    found = wanted or server_in(text) or _variable(environ, HOST_VARIABLE)
    if found is None:
        what = f"The credential in {variable}" if variable else "The credential"
        raise UsageError(f"{what} does not say which server it is for.", hint=f"Name the server in {SERVER_VARIABLE}.")
    return server_address(found)


def _stored_name(store: Store, name: str | None, wanted: str | None) -> str:
    """Return the name of the stored sign-in to use: the named one, else the current one, else one at the server."""
    if wanted is None:
        return store.context(name).name
    server = server_address(wanted)
    if name is not None:
        context = store.context(name)
        if context.server != server:
            raise UsageError(
                f"The sign-in '{name}' is one at {context.server}, and is not sent to {server}.",
                hint="Leave the server out, or choose another sign-in.",
            )
        return name
    here = [context.name for context in store.contexts() if context.server == server]
    current = store.current()
    if current in here:
        return str(current)
    if len(here) == 1:
        return here[0]
    if not here:
        raise SignInRequired(f"Nobody is signed in at {server}.", hint=f"Sign in: keystead login {server}")
    raise UsageError(f"There are several sign-ins at {server}: {', '.join(here)}.", hint="Choose one with --context.")


def _over_the_network() -> Refresh:
    from keystead.client._oauth import refresh

    return refresh


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None


def _text(given: str | Secret) -> str:
    text = (given.reveal() if isinstance(given, Secret) else given).strip()
    if not text:
        raise UsageError("The credential that was given is empty.")
    return text
