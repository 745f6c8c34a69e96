"""Methods that are described once, as conversations, and called in two ways: from a thread and from a task.

A class that describes calls has methods marked with ``both``. Its subclass with ``InThread`` has the same methods as
plain ones, and its subclass with ``InTask`` has them as coroutines, with the same parameters and the same docstrings.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, get_args, overload

from keystead.client._calls import Manner
from keystead.client._steps import Conversation

T = TypeVar("T")
P = ParamSpec("P")


class ThreadRunner(Protocol):
    """Carries conversations out in the calling thread."""

    @property
    def manner(self) -> Manner:
        """How calls are made."""

    def run(self, conversation: Conversation[T]) -> T:
        """Return what the conversation returns."""


class TaskRunner(Protocol):
    """Carries conversations out in the calling task."""

    @property
    def manner(self) -> Manner:
        """How calls are made."""

    async def run(self, conversation: Conversation[T]) -> T:
        """Return what the conversation returns."""


class Described(Generic[P, T]):
    """A described method. Subclasses with ``InThread`` or ``InTask`` hold a function in its place."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Conversation[T]]) -> None:
        """``describe`` makes the conversation."""
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: "InThread", owner: type) -> Callable[P, T]: ...

    @overload
    def __get__(self, instance: "InTask", owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else functools.partial(self.describe, instance)


both = Described


class InThread:
    """Calls that block the thread until they are answered."""

    def __init__(self, runner: ThreadRunner) -> None:
        """``runner`` carries them out."""
        self._runner = runner
        self._manner = runner.manner

    def __init_subclass__(cls) -> None:
        for name, one in _described(cls):
            setattr(cls, name, _in_thread(one))


class InTask:
    """Calls that are awaited, under asyncio or trio."""

    def __init__(self, runner: TaskRunner) -> None:
        """``runner`` carries them out."""
        self._runner = runner
        self._manner = runner.manner

    def __init_subclass__(cls) -> None:
        for name, one in _described(cls):
            setattr(cls, name, _in_task(one))


def _described(cls: type) -> list[tuple[str, "Described[Any, Any]"]]:
    found = {name: one for base in reversed(cls.__mro__) for name, one in vars(base).items()}
    return [(name, one) for name, one in found.items() if isinstance(one, Described)]


def _in_thread(one: "Described[..., T]") -> Callable[..., T]:
    @functools.wraps(one.describe)
    def method(self: InThread, *arguments: Any, **named: Any) -> T:
        return self._runner.run(one.describe(self, *arguments, **named))

    return _like(method, one)


def _in_task(one: "Described[..., T]") -> Callable[..., Coroutine[Any, Any, T]]:
    @functools.wraps(one.describe)
    async def method(self: InTask, *arguments: Any, **named: Any) -> T:
        return await self._runner.run(one.describe(self, *arguments, **named))

    return _like(method, one)


F = TypeVar("F", bound=Callable[..., Any])


def _like(method: F, one: "Described[..., Any]") -> F:
    """Let a method show the parameters of its description, and the result instead of the conversation."""
    shown = inspect.signature(one.describe)
    result = get_args(shown.return_annotation)
    method.__dict__["__signature__"] = shown.replace(return_annotation=result[-1] if result else shown.empty)
    return method
