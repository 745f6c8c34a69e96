"""The files of the pages, as they are and compressed.

They are the same for everybody and hold no secret, so compressing them tells nobody anything. Pages are not compressed:
they hold the tokens of their forms beside what a stranger may have put into the address (the BREACH attack).
"""

import gzip
from dataclasses import dataclass
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file: its bytes, the same for gzip (RFC 9110, section 8.4.1.3), and its media type."""

    content: bytes
    compressed: bytes
    media_type: str

    def response(self, request: Request, cache_control: str) -> Response:
        """Return the file as the client takes it."""
        headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        if not _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(self.content, media_type=self.media_type, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(self.compressed, media_type=self.media_type, headers=headers)


def static_files() -> dict[str, StaticFile]:
    """Return every static file in the package, by its name."""
    files = (resources.files("keystead.web") / "static").iterdir()
    kinds = {file: _TYPES.get(file.name.rpartition(".")[2]) for file in files}
    return {file.name: _read(file.read_bytes(), kind) for file, kind in kinds.items() if kind is not None}


def _read(content: bytes, media_type: str) -> StaticFile:
    return StaticFile(content, gzip.compress(content, mtime=0), media_type)


def _takes_gzip(accepted: str) -> bool:
    """Tell whether an Accept-Encoding names gzip with a weight that is not 0 (RFC 9110, section 12.5.3)."""
    for coding in accepted.split(","):
        name, _, weight = coding.replace(" ", "").lower().partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" if weight else True
    return False
