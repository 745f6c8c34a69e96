"""Groups of commands that say which command was perhaps meant."""

from difflib import get_close_matches

import click


class Family(click.Group):
    """A group of commands. One that does not exist is answered with the name that is nearest to it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name."""
        name = args[0]
        if name.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        near = get_close_matches(name, self.list_commands(ctx), n=1)
        meant = f" Did you mean '{ctx.command_path} {near[0]}'?" if near else ""
        return ctx.fail(f"There is no command '{ctx.command_path} {name}'.{meant}")
