"""A clock that stands still until a test moves it."""


class ManualClock:
    """The time as a test wants it, in whole milliseconds inside. It starts on a day in November 2025."""

    def __init__(self, seconds: int = 1_763_800_000) -> None:
        """Start at ``seconds`` since 1970."""
        self._milliseconds = seconds * 1000

    def now(self) -> int:
        """Return the time as whole Unix seconds."""
        return self._milliseconds // 1000

    def now_ms(self) -> int:
        """Return the time as whole Unix milliseconds."""
        return self._milliseconds

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._milliseconds += round(seconds * 1000)
