"""The records and bodies of the balance room. Amounts are whole cents."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, StringConstraints

from keystead.wire.bodies import whole

LARGEST_AMOUNT: Final = 10_000
SHORTEST_KEY: Final = 8
LONGEST_KEY: Final = 128
KEY_PATTERN: Final = r"^[^\u0000-\u001f\u007f-\u009f]*$"
"""No control characters; it means the same in Python, in Rust (pydantic) and in ECMA-262 (JSON Schema, 6.4)."""


@dataclass(frozen=True, slots=True)
class BalanceNow:
    """What an organization has to spend."""

    organization_id: str
    credit_cents: int


@dataclass(frozen=True, slots=True)
class TopUp:
    """A payment that was begun and is not in the ledger yet.

    ``id`` is the reference under which the provider is asked; ``user_id`` is who asked first.
    """

    id: str
    organization_id: str
    amount_cents: int
    user_id: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A change of a balance. Entries are never changed and never deleted; ``created_at`` is in Unix seconds."""

    id: str
    organization_id: str
    amount_cents: int
    balance_after_cents: int
    idempotency_key: str
    provider_reference: str
    user_id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class ToldEntry(LedgerEntry):
    """A change of a balance with the user name of who made it."""

    username: str


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """A place in a ledger, just after the entry of this time and id; the newest entries come first."""

    created_at: int
    id: str


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Some entries, the newest first, and where to go on; ``older`` is None when there is nothing before them."""

    entries: tuple[ToldEntry, ...]
    older: LedgerPlace | None


class AddBalanceRequest(BaseModel):
    """What POST /balance/add reads. Members that are not listed are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    amount_cents: Annotated[StrictInt, Field(gt=0, le=LARGEST_AMOUNT), BeforeValidator(whole)] = Field(
        description="How much to add, in cents."
    )
    idempotency_key: Annotated[
        StrictStr, StringConstraints(min_length=SHORTEST_KEY, max_length=LONGEST_KEY, pattern=KEY_PATTERN)
    ] = Field(description="Names this payment: however often it is sent with the same key, it is charged once.")


class BalanceResponse(BaseModel):
    """An organization's balance."""

    org_id: str = Field(description="The id of the organization.")
    credit_balance_cents: int = Field(description="What the organization has to spend, in cents.", ge=0)
    pending_debit_balance_cents: int = Field(description="What was used and is not taken from the balance yet.", ge=0)
    will_invoice: bool = Field(description="Whether the organization pays by invoice instead. It never does here.")
