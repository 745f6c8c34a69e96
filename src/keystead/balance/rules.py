"""The rules of the balance room: what may be asked for, and what a repeated idempotency key may ask for. All pure."""

import re
from typing import Final
from uuid import UUID, uuid5

from keystead.balance.models import KEY_PATTERN, LARGEST_AMOUNT, LONGEST_KEY, SHORTEST_KEY
from keystead.kernel.problems import Conflict, FieldProblem, InvalidParameters

_KEY: Final = re.compile(KEY_PATTERN)
_REFERENCES: Final = UUID("6f3c1f0e-5d0b-5c5e-9a53-0c7a9c1f5b1d")


def check_amount(amount_cents: int) -> int:
    """Return an amount that may be added, in cents. Raises InvalidParameters."""
    if not 0 < amount_cents <= LARGEST_AMOUNT:
        _refuse("amount_cents", "amount", f"Add 1 to {LARGEST_AMOUNT} cents at a time.")
    return amount_cents


def check_idempotency_key(key: str) -> str:
    """Return an idempotency key as it is. Raises InvalidParameters."""
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY or _KEY.fullmatch(key) is None:
        _refuse(
            "idempotency_key",
            "idempotency_key",
            f"An idempotency key has {SHORTEST_KEY} to {LONGEST_KEY} characters and no control characters.",
        )
    return key


def check_same_amount(before_cents: int, now_cents: int) -> None:
    """Raise Conflict when an idempotency key comes again with another amount."""
    if before_cents != now_cents:
        raise Conflict(
            f"This idempotency key stands for a payment of {before_cents} cents. "
            "Send the same amount again, or choose a new key for a new payment."
        )


def reference_of(organization_id: str, idempotency_key: str) -> str:
    """Return the reference under which the provider is asked for a payment: the same whenever it is asked again."""
    return str(uuid5(_REFERENCES, f"{organization_id}:{idempotency_key}"))


def _refuse(field: str, code: str, sentence: str) -> None:
    raise InvalidParameters(sentence, fields=[FieldProblem("body", field, code, sentence)])
