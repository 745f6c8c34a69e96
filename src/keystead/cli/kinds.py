"""How options with a time are read: once, into seconds, with a sentence for what cannot be read."""

import time
from collections.abc import Callable

import click

from keystead.cli.times import read_duration, read_expiry

Reading = Callable[[click.Context, click.Parameter, str | None], int | None]


def expiry(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return in how many seconds something ends. Raises click.BadParameter."""
    return _read(lambda text: read_expiry(text, int(time.time())), value)


def duration(*, most: int, too_long: str) -> Reading:
    """Return the reader of a length of time; more than ``most`` seconds are refused with the sentence ``too_long``."""

    def reading(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
        seconds = _read(read_duration, value)
        if seconds is not None and seconds > most:
            raise click.BadParameter(too_long)
        return seconds

    return reading


def _read(read: Callable[[str], int], value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return read(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
