"""Sending letters: at once for who waits for the outcome, or in the background, tried again while that may help."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from keystead.kernel.clock import Clock, SystemClock
from keystead.kernel.colors import theme_of
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.mail.messages import compose
from keystead.mail.models import Letter, MailError
from keystead.mail.server import masked, read_url

MOST_WAITING: Final = 1_000
"""Letters that may wait in the background at once; one more is dropped, and the log says so."""
PAUSES: Final = (2.0, 20.0)
"""Seconds before the second and the third try of a letter."""
_GOODBYE: Final = 10.0

_log = logging.getLogger(__name__)


class Mailer:
    """Sends letters to people by the operator's mail server, one at a time, in one thread."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock | None = None,
        pauses: Sequence[float] = PAUSES,
        room: int = MOST_WAITING,
    ) -> None:
        """Send by ``settings.smtp_url`` from ``settings.mail_from``.

        ``pauses`` are seconds between tries; at most ``room`` letters wait in the background.
        """
        url = settings.smtp_url
        self._server = read_url(Secret(url.get_secret_value())) if url is not None and settings.mail_from else None
        self._product_name = settings.product_name
        self._sender = settings.mail_from
        self._theme = theme_of(settings.accent_color)
        self._clock = clock or SystemClock()
        self._pauses = pauses
        self._room = room
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")
        self._waiting: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    @property
    def configured(self) -> bool:
        """Whether there is a mail server; without one nothing is ever sent."""
        return self._server is not None

    async def send(self, letter: Letter) -> None:
        """Send a letter and return when the mail server has taken it. Raises MailError; tries once."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._hand_in, letter)

    def send_later(self, letter: Letter) -> None:
        """Send a letter in the background, with two more tries if the first fails for a while. Never raises.

        What could not be sent is told in the log, once, without the receiver's whole address. Needs a running loop.
        """
        if not self.configured:
            _log.info("a letter was not sent, because no mail server is set")
            return
        if len(self._waiting) >= self._room:
            _log.error("a letter was not sent, because %d others wait: the mail server is too slow", self._room)
            return
        task = asyncio.get_running_loop().create_task(self._deliver(letter))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def aclose(self) -> None:
        """Send what waits, without further pauses; give up, and say so, after 10 seconds."""
        self._closing.set()
        if self._waiting:
            _, late = await asyncio.wait(set(self._waiting), timeout=_GOODBYE)
            for task in late:
                task.cancel()
            if late:
                _log.error("%d letters were not sent before the server stopped", len(late))
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _deliver(self, letter: Letter) -> None:
        for pause in (*self._pauses, None):
            try:
                await self.send(letter)
            except MailError as error:
                if pause is None or not error.temporary:
                    _log.error("a letter to %s was not sent: %s", masked(letter.to), error)
                    return
                await self._rest(pause)
            except Exception as error:
                # Nothing that a letter holds may reach the log, so not the error's own words either.
                _log.error("a letter to %s was not sent: %s", masked(letter.to), type(error).__name__)
                return
            else:
                return

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def _hand_in(self, letter: Letter) -> None:
        if self._server is None:
            raise MailError("No mail server is set. Set KEYSTEAD_SMTP_URL and KEYSTEAD_MAIL_FROM.")
        message = compose(
            letter, product_name=self._product_name, sender=self._sender, theme=self._theme, now=self._clock.now()
        )
        self._server.send(message, "" if letter.button is None else letter.button[1].reveal())
