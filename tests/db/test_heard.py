"""Whatever the order in which transactions commit, everything is heard of once and nothing is missed (promise V1)."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import data, floats, integers

from keystead.db.feed import Change
from keystead.db.heard import SETTLED, Heard


@dataclass
class Feed:
    """A table whose numbers are taken before its rows can be seen."""

    last: int = 0
    open: dict[int, float] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)

    def after(self, floor: int) -> list[Change]:
        """Return what a reader sees who asks for all above ``floor``."""
        return [Change(number, f"{number}") for number in sorted(self.rows) if number > floor]


class Hearing(RuleBasedStateMachine):
    """Transactions begin, commit in any order or fail; a reader looks now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed()
        self.heard = Heard()
        self.now = 1_000.0
        self.told: list[str] = []
        self.due: set[str] = set()

    @rule()
    def begin(self) -> None:
        self.feed.last += 1
        self.feed.open[self.feed.last] = self.now

    @precondition(lambda self: self.feed.open)
    @rule(choice=data())
    def commit(self, choice: object) -> None:
        number = self._one_of_the_open(choice)
        self.feed.rows.add(number)
        self.due.add(f"{number}")

    @precondition(lambda self: self.feed.open)
    @rule(choice=data())
    def fail(self, choice: object) -> None:
        self._one_of_the_open(choice)

    @rule(seconds=floats(0, SETTLED / 3))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for number, begun in list(self.feed.open.items()):  # the server ends what lasts too long
            if self.now - begun > SETTLED / 2:
                del self.feed.open[number]

    @rule()
    def read(self) -> None:
        told = self.heard.take(self.feed.after(self.heard.floor), self.now)
        self.told += told
        assert self.due <= set(self.told)

    @rule(looked_back=integers(0, 5))
    def begin_anew(self, looked_back: int) -> None:
        """A process that starts remembers nothing, so it has heard of all that is there, and of nothing still open."""
        floor = min([max(0, self.feed.last - looked_back), *(number - 1 for number in self.feed.open)])
        self.heard = Heard()
        self.heard.begin(sorted(number for number in self.feed.rows if number > floor), floor, self.now)
        self.told = [f"{number}" for number in self.feed.rows]

    @invariant()
    def nothing_is_told_twice(self) -> None:
        assert len(self.told) == len(set(self.told))

    @invariant()
    def the_floor_is_below_whatever_may_still_come(self) -> None:
        assert all(self.heard.floor < number for number in self.feed.open)

    def _one_of_the_open(self, choice: object) -> int:
        numbers = sorted(self.feed.open)
        number = numbers[choice.draw(integers(0, len(numbers) - 1))]  # type: ignore[attr-defined]
        del self.feed.open[number]
        return number


TestHearing = Hearing.TestCase
TestHearing.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def test_numbers_for_which_no_row_ever_comes_are_given_up_so_little_is_remembered() -> None:
    heard = Heard()
    for number in range(2, 20_002, 2):  # every other transaction failed
        heard.take([Change(number, f"{number}")], number / 10)
    assert heard.floor >= 20_000 - 10 * SETTLED - 2
    assert len(heard._above) <= 10 * SETTLED
