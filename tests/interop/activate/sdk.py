"""The ACTIVATE SDK, unchanged, bound to a server of ours, and what each of its answers is held against.

Every response goes by one hook, whoever makes the request: no member of it is null (contract, rule 12), and a refusal
is read by both of the SDK's parsers (rule 14).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, TypeAlias

import httpx
import pytest
from parallelworks_client import client as generated
from parallelworks_client.models.error import Error
from parallelworks_client.problem import ProblemError, raise_for_problem
from parallelworks_client.types import Response

from tests.support import issued
from tests.support.server import Person

Sdk: TypeAlias = generated.Client | generated.AuthenticatedClient
SESSION_COOKIE: Final = "cloud.sso"


def nulls_of(found: Any, place: str = "$") -> Iterator[str]:
    """Yield the place of every null in a JSON value."""
    if found is None:
        yield place
    elif isinstance(found, dict):
        for name, value in found.items():
            yield from nulls_of(value, f"{place}.{name}")
    elif isinstance(found, list):
        for number, value in enumerate(found):
            yield from nulls_of(value, f"{place}[{number}]")


def check_answer(response: httpx.Response) -> None:
    """Assert what is true of every answer of this API."""
    response.read()
    for cookie in response.headers.get_list("set-cookie"):
        issued.note(cookie.partition(";")[0].partition("=")[2])
    if response.headers.get("content-type", "").partition(";")[0].endswith("json"):
        content = json.loads(response.content)
        assert not list(nulls_of(content)), (response.request.url.path, content)
    if not response.is_success and response.status_code != 304:
        check_refusal(response)


def check_refusal(response: httpx.Response) -> ProblemError:
    """Assert that both of the SDK's parsers read a refusal, and that they agree on what it says."""
    older = Error.from_dict(response.json())
    with pytest.raises(ProblemError) as raised:
        raise_for_problem(response)
    problem: ProblemError = raised.value
    assert problem.status == response.status_code
    assert (problem.detail, problem.language) == (older.message, "en")
    assert older.error
    address = problem.type_url(str(response.request.url))
    assert address is not None
    assert "/problems/" in address
    return problem


def _watched(base_url: str, **options: Any) -> dict[str, Any]:
    hooks = {"event_hooks": {"response": [check_answer]}, "trust_env": False}
    return {"base_url": base_url, "httpx_args": hooks, "timeout": httpx.Timeout(30), **options}


def anonymous(base_url: str, **options: Any) -> Sdk:
    """Return the SDK without a credential."""
    return generated.Client(**_watched(base_url, **options))


def with_key(base_url: str, key: str) -> Sdk:
    """Return the SDK with an API key, as the user name of Basic authentication (contract B1)."""
    encoded = httpx.BasicAuth(key, "")._auth_header.removeprefix("Basic ")
    return generated.AuthenticatedClient(token=encoded, prefix="Basic", **_watched(base_url))


def with_token(base_url: str, token: str) -> Sdk:
    """Return the SDK with a bearer token."""
    return generated.AuthenticatedClient(token=token, **_watched(base_url))


def with_session(base_url: str, cookie: str) -> Sdk:
    """Return the SDK with a browser session."""
    return generated.Client(**_watched(base_url, headers={"Cookie": f"{SESSION_COOKIE}={cookie}"}))


def sign_in(base_url: str, person: Person, **more: str) -> str:
    """Sign somebody in over JSON and return the cookie's value."""
    body = {"username": person.username, "password": person.password, **more}
    response = httpx.post(f"{base_url}/api/sso/password/login", json=body, trust_env=False)
    assert response.status_code == 204, response.text
    cookie = response.cookies[SESSION_COOKIE]
    issued.note(cookie)
    return cookie


def good(function: ModuleType, client: Sdk, *arguments: Any, **options: Any) -> Any:
    """Call a function of the SDK and return what it parsed. Raises AssertionError for a refusal."""
    response: Response[Any] = function.sync_detailed(*arguments, client=client, **options)
    assert not isinstance(response.parsed, Error), response.parsed
    assert response.status_code < 300
    return response.parsed


def bad(function: ModuleType, client: Sdk, status: int, *arguments: Any, **options: Any) -> Error:
    """Call a function of the SDK that is refused with ``status``, and return the refusal as it parsed it."""
    response: Response[Any] = function.sync_detailed(*arguments, client=client, **options)
    assert response.status_code == status, (response.status_code, response.content)
    assert isinstance(response.parsed, Error), response.parsed
    assert response.parsed.error
    assert response.parsed.message
    return response.parsed


@contextmanager
def closing(*clients: Sdk) -> Iterator[None]:
    """Close the connections of these when done."""
    try:
        yield
    finally:
        for one in clients:
            one.get_httpx_client().close()
