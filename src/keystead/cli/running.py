"""Runs the command that the arguments name and returns the exit code that it ends with."""

import os
import signal
import sys
import threading
from collections.abc import Sequence

import click

from keystead.cli import failing
from keystead.cli.commands import keystead
from keystead.client._errors import KeysteadError


def run(arguments: Sequence[str]) -> int:
    """Run a command. Whatever happens is told in a sentence; a traceback is a mistake of ours."""
    as_json = "--json" in arguments
    sys.unraisablehook = _press_again
    try:
        code = keystead.main(list(arguments), prog_name="keystead", standalone_mode=False)
    except click.UsageError as error:
        if as_json:
            return failing.show(failing.failure_of(error), as_json=True)
        error.show()
        return failing.USAGE
    except (click.Abort, KeyboardInterrupt):
        return failing.show(failing.interrupted(), as_json=as_json)
    except RuntimeError as error:  # Python wraps a Ctrl-C while a class is made, as imports do by the hundred
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return failing.show(failing.interrupted(), as_json=as_json)
    except BrokenPipeError:  # whoever read our output has gone; nothing is to be said, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failing.FAILED
    except (click.ClickException, KeysteadError, OSError) as error:
        return failing.show(failing.failure_of(error), as_json=as_json)
    return code if isinstance(code, int) else 0


def _press_again(lost: "sys.UnraisableHookArgs") -> None:
    """Press Ctrl-C once more where Python lost it: in a callback, and each import ends with one, nothing can be raised.

    A moment later, when the callback is over; a thread presses, so that whatever the command waits for is interrupted.
    """
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    again.daemon = True
    again.start()
