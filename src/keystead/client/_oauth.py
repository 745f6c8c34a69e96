"""The four OAuth endpoints as calls: register, ask for a code, ask for tokens, revoke.

RFC 7591 (registration), RFC 8628 (device authorization), RFC 6749, section 6 (refresh) and RFC 7009 (revocation).
``refresh`` and ``revoke`` are what the credential store and a sign-out use.
"""

import json
import platform
import time
from collections.abc import Iterable
from typing import Final, TypeVar
from urllib.parse import urlencode

from keystead.client._address import check_secure, server_address
from keystead.client._answers import Fields, Foreign, json_of
from keystead.client._calls import DEFAULT_POLICY, Call, Manner, follow, headers_of, nothing
from keystead.client._errors import ApiError, SignInEnded, UsageError
from keystead.client._http import TIMEOUT, Answer, Request, Transport
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._retry import NO_RETRIES, RetryPolicy
from keystead.client._steps import carry_out
from keystead.kernel.secrets import Secret

T = TypeVar("T")

REGISTER: Final = "/getServiceKeys/register"
DEVICE_CODE: Final = "/getServiceKeys/device/code"
TOKEN: Final = "/getServiceKeys/token"  # noqa: S105 - a path
REVOKE: Final = "/getServiceKeys/token/revoke"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

_FORM: Final = "application/x-www-form-urlencoded"
_LONGEST_PART: Final = 512


def register(
    server: str, name: str = "keystead", *, timeout: float = TIMEOUT, policy: RetryPolicy = DEFAULT_POLICY
) -> str:
    """Register a client and return its id (RFC 7591). The same name on the same machine gives the same id.

    Raises NetworkError, and ApiError when the server refuses the name.
    """
    return _once(registering(name), server, timeout, policy)


def refresh(
    server: str,
    refresh_token: Secret,
    client_id: str,
    *,
    timeout: float = TIMEOUT,
    policy: RetryPolicy = NO_RETRIES,
) -> TokenSet:
    """Exchange a refresh token for the next tokens (RFC 6749, section 6).

    It is asked for once, unless ``policy`` says otherwise, and may be asked for again after a lost answer: the server
    gives the same successor (promise R2). The credential store does that, and reads its file in between. Raises
    SignInEnded for ``invalid_grant`` and ``invalid_client``, and NetworkError, after which the token is as good as
    before.
    """
    try:
        return _once(refreshing(refresh_token, client_id), server, timeout, policy)
    except ApiError as error:
        if error.code == "invalid_client":
            raise SignInEnded("The server no longer knows the client that this sign-in was made with.") from error
        raise


def revoke(
    server: str, refresh_token: Secret, *, timeout: float = TIMEOUT, policy: RetryPolicy = DEFAULT_POLICY
) -> None:
    """End the sign-in behind a refresh token on the server (RFC 7009). It is no error when it has ended already.

    Access tokens that were issued are valid until they expire. Raises NetworkError: then it is not known to have ended.
    """
    _once(revoking(refresh_token), server, timeout, policy)


def _once(call: Call[T], server: str, timeout: float, policy: RetryPolicy) -> T:
    address = server_address(server)
    transport = Transport(address, timeout=timeout)
    try:
        return carry_out(follow(call, Manner(address, policy=policy)), transport)
    finally:
        transport.close()


# The calls themselves


def registering(name: str) -> Call[str]:
    """Describe a registration. Nothing is stored for it, so that it may be repeated (promise X1)."""
    described = {"system": platform.system(), "machine": platform.machine()}
    parts = {key: value[:_LONGEST_PART] for key, value in described.items() if value}
    body = json.dumps({"client_name": name, "platform": parts}).encode()
    request = Request("POST", REGISTER, headers_of("application/json"), body)
    return Call(request, lambda answer: Fields(json_of(answer)).text("client_id"), repeatable=True)


def asking_for_code(client_id: str, scopes: Iterable[str] | None) -> Call[DeviceCode]:
    """Describe the request for a device code (RFC 8628, section 3.1). One whose answer was lost runs out by itself."""
    form = {"client_id": client_id, **({} if scopes is None else {"scope": " ".join(scopes)})}
    return Call(_form(DEVICE_CODE, form), lambda answer: _device_code(answer, client_id), repeatable=True)


def polling(code: DeviceCode, *, wait: int, timeout: float) -> Request:
    """Return a poll that the server may hold for ``wait`` seconds (RFC 8628, section 3.4; RFC 7240, section 4.3)."""
    form = {"grant_type": DEVICE_GRANT, "device_code": code.device_code.reveal(), "client_id": code.client_id}
    return _form(TOKEN, form, (code.device_code,), {"Prefer": f"wait={wait}"}, timeout)


def refreshing(refresh_token: Secret, client_id: str) -> Call[TokenSet]:
    """Describe a refresh (RFC 6749, section 6)."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal(), "client_id": client_id}
    return Call(_form(TOKEN, form, (refresh_token,)), token_set, repeatable=True)


def revoking(refresh_token: Secret) -> Call[None]:
    """Describe a revocation (RFC 7009, section 2.1)."""
    form = {"token": refresh_token.reveal(), "token_type_hint": "refresh_token"}
    return Call(_form(REVOKE, form, (refresh_token,)), nothing, repeatable=True)


def token_set(answer: Answer) -> TokenSet:
    """Return what a token answer says (RFC 6749, section 5.1), with absolute times. Raises Foreign."""
    said, now = Fields(json_of(answer)), int(time.time())
    if said.text_or("token_type", "Bearer").lower() != "bearer":
        raise Foreign
    renewal = said.text_or_none("refresh_token")
    return TokenSet(
        access_token=Secret(said.text("access_token")),
        expires_at=now + said.whole("expires_in"),
        refresh_token=Secret(renewal) if renewal else None,
        refresh_expires_at=_later(now, said.whole_or("refresh_token_expires_in", 0)),
        authorization_expires_at=_later(now, said.whole_or("authorization_expires_in", 0)),
        scopes=tuple(said.text_or("scope", "").split()),
        organization_id=said.text_or("org_id", ""),
        organization=said.text_or_none("org_name"),
    )


def _later(now: int, seconds: int) -> int:
    """Return a time, or 0 where the server named none."""
    return now + seconds if seconds else 0


def _device_code(answer: Answer, client_id: str) -> DeviceCode:
    said, now = Fields(json_of(answer)), int(time.time())
    page = _page(said.text("verification_uri"))
    return DeviceCode(
        user_code=said.text("user_code"),
        verification_uri=page,
        verification_uri_complete=_page(said.text_or("verification_uri_complete", page)),
        device_code=Secret(said.text("device_code")),
        expires_at=now + said.whole_or("expires_in", 600),
        interval=float(said.whole_or("interval", 5)),
        client_id=client_id,
    )


def _page(url: str) -> str:
    """Return an address that a browser may be sent to. Raises Foreign for any other."""
    try:
        check_secure(url)
    except UsageError:
        raise Foreign from None
    return url


def _form(
    path: str,
    form: dict[str, str],
    secrets: tuple[Secret, ...] = (),
    headers: dict[str, str] | None = None,
    timeout: float | None = None,
) -> Request:
    return Request("POST", path, headers_of(_FORM, headers), urlencode(form).encode(), timeout, secrets)
