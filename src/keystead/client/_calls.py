"""One call to the server: what is sent, how its answer is read, and whether it may be sent twice.

``follow`` is the conversation behind every call: it adds the credential, asks for another one once when the server
refuses it, repeats what may be repeated, follows a redirect within the server, and reads the answer.
"""

import base64
import binascii
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from keystead.client._address import is_own
from keystead.client._answers import Foreign, foreign, refusal
from keystead.client._errors import InsecureAddress, NetworkError, ServerUnavailable
from keystead.client._http import Answer, Request
from keystead.client._retry import RetryPolicy, may_repeat, retry_after
from keystead.client._steps import Conversation, ask, block, pause
from keystead.kernel.secrets import Secret

T = TypeVar("T")

DEFAULT_POLICY: Final = RetryPolicy()
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_SAFE: Final = frozenset({"GET", "HEAD"})


class Presenting(Protocol):
    """What a call needs of a credential. Each of these may wait, except ``ready``."""

    @property
    def server(self) -> str:
        """The server that it belongs to."""

    def authorization(self) -> Secret:
        """Return the value of the Authorization header."""

    def ready(self) -> Secret | None:
        """Return the same without waiting, or None."""

    def after_refusal(self, refused: Secret) -> Secret | None:
        """Return another value to try once, after a 401 for this one, or None."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call. ``read`` makes a value of an answer with success, and raises Foreign for one that it does not know.

    ``repeatable`` tells whether sending it twice does no more than sending it once (RFC 9110, section 9.2.2).
    ``gone_is_done`` tells that 404 is success when an earlier attempt's answer was lost: it was a deletion.
    """

    request: Request
    read: Callable[[Answer], T]
    repeatable: bool = False
    gone_is_done: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are made: to which server, with which credential, how often. ``chance`` gives numbers below 1."""

    server: str
    credential: Presenting | None = None
    policy: RetryPolicy = DEFAULT_POLICY
    chance: Callable[[], float] = field(default=random.random, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    now: Callable[[], float] = field(default=time.time, repr=False)


def follow(call: Call[T], manner: Manner) -> Conversation[T]:
    """Make a call and return what its answer says. Raises any error of the tree in ``_errors``."""
    heard = yield from _answered(call, manner)
    answer = heard.answer
    if answer.status == 404 and call.gone_is_done and heard.uncertain:
        answer = Answer(200, {}, b"{}")
    if not 200 <= answer.status < 300:
        raise refusal(answer, heard.request, manner.server, manner.now())
    try:
        return call.read(answer)
    except Foreign:
        raise foreign(answer, manner.server) from None


def exchange(request: Request, manner: Manner, *, repeatable: bool) -> Conversation[Answer]:
    """Send a request and return its answer, whatever its status. Raises NetworkError and what a credential raises."""
    heard = yield from _answered(Call(request, lambda answer: answer, repeatable=repeatable), manner)
    return heard.answer


@dataclass(frozen=True, slots=True)
class _Heard:
    """The answer that counts, to which request, and whether an earlier attempt may have been done unheard."""

    answer: Answer
    request: Request
    uncertain: bool


def _answered(call: Call[T], manner: Manner) -> Conversation[_Heard]:
    started, sent, uncertain = manner.clock(), 0, False
    presented = yield from _presented(manner, uncertain)
    refreshed = False
    while True:
        sent += 1
        wait: float | None = None
        failed: NetworkError | None = None
        heard: _Heard | None = None
        request = _with(call.request, presented)
        try:
            answer = yield from _redirected(request, manner.server)
        except ServerUnavailable:
            raise
        except NetworkError as error:
            uncertain = uncertain or error.may_be_done
            error.may_be_done, failed = uncertain, error
            if uncertain and not call.repeatable:
                raise
        else:
            if answer.status == 401 and presented is not None and manner.credential is not None and not refreshed:
                refreshed = True
                other = yield from _renewed(manner.credential, presented, uncertain)
                if other is not None:
                    presented, sent = other, sent - 1  # a request that was refused counts for nothing
                    continue
            heard = _Heard(answer, request, uncertain)
            if not may_repeat(answer.status, repeatable=call.repeatable):
                return heard
            uncertain = uncertain or answer.status >= 500
            wait = retry_after(answer.headers, manner.now())
        seconds = manner.policy.pause(sent, manner.clock() - started, manner.chance(), wait)
        if seconds is None:
            if heard is not None:
                return heard
            raise failed or NetworkError(f"{manner.server} cannot be reached.")
        yield from pause(seconds)
        if not refreshed:
            presented = yield from _presented(manner, uncertain)


def _presented(manner: Manner, uncertain: bool) -> Conversation[Secret | None]:
    """Return the credential, which may have to be renewed first."""
    if manner.credential is None:
        return None
    ready = manner.credential.ready()
    if ready is not None:
        return ready
    return (yield from _obtained(manner.credential.authorization, uncertain))


def _renewed(credential: Presenting, refused: Secret, uncertain: bool) -> Conversation[Secret | None]:
    """Return another credential after a refusal, or None."""
    return _obtained(lambda: credential.after_refusal(refused), uncertain)


def _obtained(work: Callable[[], T], uncertain: bool) -> Conversation[T]:
    """Get a credential. Where that fails, the call itself was not done, unless an earlier attempt may have been."""
    try:
        return (yield from block(work))
    except NetworkError as error:
        error.may_be_done = uncertain
        raise


def _with(request: Request, presented: Secret | None) -> Request:
    """Return a request that carries the credential, and that knows what of it is secret."""
    if presented is None:
        return request
    headers = {**request.headers, "Authorization": presented.reveal()}
    return replace(request, headers=headers, secrets=(*request.secrets, *_parts(presented)))


def _parts(presented: Secret) -> tuple[Secret, ...]:
    """Return what of an Authorization header is secret: its value, its credential, and the key inside Basic."""
    text = presented.reveal()
    scheme, _, credential = text.partition(" ")
    parts = [presented, Secret(credential)]
    if scheme.lower() == "basic":
        try:
            parts.append(Secret(base64.b64decode(credential).decode().rstrip(":")))
        except (binascii.Error, UnicodeDecodeError):
            pass  # then there is no key inside
    return tuple(parts)


def _redirected(request: Request, server: str) -> Conversation[Answer]:
    """Ask, and follow redirects within the server for what only reads. Raises InsecureAddress for any other (W3)."""
    for _ in range(_MOST_REDIRECTS):
        answer = yield from ask(request)
        target = answer.headers.get("location", "")
        if answer.status not in _REDIRECTS or not target:
            return answer
        url = urljoin(server + request.path, target)
        if not is_own(url, server):
            raise InsecureAddress(
                f"{server} sends this request on to another server. It was not followed, and nothing was sent there.",
                hint="Check the address of the server.",
            )
        if request.method not in _SAFE:
            return answer
        parts = urlsplit(url)
        request = replace(request, path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    raise ServerUnavailable(f"{server} redirects without end.", hint="Tell the operator of the server.")


def nothing(_: Answer) -> None:
    """Read nothing of an answer but that it is a success."""


def headers_of(content_type: str | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers of a request with a body of this kind."""
    return {**({"Content-Type": content_type} if content_type else {}), **(more or {})}
