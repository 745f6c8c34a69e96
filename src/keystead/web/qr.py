"""QR codes, drawn into the page itself: nothing is loaded, and the content security policy needs no exception."""

from io import BytesIO
from typing import Final

from markupsafe import Markup

from keystead.kernel.secrets import Secret

_QUIET_ZONE: Final = 2
"""Modules of white around the code; the page adds more."""


def qr_svg(text: Secret | str) -> Markup:
    """Return an SVG element that shows ``text`` as a QR code, black on white in any colour scheme.

    It is hidden from screen readers: give the text beside it too.
    """
    import segno  # noqa: PLC0415 - few pages have one

    out = BytesIO()
    segno.make(text.reveal() if isinstance(text, Secret) else text, error="m").save(
        out,
        kind="svg",
        xmldecl=False,
        svgns=False,
        nl=False,
        omitsize=True,
        border=_QUIET_ZONE,
        dark="#000",
        light="#fff",
        svgclass=None,
        lineclass=None,
    )
    drawn = out.getvalue().decode()
    return Markup(drawn.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1))  # noqa: S704 - no text of others
