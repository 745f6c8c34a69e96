"""A small verifier: it knows the key set, follows the list of revoked tokens, and asks nobody about a token."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from types import TracebackType
from typing import Any, Final, Self

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

LEEWAY: Final = 60
"""Seconds by which our clock and the server's may differ."""


class RefusedAnswer(Exception):  # noqa: N818 - says what happened
    """An answer is not one that a verifier may believe."""


def registry(algorithm: str) -> jws.JWSRegistry:
    """Return a registry that reads one algorithm, and answers of the longest kind."""
    found = jws.JWSRegistry(algorithms=[algorithm])
    found.max_payload_length = 1_000_000
    return found


@dataclass
class Verifier:
    """What somebody elsewhere remembers: what was taken back, what to ask for next, and how long that may be trusted.

    ``now`` is what its caller passes in. ``following`` is empty before the first answer.
    """

    issuers: frozenset[str]
    keys: KeySet
    revoked: dict[str, int] = field(default_factory=dict)
    following: str = ""
    trusted_until: int = 0
    told: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def take(self, answer: bytes, now: int) -> dict[str, Any]:
        """Believe an answer and return its claims. Raises RefusedAnswer."""
        claims = self._verified(answer.decode("ascii"), "ES256", "revocations+jwt")
        if claims is None or claims["iss"] not in self.issuers or claims["exp"] + LEEWAY <= now:
            raise RefusedAnswer(answer[:200])
        if not claims["full"] and claims["after"] != self.following:
            raise RefusedAnswer(f"This answers {claims['after']!r}, and {self.following!r} was asked.")
        if claims["full"]:
            self.revoked.clear()
        self.revoked.update(claims["revoked"])
        self.told += [token_id for token_id, _ in claims["revoked"]]
        self.answers.append(claims)
        self.following = claims["next"]
        if not claims["more"]:
            self.trusted_until = claims["exp"]
        return claims

    def accepts(self, token: str, now: int) -> bool:
        """Say whether a short-term token is good, as far as it can be known here; False where it cannot."""
        claims = self._verified(token, "RS256", "JWT")
        if claims is None or claims["iss"] not in self.issuers or claims["aud"] != claims["iss"]:
            return False
        if now >= claims["exp"] + LEEWAY or now >= self.trusted_until + LEEWAY:
            return False
        return claims["jti"] not in self.revoked

    def _verified(self, text: str, algorithm: str, typ: str) -> dict[str, Any] | None:
        try:
            found = jws.deserialize_compact(text, self.keys, registry=registry(algorithm))
        except (JoseError, ValueError):
            return None
        if found.headers().get("typ") != typ:
            return None
        claims: dict[str, Any] = json.loads(found.payload)
        return claims


class Follower:
    """A verifier that follows the list in a thread of its own, asking one address after the other.

    As a context manager it begins with the whole list, and stops in the end.
    """

    def __init__(self, addresses: Sequence[str], issuers: Sequence[str], *, wait: int) -> None:
        """Hold each request for ``wait`` seconds."""
        self.http = httpx.Client(timeout=wait + 30, trust_env=False)
        self.keys = KeySet.import_key_set(self.http.get(f"{addresses[0]}/.well-known/jwks.json").json())
        self.verifier = Verifier(frozenset([*addresses, *issuers]), self.keys)
        self._addresses = cycle(addresses)
        self._wait = wait
        self._took = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._ask()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._thread.join()
        self.http.close()

    def accepts(self, token: str) -> bool:
        """Say whether the verifier accepts a token now."""
        with self._took:
            return self.verifier.accepts(token, int(time.time()))

    def refuses_within(self, token: str, seconds: float) -> bool:
        """Wait until the verifier refuses a token, and say whether it did in time."""
        with self._took:
            return self._took.wait_for(lambda: not self.verifier.accepts(token, int(time.time())), seconds)

    def _follow(self) -> None:
        while not self._stopping:
            self._ask()

    def _ask(self) -> None:
        asked = {"after": self.verifier.following, "wait": str(self._wait)}
        answer = self.http.get(f"{next(self._addresses)}/.well-known/revocations", params=asked)
        answer.raise_for_status()
        with self._took:
            self.verifier.take(answer.content, int(time.time()))
            self._took.notify_all()
