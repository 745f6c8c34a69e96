"""Logs: one JSON object a line on standard error, with the request's id, and with every secret masked (promise W9).

Secrets are masked by type where they are held (``kernel.secrets.Secret``). The masking here is the second net: whatever
looks like a credential of ours in any message or traceback is cut down to its prefix.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter

from keystead.kernel.secrets import (
    ACCESS_TOKEN_PREFIX,
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
    formatter = _Formatter(_Mask(api_key_prefix))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    if level != "DEBUG":
        for chatty in ("uvicorn.error", "alembic", "asyncio"):
            logging.getLogger(chatty).setLevel("WARNING")


class _Formatter(JsonFormatter):
    """One JSON object a line, with the time in UTC, in the names of the request log."""

    def __init__(self, mask: "_Mask") -> None:
        super().__init__("%(message)s %(levelname)s %(name)s")
        self._mask = mask

    def process_log_record(self, log_data: LogData) -> LogData:
        """Return the line's members in their order, masked."""
        own = {"event": log_data.pop("message", ""), "level": str(log_data.pop("levelname", "")).lower()}
        own["logger"] = log_data.pop("name", "")
        trace = log_data.pop("exc_info", None)
        rest = {**log_data, "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        return self._mask({**own, **rest, **({"exception": trace} if trace else {})})


class _Mask:
    """Cuts credentials out of every text of a log line."""

    def __init__(self, api_key_prefix: str) -> None:
        kept = (SESSION_PREFIX, STEP_PREFIX, INVITATION_PREFIX, DEVICE_CODE_PREFIX)
        prefixes = [*kept, REFRESH_TOKEN_PREFIX, ACCESS_TOKEN_PREFIX, f"{api_key_prefix}_"]
        known = "|".join(re.escape(prefix) for prefix in prefixes)
        self._opaque = re.compile(rf"({known})[\w.\-]+")
        self._others = re.compile(f"{_JWT}|{_USER_CODE}")

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the line's members without any credential in them."""
        return {name: self._masked(value) for name, value in event.items()}

    def _masked(self, value: object) -> object:
        if not isinstance(value, str):
            return value if isinstance(value, int | float | bool | None) else self._masked(str(value))
        return self._others.sub("********", self._opaque.sub(r"\1********", value))
