"""``keystead completion``: what lets a shell complete commands, options and the names of contexts."""

import click
from click.shell_completion import get_completion_class

from keystead.cli.calling import JSON, Call, UserCommand
from keystead.cli.options import examples
from keystead.cli.refusal import Refusal
from keystead.cli.shapes import TEXT

VARIABLE = "_KEYSTEAD_COMPLETE"


@click.command(
    "completion",
    cls=UserCommand,
    shares=(JSON,),
    answers={"shell": TEXT, "script": TEXT},
    epilog=examples(
        'eval "$(keystead completion bash)"',
        'eval "$(keystead completion zsh)"',
        "keystead completion fish > ~/.config/fish/completions/keystead.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(call: Call, shell: str) -> None:
    """Print a script that lets your shell complete commands. Put the line of the example into its start file."""
    found = get_completion_class(shell)
    if found is None:
        raise Refusal(f"There is no completion for {shell} here.")
    group = click.get_current_context().find_root().command
    script = found(group, {}, "keystead", VARIABLE).source_template % {
        "complete_func": "_keystead_completion",
        "complete_var": VARIABLE,
        "prog_name": "keystead",
    }
    if call.screen.as_json:
        call.screen.answer({"shell": shell, "script": script})
    else:
        call.screen.print(script)
