"""A small verifier: it knows the key set, follows the list of revoked tokens, and asks nobody about a token."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

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

    issuer: str
    keys: KeySet
    revoked: dict[str, int] = field(default_factory=dict)
    following: str = ""
    trusted_until: int = 0
    told: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def take(self, answer: bytes, now: int) -> dict[str, Any]:
        """Believe an answer and return its claims. Raises RefusedAnswer."""
        claims = self._verified(answer.decode("ascii"), "ES256", "revocations+jwt")
        if claims is None or claims["iss"] != self.issuer or claims["exp"] + LEEWAY <= now:
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
        if claims is None or (claims["iss"], claims["aud"]) != (self.issuer, self.issuer):
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
