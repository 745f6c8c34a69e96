"""The entry of the command line, as ``keystead`` and as ``python -m keystead``.

Exit codes: 0 done, 1 refused or failed, 2 wrong options, 130 stopped by Ctrl-C.
"""

import os
import sys


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    if sys.argv[1:] == ["--version"]:  # answered before anything heavy is imported
        from keystead import __version__

        sys.stdout.write(f"keystead {__version__}\n")
        return
    sys.exit(_run())


def _run() -> int:
    import click

    from keystead.cli.commands import keystead

    try:
        code = keystead.main(prog_name="keystead", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("Stopped.\n")
        return 130
    except BrokenPipeError:  # whoever read our output has gone; nothing is to be said, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
