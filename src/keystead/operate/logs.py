"""Logs: one JSON object a line on standard error, with the request's id, and with every secret masked (promise W9).

Secrets are masked by type where they are held (``kernel.secrets.Secret``). The masking here is the second net: whatever
looks like a credential of ours in any message or traceback is cut down to its prefix.
"""

import logging
import re
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from keystead.kernel.secrets import (
    DEVICE_CODE_PREFIX,
    INVITATION_PREFIX,
    REFRESH_TOKEN_PREFIX,
    SESSION_PREFIX,
    STEP_PREFIX,
)

_JWT: Final = r"eyJ[\w-]{8,}(?:\.[\w-]*){0,2}"
_USER_CODE: Final = r"\b[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}\b"


def configure_logs(level: str, api_key_prefix: str) -> None:
    """Send every logger's lines, ours and the libraries', through one formatter."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _Mask(api_key_prefix),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if level != "DEBUG":
        for chatty in ("uvicorn.error", "alembic", "asyncio"):
            logging.getLogger(chatty).setLevel("WARNING")


class _Mask:
    """Cuts credentials out of every text of a log line."""

    def __init__(self, api_key_prefix: str) -> None:
        ours = (SESSION_PREFIX, STEP_PREFIX, INVITATION_PREFIX, DEVICE_CODE_PREFIX, REFRESH_TOKEN_PREFIX)
        prefixes = [*ours, f"{api_key_prefix}_"]
        known = "|".join(re.escape(prefix) for prefix in prefixes)
        self._opaque = re.compile(rf"({known})[\w.\-]+")
        self._others = re.compile(f"{_JWT}|{_USER_CODE}")

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {name: self._masked(value) for name, value in event.items()}

    def _masked(self, value: object) -> object:
        if not isinstance(value, str):
            return value if isinstance(value, int | float | bool | None) else self._masked(str(value))
        return self._others.sub("********", self._opaque.sub(r"\1********", value))
