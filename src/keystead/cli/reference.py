"""``python -m keystead.cli.reference``: writes ``docs/cli.md`` from the commands themselves (promise O10).

A test holds the page against what this module makes, and another one runs every example in it.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from keystead.cli.calling import UserCommand
from keystead.cli.commands import SECTIONS, keystead
from keystead.cli.failing import EXIT_CODES
from keystead.cli.shapes import ERROR, OrNull, Shape

PAGE: Final = Path(__file__).parents[3] / "docs" / "cli.md"
SERVER: Final = "Server"
"""The section whose commands run on the server's machine; each of them explains itself."""

INTRODUCTION: Final = """\
# The command line

`pip install keystead` brings the command `keystead`. Sign in once, and every other command knows who you are:

```
keystead login https://auth.example.com
keystead whoami
keystead logout
```

Each command explains itself with `--help`, which needs no network. This page is made from the commands by
`python -m keystead.cli.reference`.

## What goes where

What was asked for goes to standard output, and nothing else does: `API_KEY=$(keystead keys create ...)` keeps the key
alone. Everything said beside it goes to standard error. On a terminal a list is a table, or a block for each thing
where a table would not fit, and times are of your zone. In a pipe a list is lines of fields with tabs between them,
without a heading, and times are exact (ISO 8601). `NO_COLOR` is honoured.

With `--json` the answer is one JSON document on standard output, in the shape that is given with each command below. A
refusal is a JSON object on standard output too, and the exit code tells that it is one:

```json
{error}
```

Times in JSON are Unix seconds. Members may be added by a later version; none is taken away or changes its meaning.
`keystead login --json` prints an event a line instead, and its last event tells how it ended.

Nothing is asked where nobody can answer. Without a terminal, or with `--json`, a command that cannot be undone needs
`--yes`, and ends with exit code 2 without it.

## Exit codes

| code | meaning |
| --- | --- |
{codes}

## Whose credential is used

From the strongest to the weakest:

1. The stored sign-in that `--context` names.
2. `KEYSTEAD_TOKEN`: any bearer token.
3. `KEYSTEAD_API_KEY`: an API key.
4. `PW_API_KEY`: either of them, as other programs know it.
5. The stored sign-in that `KEYSTEAD_CONTEXT` names, else the current one.

A credential from the environment goes to the server that `--server` or `KEYSTEAD_URL` names, else to the one that it
names itself, else to `PW_PLATFORM_HOST`. A stored sign-in goes to its own server and to no other. `keystead auth
status` shows which variables are set, never what is in them.

Sign-ins are kept in `credentials.json` in `KEYSTEAD_CONFIG_DIR`, else in `$XDG_CONFIG_HOME/keystead`, else in
`~/.config/keystead` (`%APPDATA%\\keystead` on Windows), readable by you alone. What renews a sign-in is kept in the
keyring of the system where there is one.
"""


def commands(sections: Mapping[str, Mapping[str, Any]] = SECTIONS) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command of these sections that runs, with the words that name it."""
    context = click.Context(keystead)
    for names in sections.values():
        for name in names:
            command = keystead.get_command(context, name)
            if command is not None:
                yield from _below((name,), command)


def _below(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _below((*words, name), inner)
    else:
        yield words, command


def page() -> str:
    """Return the whole page."""
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    introduction = INTRODUCTION.replace("{codes}", codes).replace("{error}", json.dumps(shown(ERROR)))
    parts = [introduction]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        if title == SERVER:
            parts.append("These run on the server's machine, and need `pip install 'keystead[server]'`.\n")
            parts.append("\n".join(f"- `keystead {name}`: {lazy.help}" for name, lazy in names.items()) + "\n")
        else:
            parts += [_entry(words, command) for words, command in commands({title: names})]
    return "\n".join(parts)


def _entry(words: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(("keystead", *words)))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"### keystead {' '.join(words)}", "", "```", usage, "```", "", inspect.cleandoc(command.help or ""), ""]
    parts += ["| option | meaning |", "| --- | --- |", *_options(command, context), ""]
    if isinstance(command, UserCommand):
        parts += ["With `--json`:", "", "```json", *_shape_lines(command.answers), "```", ""]
    parts += ["```sh", *examples_of(command), "```", ""]
    return "\n".join(parts)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            option, meaning = (part.replace("|", "\\|") for part in record)
            yield f"| `{option}` | {' '.join(meaning.split())} |"


def examples_of(command: click.Command) -> list[str]:
    """Return the examples of a command's help, as they are typed."""
    lines = (command.epilog or "").splitlines()
    return [line.strip() for line in lines if line.startswith("  ")]


def _shape_lines(answers: Mapping[str, Shape]) -> list[str]:
    """Return a shape as JSON; events, which are told apart by their names, one a line."""
    if "auth_start" not in answers:
        return json.dumps(shown(answers), indent=2).splitlines()
    events = [
        {"event": name, **shown(shape)} if name.startswith("auth") or name == "device_code" else shown(shape)
        for name, shape in answers.items()
    ]
    return [json.dumps(event) for event in events]


def shown(shape: Shape) -> Any:
    """Return a shape as the JSON that stands for it on the page."""
    if isinstance(shape, OrNull):
        return shown(shape.shape)
    if isinstance(shape, Mapping):
        return {name: shown(part) for name, part in shape.items()}
    return shape if isinstance(shape, str) else [shown(shape[0])]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write("docs/cli.md\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
