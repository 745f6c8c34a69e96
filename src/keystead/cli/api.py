"""``keystead api``: any request to the server, signed in."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from keystead.cli.calling import Call, UserCommand
from keystead.cli.failing import REFUSED
from keystead.cli.options import examples
from keystead.cli.shapes import ANY, NUMBER

_WITHOUT_A_BODY: Final = frozenset({"GET", "HEAD", "DELETE"})


@click.command(
    "api",
    cls=UserCommand,
    answers={"status": NUMBER, "body": ANY},
    epilog=examples(
        "keystead api GET /account/service/v1/apps",
        "keystead api POST /account/service/v1/apps --field app_name=ci",
        'keystead api POST /account/service/v1/apps -d \'{"app_name": "ci"}\'',
        "keystead api POST /account/service/v1/apps --data @app.json",
        "keystead api GET /api/auth/session --json",
    ),
)
@click.argument("method", metavar="METHOD")
@click.argument("path", metavar="PATH")
@click.option("-d", "--data", metavar="TEXT", help="The body: the text itself, @FILE, or - for standard input.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    help="A member of a JSON body, or of the query where the method has no body. May be repeated.",
)
def api(call: Call, method: str, path: str, data: str | None, fields: tuple[str, ...]) -> int:
    """Send a request to the server, signed in, and print the body of the answer.

    PATH begins with a slash. A whole address is followed only when it is of the server that you are signed in to: the
    sign-in is sent nowhere else. An answer of 400 or more ends with exit code 4.
    """
    method = method.upper()
    if data is not None and fields:
        raise click.UsageError("Give the body by --data or by --field, not by both.")
    members = _members(fields)
    query = members if method in _WITHOUT_A_BODY else {}
    body = _body(data) if data is not None else json.dumps(members).encode() if members and not query else None
    with call.client() as client:
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = client.request(method, path, content=body, params=query, headers=headers)
    if call.screen.as_json:
        call.screen.answer({"status": answer.status, "body": _parsed(answer.content)})
    else:
        _print(call, answer.content)
    if answer.status < 400:
        return 0
    call.screen.tell(f"The server answered {answer.status}.")
    return REFUSED


def _body(data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise click.BadParameter(
                f"The file {data[1:]} cannot be read: {error.strerror}.", param_hint="'--data'"
            ) from error
    return data.encode()


def _members(fields: tuple[str, ...]) -> dict[str, str]:
    members = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{field}' is not NAME=VALUE.", param_hint="'--field'")
        members[name] = value
    return members


def _parsed(body: bytes) -> Any:
    """Return what a body says: JSON as it is, anything else as text, None for no body."""
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _print(call: Call, body: bytes) -> None:
    """Print a body: on a terminal JSON is indented, in a pipe every byte is as it came."""
    if not body:
        return
    parsed = _parsed(body)
    if call.screen.for_people and not isinstance(parsed, str):
        call.screen.answer(parsed)
    elif call.screen.for_people:
        call.screen.print("".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in str(parsed)))
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
