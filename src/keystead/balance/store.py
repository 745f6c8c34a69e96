"""The statements of the balance room."""

from typing import Final

from sqlalchemy import BigInteger, Text, bindparam, delete, select, tuple_

from keystead.balance.models import BalanceNow, LedgerEntry, ToldEntry, TopUp
from keystead.db import Command, Query, insert_into
from keystead.db.statements import upsert
from keystead.db.tables import balance, credit_line, granted_credit, ledger_entry, top_up, user

BALANCE: Final = Query(
    select(balance.c.organization_id, balance.c.credit_cents).where(
        balance.c.organization_id == bindparam("organization_id")
    ),
    BalanceNow,
)

ENTRY_BY_KEY: Final = Query(
    select(ledger_entry).where(
        ledger_entry.c.organization_id == bindparam("organization_id"),
        ledger_entry.c.idempotency_key == bindparam("idempotency_key"),
    ),
    LedgerEntry,
)
LEDGER: Final = Query(
    select(ledger_entry)
    .where(ledger_entry.c.organization_id == bindparam("organization_id"))
    .order_by(ledger_entry.c.created_at, ledger_entry.c.id),
    LedgerEntry,
)
# An organization makes few entries, by hand or with a program of its own: they are sorted when they are read.
LEDGER_PAGE: Final = Query(
    select(ledger_entry, user.c.username)
    .join(user, user.c.id == ledger_entry.c.user_id)
    .where(
        ledger_entry.c.organization_id == bindparam("organization_id"),
        tuple_(ledger_entry.c.created_at, ledger_entry.c.id)
        < tuple_(bindparam("created_at", type_=BigInteger), bindparam("id", type_=Text)),
    )
    .order_by(ledger_entry.c.created_at.desc(), ledger_entry.c.id.desc())
    .limit(bindparam("most")),
    ToldEntry,
)

# Quietly nothing where the same payment was begun already: it is the one to go on with.
BEGIN: Final = Command(
    upsert(top_up).values({c.name: bindparam(c.name) for c in top_up.c}).on_conflict_do_nothing(index_elements=["id"])
)
BEGUN: Final = Query(
    select(
        top_up.c.id, top_up.c.organization_id, top_up.c.amount_cents, top_up.c.user_id, top_up.c.idempotency_key
    ).where(top_up.c.id == bindparam("top_up_id")),
    TopUp,
)
FORGET: Final = Command(delete(top_up).where(top_up.c.id == bindparam("top_up_id")))

_CREDIT = upsert(balance).values(organization_id=bindparam("organization_id"), credit_cents=bindparam("amount_cents"))
CREDIT: Final = Query(
    _CREDIT.on_conflict_do_update(
        index_elements=["organization_id"],
        set_={"credit_cents": balance.c.credit_cents + _CREDIT.excluded.credit_cents},
    ).returning(balance.c.credit_cents),
    int,
)
APPEND: Final = Command(insert_into(ledger_entry))

# The embedded provider's own books.
GRANTED: Final = Query(
    select(granted_credit.c.amount_cents).where(granted_credit.c.reference == bindparam("reference")), int
)
GRANT: Final = Command(insert_into(granted_credit))
_DRAW = upsert(credit_line).values(
    organization_id=bindparam("organization_id"), granted_cents=bindparam("amount_cents")
)
# One statement that both looks and takes: no two can pass the limit together (promise K4).
DRAW: Final = Command(
    _DRAW.on_conflict_do_update(
        index_elements=["organization_id"],
        set_={"granted_cents": credit_line.c.granted_cents + _DRAW.excluded.granted_cents},
        where=credit_line.c.granted_cents + _DRAW.excluded.granted_cents <= bindparam("limit_cents"),
    )
)
