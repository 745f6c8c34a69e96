"""What charging a request costs, ours beside the ``limits`` library's, with few keys and with very many.

``.venv/bin/python bench/limiter.py`` prints microseconds of CPU time of the whole process for each charge, threads of
the library included.
"""

import time
from collections.abc import Callable
from typing import Final

from harness import in_turn, surroundings, table
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from keystead.kernel.clock import SystemClock
from keystead.kernel.settings import Settings
from keystead.wire.limiter import Limiter

ROUNDS: Final = 5
CHARGES: Final = 200_000
KEYS: Final = (1, 1_000, 100_000)
LIMIT: Final = "1000000000/minute"


def ours() -> Callable[[str], object]:
    """Return our charge."""
    limiter = Limiter(Settings(limit_api=LIMIT), SystemClock())
    return lambda key: limiter.charge_here("api", key)


def library() -> Callable[[str], object]:
    """Return the same with the library's strategy and storage: the hit, and what is left for the headers."""
    item, strategy = parse(LIMIT), FixedWindowRateLimiter(MemoryStorage())
    return lambda key: (strategy.hit(item, "api", key), strategy.get_window_stats(item, "api", key))


def charging(make: Callable[[], Callable[[str], object]], keys: int) -> dict[str, float]:
    """Return the microseconds of one charge when so many keys are charged in turn."""
    charge = make()
    names = [f"{number:032x}" for number in range(keys)]
    for name in names:
        charge(name)
    begin = time.process_time()
    for number in range(CHARGES):
        charge(names[number % keys])
    return {"cpu": (time.process_time() - begin) / CHARGES * 1e6}


def main() -> None:
    """Compare the two."""
    surroundings("limits")
    makers = {"ours": ours, "limits": library}
    cases = {
        f"{name}, {keys:,} keys": lambda make=make, keys=keys: charging(make, keys)
        for keys in KEYS
        for name, make in makers.items()
    }
    found = in_turn(ROUNDS, cases)
    table(["counting", "µs of CPU a charge"], [[name, figures["cpu"].text(2)] for name, figures in found.items()])


if __name__ == "__main__":
    main()
