"""What the state machines share: a fresh copy of the installation for each run, and coroutines run to their end."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from keystead.kernel.problems import Problem
from keystead.oauth.models import TokenSet
from tests.support.installation import Template

T = TypeVar("T")

TOKENS = "tokens"
"""What an answer with tokens is called, beside the errors of the RFCs."""


class InstallationMachine(RuleBasedStateMachine):
    """A machine over an installation of its own. ``seen`` counts what was answered, over all runs."""

    def __init__(self, template: Template, directory: Path, seen: Counter[str], **settings: Any) -> None:
        """Open a copy of ``template`` somewhere below ``directory``."""
        super().__init__()
        self.seen = seen
        self._directory = Path(tempfile.mkdtemp(dir=directory))
        self.installation = template.copy_to(self._directory / "installation", **settings)
        self.clock = self.installation.clock
        self._loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        """Close and remove the copy."""
        self._loop.close()
        self.installation.close()
        shutil.rmtree(self._directory)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self._loop.run_until_complete(work)

    def together(self, *works: Coroutine[Any, Any, T]) -> list[T]:
        """Start coroutines in this order, let them run side by side, and return what each of them returned."""

        async def all_of_them() -> list[T]:
            return await asyncio.gather(*works)

        return self.run(all_of_them())

    async def answer(self, request: Coroutine[Any, Any, TokenSet]) -> tuple[str, TokenSet | None]:
        """Return the error with which a token request was answered, or ``TOKENS`` and the tokens.

        Only problems are answers: any other exception is a finding.
        """
        try:
            tokens = await request
        except Problem as problem:
            self.seen[problem.oauth_error] += 1
            return problem.oauth_error, None
        self.seen[TOKENS] += 1
        return TOKENS, tokens


def run_machine(factory: Callable[[], InstallationMachine], *, max_examples: int, steps: int = 30) -> None:
    """Let Hypothesis look for a run of at most ``steps`` steps that goes wrong."""
    machine = cast(type[RuleBasedStateMachine], factory)  # any callable will do, its stubs say otherwise
    run_state_machine_as_test(machine, settings=settings(max_examples=max_examples, stateful_step_count=steps))
