"""``keystead context``: the sign-ins kept on this machine."""

import click

from keystead.cli.calling import JSON, Call, UserCommand, stored_contexts
from keystead.cli.families import Family
from keystead.cli.options import examples
from keystead.cli.screen import Time
from keystead.cli.shapes import FLAG, SIGN_IN, TEXT


@click.group(cls=Family, epilog=examples("keystead context list", "keystead context use ada@auth.example.com"))
def context() -> None:
    """List the sign-ins kept on this machine, or switch between them. Each is called a context."""


@context.command(
    "list",
    cls=UserCommand,
    answers={"contexts": [{**SIGN_IN, "current": FLAG}]},
    shares=(JSON,),
    epilog=examples("keystead context list", "keystead context list --json"),
)
def list_contexts(call: Call) -> None:
    """List the sign-ins kept on this machine. The server is not asked."""
    from keystead.cli.sign_ins import sign_in_as_json
    from keystead.client._store import Store

    store = Store.open()
    found, current = store.contexts(), store.current()
    if call.screen.as_json:
        told = [{**sign_in_as_json(one, store), "current": one.name == current} for one in found]
        call.screen.answer({"contexts": told})
        return
    rows = [
        (
            *(one.name, one.server, one.username, one.organization),
            *(Time(one.valid_until or None, never="unknown"), one.kept_in, "current" if one.name == current else ""),
        )
        for one in found
    ]
    headings = ("NAME", "SERVER", "USER", "ORGANIZATION", "ENDS UNUSED", "KEPT IN", "")
    call.screen.rows(headings, rows, none="Nobody is signed in here. Sign in: keystead login ADDRESS")


@context.command(
    "use",
    cls=UserCommand,
    answers={"current": TEXT},
    shares=(JSON,),
    epilog=examples("keystead context use ada@auth.example.com"),
)
@click.argument("name", metavar="NAME", shell_complete=stored_contexts)
def use_context(call: Call, name: str) -> None:
    """Use this sign-in from now on, where --context and KEYSTEAD_CONTEXT name no other."""
    from keystead.client._store import Store

    Store.open().select(name)
    if call.screen.as_json:
        call.screen.answer({"current": name})
    else:
        call.screen.tell(f"The current sign-in is '{name}' now.")
