"""Device tokens that a program holds itself, without the credential store: renewed in memory, by one thread for all."""

import random
import time
from collections.abc import Callable
from threading import Lock

from keystead.client._address import server_address
from keystead.client._calls import DEFAULT_POLICY
from keystead.client._errors import NetworkError, RateLimited, SignInRequired
from keystead.client._models import TokenSet
from keystead.client._oauth import refresh
from keystead.client._retry import NO_RETRIES, RetryPolicy
from keystead.kernel.secrets import Secret

OnRenewed = Callable[[TokenSet], None]
"""Told of the next tokens, before they are used: a program that keeps its tokens keeps these instead."""

_AFTER_FAILURE = 15.0


class TokenCredential:
    """A sign-in's tokens, renewed at a random moment in the last 5 to 20 % of their life (promise R10).

    However many threads and tasks use it, one refresh is made (promise R9). It is for one process: tokens that several
    share belong into the credential store. Lifetimes are followed by the monotonic clock.
    """

    def __init__(
        self,
        server: str,
        tokens: TokenSet,
        client_id: str,
        *,
        on_renewed: OnRenewed | None = None,
        policy: RetryPolicy = DEFAULT_POLICY,
    ) -> None:
        """Hold the tokens of a sign-in that was made as ``client_id``. Raises UsageError and InsecureAddress."""
        self.server = server_address(server)
        self._client_id = client_id
        self._on_renewed = on_renewed
        self._policy = policy
        self._turn = Lock()
        self._not_before = 0.0
        self._hold(tokens)

    def __repr__(self) -> str:
        return f"<tokens for {self.server}>"

    @property
    def tokens(self) -> TokenSet:
        """The newest tokens."""
        return self._tokens

    def ready(self) -> Secret | None:
        """Return the header's value if no renewal is due."""
        return None if time.monotonic() >= self._due else self._value

    def authorization(self) -> Secret:
        """Return the header's value, after a renewal if one is due.

        While the token is valid nothing holds a request up: another thread's renewal is not waited for, and one that
        fails leaves the token in use. Raises SignInRequired and NetworkError.
        """
        if not self._turn.acquire(blocking=time.monotonic() >= self._ends):
            return self._value
        try:
            now = time.monotonic()
            valid = now < self._ends
            if now < self._due or (valid and now < self._not_before):
                return self._value
            try:
                self._renew(NO_RETRIES if valid else self._policy)
            except (NetworkError, RateLimited):
                self._not_before = time.monotonic() + _AFTER_FAILURE
                if not valid:
                    raise
            return self._value
        finally:
            self._turn.release()

    def after_refusal(self, refused: Secret) -> Secret | None:
        """Return the header's value that another thread got meanwhile, or of one renewal; None when there is none."""
        with self._turn:
            if self._value == refused:
                if self._tokens.refresh_token is None:
                    return None
                self._renew(self._policy)
            return self._value

    def _renew(self, policy: RetryPolicy) -> None:
        presented = self._tokens.refresh_token
        if presented is None:
            raise SignInRequired("The token has expired, and there is nothing to renew it with.")
        tokens = refresh(self.server, presented, self._client_id, policy=policy)
        self._hold(tokens)
        if self._on_renewed is not None:
            self._on_renewed(tokens)

    def _hold(self, tokens: TokenSet) -> None:
        life = max(0.0, tokens.expires_at - time.time())
        share = 0.05 + 0.15 * random.random()  # noqa: S311 - it spreads refreshes, and guards nothing
        self._ends = time.monotonic() + life
        self._due = self._ends - share * life
        self._value = Secret("Bearer " + tokens.access_token.reveal())
        self._tokens = tokens
