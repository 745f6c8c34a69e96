"""A QR code in the terminal (ISO/IEC 18004), two modules high to a character."""

from typing import Final

_QUIET: Final = 2
"""Light modules around the code. Four are the rule; cameras read two, and terminals are small."""
_BLACK_ON_WHITE: Final = "\x1b[30;107m"
_END: Final = "\x1b[0m"
_HALVES: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def qr_code(text: str, *, width: int, height: int, colour: bool) -> str:
    """Return the lines of a QR code, or nothing where it would not fit.

    With ``colour`` it is black on white whatever the terminal's colours are. Without, its light modules are drawn, as
    on a dark terminal; cameras read it the other way round as well.
    """
    import segno

    code = segno.make(text, error="l", micro=False)
    rows = [[bool(module) for module in row] for row in code.matrix_iter(scale=1, border=_QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    if len(rows[0]) > width or len(rows) // 2 > height:
        return ""
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        if colour:
            signs = "".join(_HALVES[pair] for pair in zip(upper, lower, strict=True))
            lines.append(_BLACK_ON_WHITE + signs + _END)
        else:
            lines.append("".join(_HALVES[not one, not other] for one, other in zip(upper, lower, strict=True)))
    return "\n".join(lines)
