"""When a credential was last used: remembered here, written in batches, so that a check costs no write (promise K2).

A failure to write changes no answer; what could not be written is tried again with the next batch.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

from keystead.db.engine import DatabaseError
from keystead.kernel.principal import Method, Principal

WRITE_EVERY: Final = 60
"""Seconds between two batches."""
PORTION: Final = 250
"""Uses that are written together. All of a busy minute together would hold up the writer for a second."""

Use = tuple[str, int, str]
"""A credential's id, the time in Unix seconds, and the address."""
Writer = Callable[[list[Use]], Awaitable[None]]

_log = logging.getLogger(__name__)


class LastUse:
    """The uses that are not written yet, one for each credential."""

    def __init__(self, writers: dict[Method, Writer]) -> None:
        """Write the uses of each kind of credential with its room's writer; other kinds are not recorded."""
        self._writers = writers
        self._uses: dict[Method, dict[str, Use]] = {method: {} for method in writers}

    def note(self, principal: Principal, now: int, address: str) -> None:
        """Remember a use; microseconds."""
        uses = self._uses.get(principal.method)
        if uses is not None:
            uses[principal.credential_id] = (principal.credential_id, now, address)

    async def write(self) -> None:
        """Write what was noted since the last time."""
        for method, writer in self._writers.items():
            uses, self._uses[method] = self._uses[method], {}
            try:
                while uses:
                    portion = list(islice(uses.values(), PORTION))
                    await writer(portion)
                    for credential_id, *_ in portion:
                        del uses[credential_id]
            except DatabaseError:
                _log.warning("last use could not be written; it is tried again with the next batch")
                self._uses[method] = {**uses, **self._uses[method]}

    async def write_for_ever(self) -> None:
        """Write a batch a minute until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY)
            await self.write()
