"""The tables: the one definition, from which statements are written and against which migrations are checked.

Only integers (Unix seconds, counts, flags), text and blobs are stored, so that every dialect behaves alike. Secrets are
stored as keyed hashes or sealed; nothing here can be used as a credential (promise K13).
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *arguments: Any, **options: Any) -> Column[Any]:
    return Column(name, Text, *arguments, nullable=options.pop("nullable", False), **options)


def _number(name: str, *arguments: Any, **options: Any) -> Column[Any]:
    return Column(name, BigInteger, *arguments, nullable=options.pop("nullable", False), **options)


def _blob(name: str, **options: Any) -> Column[Any]:
    return Column(name, LargeBinary, nullable=False, **options)


NO_POLICIES: Final[Mapping[str, int | None]] = {
    "longest_key_life": None,
    "second_factor_required": 0,
    "password_sign_in_off": 0,
    "device_sign_in_off": 0,
}
"""What a row says that has no policies."""


def _policies() -> tuple[Column[Any], ...]:
    return tuple(_number(name, nullable=none is None) for name, none in NO_POLICIES.items())


# What the installation itself is: one row, the root key sealed under the master secret.
installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _blob("sealed_root"),
    _number("created_at"),
    CheckConstraint("id = 1", name="single"),
)

# The feed of changes: every process drops what it remembers of a subject when its row appears (promise V1).
revocation = Table(
    "revocation",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    _text("subject"),
    _number("at", index=True),
    sqlite_autoincrement=True,
)

organization = Table(
    "organization",
    metadata,
    _text("id", primary_key=True),
    _text("name", unique=True),
    _text("display_name"),
    # Its policies: the longest life of an API key in seconds, and three that are on or not (1 or 0).
    *_policies(),
    _number("created_at"),
)

# The same policies for the whole installation: one row, or none while there are none. The stricter one counts.
platform_policy = Table(
    "platform_policy",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_policies(),
    CheckConstraint("id = 1", name="single"),
)

user = Table(
    "user",
    metadata,
    _text("id", primary_key=True),
    _text("username", unique=True),
    _text("email", unique=True),
    _text("name"),
    _text("password_hash", nullable=True),
    _number("password_updated_at", nullable=True),
    _number("platform_admin"),
    _number("disabled_at", nullable=True),
    _number("created_at"),
)

membership = Table(
    "membership",
    metadata,
    _text("user_id", ForeignKey("user.id"), primary_key=True),
    _text("organization_id", ForeignKey("organization.id"), primary_key=True),
    _text("role"),
    _number("created_at"),
    # With both columns, so that one membership of a large organization is found without reading its others.
    Index(None, "organization_id", "user_id", unique=True),
    CheckConstraint("role IN ('owner', 'admin', 'member')", name="role"),
)

session = Table(
    "session",
    metadata,
    _text("id", primary_key=True),
    _blob("secret_hash", unique=True),
    _text("user_id", ForeignKey("user.id")),
    _text("organization_id", ForeignKey("organization.id")),
    _number("created_at"),
    _number("last_used_at"),
    _number("expires_at", index=True),
    _text("address"),
    _text("user_agent"),
    # Whether it was begun with more than a password, and whether with a password at all (0 or 1).
    _number("second_factor"),
    _number("password"),
    # The operator who acts as the person in it, from which session of theirs, and why; or nobody.
    _text("impersonator_id", ForeignKey("user.id"), nullable=True),
    _text("impersonator_session", nullable=True, index=True),
    _text("impersonation_reason", nullable=True),
    Index(None, "user_id", "id", unique=True),
)

# A sign-in that is not finished, or a passkey that is being made: good once, for minutes.
sign_in_step = Table(
    "sign_in_step",
    metadata,
    _text("id", primary_key=True),
    _blob("secret_hash", unique=True),
    # Who has shown the right password, or nobody yet when a passkey is to tell.
    _text("user_id", ForeignKey("user.id"), nullable=True, index=True),
    Column("challenge", LargeBinary, nullable=True),
    _number("attempts"),
    _number("created_at"),
    _number("expires_at", index=True),
)

passkey = Table(
    "passkey",
    metadata,
    _text("id", primary_key=True),
    _text("user_id", ForeignKey("user.id"), index=True),
    _blob("credential_id", unique=True),
    _blob("public_key"),
    _number("sign_count"),
    _text("name"),
    _number("created_at"),
    _number("last_used_at", nullable=True),
)

# The secret of a person's authenticator app, sealed, and the last time step of which a code was used (RFC 6238, 5.2).
totp = Table(
    "totp",
    metadata,
    _text("user_id", ForeignKey("user.id"), primary_key=True),
    _blob("sealed_secret"),
    _number("last_step"),
    _number("created_at"),
)

recovery_code = Table(
    "recovery_code",
    metadata,
    _text("user_id", ForeignKey("user.id"), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
    _number("created_at"),
    _number("used_at", nullable=True),
)

invitation = Table(
    "invitation",
    metadata,
    _text("id", primary_key=True),
    _blob("secret_hash", unique=True),
    _text("organization_id", ForeignKey("organization.id")),
    _text("email"),
    _text("role"),
    _text("invited_by", ForeignKey("user.id"), nullable=True),
    _number("created_at"),
    _number("expires_at", index=True),
    # One invitation for an address; inviting again replaces it.
    UniqueConstraint("organization_id", "email"),
    CheckConstraint("role IN ('owner', 'admin', 'member')", name="role"),
)

app = Table(
    "app",
    metadata,
    _text("id", primary_key=True),
    _text("organization_id", ForeignKey("organization.id")),
    _text("name"),
    _text("created_by", ForeignKey("user.id")),
    _number("created_at"),
    UniqueConstraint("organization_id", "name"),
)

api_key = Table(
    "api_key",
    metadata,
    _text("id", primary_key=True),
    _blob("secret_hash", unique=True),
    _text("app_id", ForeignKey("app.id"), index=True),
    _text("organization_id", ForeignKey("organization.id")),
    _text("user_id", ForeignKey("user.id"), index=True),
    _text("title"),
    _text("hint"),
    _text("scopes"),
    _number("created_at"),
    _number("expires_at", nullable=True),
    _number("last_used_at", nullable=True),
    _text("last_used_address", nullable=True),
    _number("exposed_at", nullable=True),
    # The key that took this one's place, which may be deleted meanwhile: a key is rotated once (promise K7).
    _text("successor_id", nullable=True),
    # When its owner was mailed that it ends soon.
    _number("warned_at", nullable=True),
)

# How often a key was used on a day, which is the Unix second of its midnight in UTC: for the picture of a key's use.
key_use = Table(
    "key_use",
    metadata,
    _text("api_key_id", primary_key=True),
    _number("day", primary_key=True, index=True),
    _number("uses"),
)

short_term_token = Table(
    "short_term_token",
    metadata,
    _text("id", primary_key=True),
    _text("user_id", ForeignKey("user.id")),
    _text("organization_id", ForeignKey("organization.id")),
    # The grant under which a client made it, and with which it ends; grants that have ended are cleaned up.
    _text("grant_id", nullable=True, index=True),
    # The API key that asked for it, and with which it ends; keys that are deleted are not there any more.
    _text("api_key_id", nullable=True, index=True),
    _number("created_at"),
    _number("expires_at", index=True),
    Index(None, "user_id", "id", unique=True),
)

signing_key = Table(
    "signing_key",
    metadata,
    _text("kid", primary_key=True),
    _text("alg"),
    _text("public_jwk"),
    _blob("sealed_private"),
    _number("created_at"),
    _number("signs_from"),
    _number("signs_until"),
    _number("remove_at", index=True),
)

# Clients that somebody approved; the others live in their client_id alone (promise X1).
client = Table(
    "client",
    metadata,
    _text("id", primary_key=True),
    _text("name"),
    _text("platform"),
    _number("first_approved_at"),
)

# How often an operator deleted a client: a client_id of an earlier generation is unknown.
client_generation = Table(
    "client_generation",
    metadata,
    _text("fingerprint", primary_key=True),
    _number("generation"),
)

# Clients with which nobody may sign in any more, though what is signed in stays so; registered or built in.
switched_off_client = Table(
    "switched_off_client",
    metadata,
    _text("client_id", primary_key=True),
    _text("switched_off_by", ForeignKey("user.id"), nullable=True),
    _number("switched_off_at"),
)

device_authorization = Table(
    "device_authorization",
    metadata,
    _text("id", primary_key=True),
    _blob("device_code_hash", unique=True),
    _blob("user_code_hash", unique=True),
    _text("client_id"),
    _text("scopes"),
    _text("address"),
    # What the device calls itself, where its client said so.
    _text("device_name", nullable=True),
    _number("created_at"),
    _number("expires_at", index=True),
    _number("interval"),
    _number("last_poll_ms", nullable=True),
    _text("state"),
    _number("decided_at", nullable=True),
    _text("decided_by", ForeignKey("user.id"), nullable=True),
    _text("decided_session", nullable=True),
    _text("organization_id", ForeignKey("organization.id"), nullable=True),
    _text("granted_scopes", nullable=True),
    CheckConstraint("state IN ('pending', 'approved', 'denied', 'consumed')", name="state"),
)

# "grant" is a reserved word of SQL, so the table of grants carries the family's name in full.
oauth_grant = Table(
    "oauth_grant",
    metadata,
    _text("id", primary_key=True),
    _text("client_id", ForeignKey("client.id"), index=True),
    _text("user_id", ForeignKey("user.id")),
    _text("organization_id", ForeignKey("organization.id")),
    _text("scopes"),
    _text("address"),
    _text("device_name", nullable=True),
    _number("created_at"),
    _number("expires_at", index=True),
    _number("generation"),
    _number("rotated_at"),
    _number("refresh_expires_at"),
    _number("ended_at", nullable=True),
    _text("ended_because", nullable=True),
    Index(None, "user_id", "id", unique=True),
)

balance = Table(
    "balance",
    metadata,
    _text("organization_id", ForeignKey("organization.id"), primary_key=True),
    _number("credit_cents"),
    CheckConstraint("credit_cents >= 0", name="never_negative"),
)

# Append-only: a row is never changed or deleted.
ledger_entry = Table(
    "ledger_entry",
    metadata,
    _text("id", primary_key=True),
    _text("organization_id", ForeignKey("organization.id")),
    _number("amount_cents"),
    _number("balance_after_cents"),
    _text("idempotency_key"),
    _text("provider_reference"),
    _text("user_id", ForeignKey("user.id")),
    _number("created_at"),
    UniqueConstraint("organization_id", "idempotency_key"),
    CheckConstraint("amount_cents <> 0", name="amount"),
)

# Payments that were begun and are not in the ledger yet: what a kill in the middle leaves to go on from.
top_up = Table(
    "top_up",
    metadata,
    _text("id", primary_key=True),
    _text("organization_id", ForeignKey("organization.id")),
    _number("amount_cents"),
    _text("idempotency_key"),
    _text("user_id", ForeignKey("user.id")),
    _number("created_at"),
    CheckConstraint("amount_cents > 0", name="amount"),
)

# How much the embedded payment provider has granted each organization; it stays within the operator's limit.
credit_line = Table(
    "credit_line",
    metadata,
    _text("organization_id", ForeignKey("organization.id"), primary_key=True),
    _number("granted_cents"),
)

# What the embedded payment provider has granted, by our reference, so that none is granted twice.
granted_credit = Table(
    "granted_credit",
    metadata,
    _text("reference", primary_key=True),
    _text("organization_id", ForeignKey("organization.id")),
    _number("amount_cents"),
    _number("created_at"),
)

# Wrong guesses that every node must count together, for instance wrong user codes of an account (promise D6).
wrong_guess = Table(
    "wrong_guess",
    metadata,
    _text("subject", primary_key=True),
    _number("window_start", primary_key=True),
    _number("count"),
    _number("expires_at", index=True),
)

# Short-term tokens that were taken back before they expired: what verifiers elsewhere must hear of (promise V2).
revoked_token = Table(
    "revoked_token",
    metadata,
    _text("id", primary_key=True),
    _number("revoked_at"),
    _number("expires_at", index=True),
    # The grant or API key that it was made under, if any: making and revoking tokens does not grow this list for ever.
    _text("grant_id", nullable=True, index=True),
    Index("ix_revoked_token_revoked_at_id", "revoked_at", "id"),
)

# What one node at a time does for all: who does it, and until when unless that node says so again.
errand = Table(
    "errand",
    metadata,
    _text("name", primary_key=True),
    _text("holder"),
    _number("until"),
)

audit_event = Table(
    "audit_event",
    metadata,
    _text("id", primary_key=True),
    _number("at", index=True),
    _text("type"),
    _text("actor_id", nullable=True),
    _text("organization_id", nullable=True),
    _text("target", nullable=True),
    _text("address", nullable=True),
    _text("detail"),
    Index("ix_audit_event_organization", "organization_id", "at", "id"),
    Index("ix_audit_event_actor", "actor_id", "at", "id"),
    # For the people themselves: when an operator acted as them.
    Index(
        "ix_audit_event_impersonated",
        "target",
        "at",
        sqlite_where=text("type = 'session:impersonate'"),
        postgresql_where=text("type = 'session:impersonate'"),
    ),
)
