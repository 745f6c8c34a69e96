"""The records of this room: signing keys, the claims of both kinds of token, and what issuing one answers."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec
from pydantic import BaseModel, Field

from keystead.kernel.principal import Identity
from keystead.kernel.secrets import Secret


class Algorithm(StrEnum):
    """How a kind of token is signed (RFC 7518, section 3.1). Each kind has one, so that none passes for the other."""

    ACCESS = "ES256"
    SHORT_TERM = "RS256"


TOKEN_TYPES = {Algorithm.ACCESS: "at+jwt", Algorithm.SHORT_TERM: "JWT"}
"""The ``typ`` header of each kind (RFC 9068, section 2.1; RFC 8725, section 3.11)."""


REVOCATIONS_TYPE = "revocations+jwt"
"""The ``typ`` header of the list of revoked tokens, which makes it no token (RFC 8725, section 3.11)."""


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """A signing key as it is stored: published from ``created_at`` until ``remove_at``, signing in between."""

    kid: str
    alg: str
    public_jwk: str
    sealed_private: bytes
    created_at: int
    signs_from: int
    signs_until: int
    remove_at: int


@dataclass(frozen=True, slots=True)
class ShortTermToken:
    """A short-term token as its owner sees it; the token itself is shown once and not kept."""

    id: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class ShortTermHolder(Identity):
    """Whose short-term token it is, and the Unix second at which it ends: as it says, or before with its API key."""

    expires_at: int


@dataclass(frozen=True, slots=True)
class EndOfKey:
    """In whose name an API key acts, and the Unix second at which it ends, None for one that does not expire."""

    user_id: str
    organization_id: str
    expires_at: int | None


class RevokedToken(msgspec.Struct, frozen=True, gc=False):
    """A short-term token that was taken back before it expired; ``revoked_at`` is by the clock of one node.

    They are read by the thousand. The garbage collector is kept out of it: its rounds would stop everything for 60 ms.
    """

    id: str
    revoked_at: int
    expires_at: int


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of our tokens: these three parameters and no other (RFC 7515, section 4.1)."""

    alg: str
    kid: str
    typ: str


class AccessClaims(msgspec.Struct, frozen=True):
    """The claims of an access token (RFC 9068, section 2.2), the organization and the grant it was issued under.

    ``grant_id`` is packed, and ``jti`` is short, so that a token with every scope fits in 1 KB (promise C3).
    """

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    jti: str
    client_id: str
    scope: str
    org_id: str
    grant_id: str


class ShortTermClaims(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a short-term token; ``platform_host`` lets a client find its server from the token alone.

    ``scope`` is what it may do at most (RFC 8693, section 4.2); without it, what its owner's role allows.
    """

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    jti: str
    platform_host: str
    scope: str | None = None


class RevocationClaims(msgspec.Struct, frozen=True):
    """What an answer about revoked tokens says: pairs of ``jti`` and ``exp``, and how to ask for what follows.

    ``after`` repeats what was asked, so that no answer passes for the answer to another question. With ``full`` the
    list begins anew; with ``more`` it goes on at once. The pairs are encoded already.
    """

    iss: str
    iat: int
    exp: int
    after: str
    full: bool
    revoked: msgspec.Raw
    more: bool
    next: str


class IssuedAccessToken(NamedTuple):
    """A fresh access token and the seconds for which it is valid."""

    token: Secret
    expires_in: int


class IssuedShortTermToken(NamedTuple):
    """A fresh short-term token, its id, and the Unix seconds at which it was made and at which it ends."""

    id: str
    token: Secret
    created_at: int
    expires_at: int


class TokenItem(BaseModel):
    """A short-term token in a list, without its text."""

    token_id: str = Field(description="The id of the token, which is its `jti`.")
    created_at: int = Field(description="When the token was made, in Unix seconds.")
    expires_at: int = Field(description="When the token expires, in Unix seconds.")


class TokenList(BaseModel):
    """What GET /tokens answers."""

    tokens: list[TokenItem] = Field(description="Your short-term tokens that are valid, the newest first.")


class CreatedTokenBody(TokenItem):
    """What POST /tokens answers: the one time that the token itself is shown."""

    raw_token: str = Field(
        description="The token. It is shown this once and cannot be read again.",
        json_schema_extra={"format": "password"},
    )


class RsaPublicKey(BaseModel):
    """One published RSA key, with exactly these members (RFC 7517, section 4; RFC 7518, section 6.3)."""

    alg: str = Field(examples=["RS256"])
    e: str
    kid: str
    kty: str = Field(examples=["RSA"])
    n: str
    use: str = Field(examples=["sig"])


class EcPublicKey(BaseModel):
    """One published elliptic curve key, with exactly these members (RFC 7517, section 4; RFC 7518, section 6.2)."""

    alg: str = Field(examples=["ES256"])
    crv: str = Field(examples=["P-256"])
    kid: str
    kty: str = Field(examples=["EC"])
    use: str = Field(examples=["sig"])
    x: str
    y: str


class RsaPublicKeys(BaseModel):
    """The published RSA keys, with which short-term tokens are verified."""

    keys: list[RsaPublicKey]


class PublicKeys(BaseModel):
    """Every published key (RFC 7517, section 5)."""

    keys: list[RsaPublicKey | EcPublicKey]
