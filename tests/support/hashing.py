"""Hashing that waits, so that something else can happen while a password is hashed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from keystead.accounts.passwords import PasswordHasher


class HeldHashing:
    """Lets every password wait, once it is to be hashed or verified, until ``go_on`` is set; ``begun`` tells of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Hold the hashing of every hasher until the test is over."""
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        for name in ("hash", "verify"):
            monkeypatch.setattr(PasswordHasher, name, self._held(getattr(PasswordHasher, name)))

    def _held(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def held(*arguments: Any, **options: Any) -> Any:
            self.begun.set()
            await self.go_on.wait()
            return await work(*arguments, **options)

        return held
