"""When a key signs and how long it stays published; what a token must look like to be worth a signature check."""

import base64
import binascii
import re
import uuid
from typing import Final

import msgspec

from keystead.kernel.scopes import ROLE_SCOPES, Role, Scope, Scopes, format_scopes, stored_scopes
from keystead.tokens.models import AccessClaims, Header, ShortTermClaims, SigningKeyRow

LONGEST_TOKEN_LIFE: Final = 86_400
"""Seconds; the most that the settings allow for either kind, so that changing them never outruns a published key."""

CLOCK_DIFFERENCE: Final = 60
"""Seconds by which the clocks of two machines may differ (promise J5)."""

JTI_BYTES: Final = 12
"""The random bytes of an access token's id, which names it in memory alone."""

LONGEST_TOKEN: Final = 4_096
"""Characters; longer text is no token of ours, whose access tokens have at most 1,024 (promise C3)."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_header = msgspec.json.Decoder(Header)
_access_claims = msgspec.json.Decoder(AccessClaims)
_short_term_claims = msgspec.json.Decoder(ShortTermClaims)


def next_begin(newest: SigningKeyRow | None, now: int, lead: int) -> int | None:
    """Return when a new key of an algorithm is to begin signing, or None while none is due.

    A key is published ``lead`` seconds before it signs; only the very first one signs at once (promise J2).
    """
    if newest is None:
        return now
    if newest.signs_from > now or now < newest.signs_until - lead:
        return None
    return max(newest.signs_until, now + lead)


def begin_on_request(newest: SigningKeyRow | None, now: int, lead: int, *, at_once: bool) -> int | None:
    """The same when an operator asks for a new key; None when one is already waiting for its turn."""
    if newest is None or at_once:
        return now
    return None if newest.signs_from > now else now + lead


def remove_at(signs_until: int) -> int:
    """Return when a key leaves: the longest token's life after its last signature, by the slowest clock."""
    return signs_until + LONGEST_TOKEN_LIFE + CLOCK_DIFFERENCE


def platform_host(public_url: str) -> str:
    """Return the claim that names this server: the host alone for https, the whole origin otherwise (contract B1)."""
    return public_url.removeprefix("https://")


def read_header(text: str) -> Header | None:
    """Return the header of a compact JWS (RFC 7515, section 7.1), or None for what cannot be a token of ours."""
    if len(text) > LONGEST_TOKEN or (match := _COMPACT.match(text)) is None:
        return None
    try:
        return _header.decode(base64.urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return None


def packed_id(text: str) -> str:
    """Return an id, a UUID in its canonical form, as 22 characters."""
    return base64.urlsafe_b64encode(uuid.UUID(text).bytes).decode().rstrip("=")


def unpacked_id(packed: str) -> str | None:
    """Return the id that ``packed_id`` packed, or None for any other text."""
    try:
        return str(uuid.UUID(bytes=base64.urlsafe_b64decode(packed + "==")))
    except ValueError:
        return None


def account_audience(issuer: str) -> str:
    """Return the audience of access tokens: the Account API of the server that issues them."""
    return f"{issuer}/account"


def handed_on(scopes: Scopes) -> str:
    """Return the scopes of a short-term token that somebody with these makes: all but the one to make another."""
    return format_scopes(scopes - {Scope.TOKENS_CREATE})


def short_term_scopes(claimed: str | None, role: Role) -> Scopes:
    """Return what a short-term token can do: no more than it says, if it says anything, nor than the role allows."""
    most = ROLE_SCOPES[role] - {Scope.TOKENS_CREATE}
    return most if claimed is None else most & stored_scopes(claimed)


def read_access_claims(payload: bytes, *, now: int) -> AccessClaims | None:
    """Return the claims of a verified access token that is not expired (RFC 9068, section 4).

    ``exp`` is exact and ``iat`` refuses nothing, whatever other clocks say (promise J5). The key that verified
    the token belongs to this installation alone, so its issuer is us, under the address that we had then: a server that
    moved to another address keeps its word (promise O8).
    """
    try:
        claims = _access_claims.decode(payload)
    except msgspec.DecodeError:
        return None
    return claims if claims.aud == account_audience(claims.iss) and now < claims.exp else None


def read_short_term_claims(payload: bytes, *, now: int) -> ShortTermClaims | None:
    """Return the claims of a verified short-term token that is not expired; it is for its issuer."""
    try:
        claims = _short_term_claims.decode(payload)
    except msgspec.DecodeError:
        return None
    return claims if claims.aud == claims.iss and now < claims.exp else None
