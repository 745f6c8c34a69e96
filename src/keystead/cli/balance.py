"""``keystead balance``: what your organization has to spend. Amounts are in cents, as in the Account API."""

import uuid
from typing import TYPE_CHECKING

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.shapes import BALANCE, TEXT, as_json

if TYPE_CHECKING:
    from keystead.client._models import Balance


@click.group(
    cls=Family, epilog=examples("keystead balance get", "keystead balance add 500 --idempotency-key invoice-2027-01")
)
def balance() -> None:
    """Show your organization's balance, or add to it. Amounts are in cents."""


@balance.command(
    "get", cls=UserCommand, answers=BALANCE, epilog=examples("keystead balance get", "keystead balance get --json")
)
def get_balance(call: Call) -> None:
    """Show what your organization has to spend."""
    with call.client() as client:
        found = client.account.balance.get()
    if call.screen.as_json:
        call.screen.answer(as_json(BALANCE, found))
    else:
        _show(call, found)


@balance.command(
    "add",
    cls=UserCommand,
    answers={**BALANCE, "idempotency_key": TEXT},
    epilog=examples("keystead balance add 500 --idempotency-key invoice-2027-01", "keystead balance add 2000 --json"),
)
@click.argument("amount_cents", metavar="CENTS", type=click.IntRange(min=1))
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Names this payment: however often it is sent with the same KEY, it is charged once. Default: a new one.",
)
def add_balance(call: Call, amount_cents: int, idempotency_key: str | None) -> None:
    """Add an amount in cents to your organization's balance.

    When the answer is lost, send the same amount with the same KEY again: it is charged once.
    """
    from keystead.client._errors import NetworkError

    key = idempotency_key or str(uuid.uuid4())
    with call.client() as client:
        try:
            found = client.account.balance.add(amount_cents, idempotency_key=key)
        except NetworkError as error:
            error.hint = (
                "The payment may have been made. Ask again in the same words, it is charged once: "
                f"keystead balance add {amount_cents} --idempotency-key {key}"
            )
            raise
    if call.screen.as_json:
        call.screen.answer({**as_json(BALANCE, found), "idempotency_key": key})
    else:
        call.screen.tell(f"Added {_cents(amount_cents)}.")
        _show(call, found)


def _show(call: Call, found: "Balance") -> None:
    call.screen.fields(
        {
            "Balance": _cents(found.credit_cents),
            "Not yet taken from it": _cents(found.pending_debit_cents),
            "Paid by invoice": found.will_invoice,
        }
    )


def _cents(amount: float) -> str:
    return f"{amount:g} cents"
