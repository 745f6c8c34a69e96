"""A crowd of processes, forked from one that has imported everything, that all begin at one moment."""

import fcntl
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

Serve = Callable[[int, str], str]
"""Answers a question in one of the processes, whose number is given."""


@dataclass
class Member:
    """One process: what it is asked over, and what it answers over."""

    pid: int
    questions: IO[str]
    answers: IO[str]


class Crowd:
    """Processes that answer questions, one line each. Must be made while there is one thread only."""

    def __init__(self, number: int, serve: Serve, gate: Path) -> None:
        """Fork ``number`` processes. ``gate`` is a file whose lock holds them until all have been asked."""
        gate.touch()
        self._gate = gate.open("r+")
        self._members: list[Member] = []
        for index in range(number):
            self._members.append(self._fork(index, serve, gate))

    def ask(self, question: str) -> list[str]:
        """Ask all of them at one moment, and return their answers."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        for member in self._members:
            member.questions.write(question + "\n")
            member.questions.flush()
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        return [member.answers.readline().rstrip("\n") for member in self._members]

    def close(self) -> None:
        """Let all of them end."""
        for member in self._members:
            member.questions.close()
        for member in self._members:
            member.answers.close()
            os.waitpid(member.pid, 0)

    def _fork(self, index: int, serve: Serve, gate: Path) -> Member:
        asked, ask = os.pipe()
        told, tell = os.pipe()
        pid = os.fork()
        if pid:
            os.close(asked)
            os.close(tell)
            return Member(pid, os.fdopen(ask, "w"), os.fdopen(told))
        code = 1
        try:
            os.close(ask)
            os.close(told)
            for other in self._members:  # whose end would otherwise not be noticed
                os.close(other.questions.fileno())
            _serve(index, serve, gate, asked, tell)
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(code)


def _serve(index: int, serve: Serve, gate: Path, asked: int, tell: int) -> None:
    with gate.open("r+") as own, os.fdopen(asked) as questions, os.fdopen(tell, "w") as answers:
        for question in questions:
            fcntl.flock(own, fcntl.LOCK_SH)
            fcntl.flock(own, fcntl.LOCK_UN)
            answers.write(serve(index, question.rstrip("\n")) + "\n")
            answers.flush()
