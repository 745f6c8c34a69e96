"""What a kill in the middle of payments leaves: nothing lost, nothing charged twice (K4)."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.balance.test_balance import check_books
from tests.keys.conftest import OpenHouse
from tests.keys.house import House

ROUNDS = 5


def add_until_killed(directory: Path, payments: int, delay: float) -> list[str]:
    """Let another process add, kill it once it has begun so many payments, and return their idempotency keys."""
    command = [sys.executable, "-m", "tests.balance.adder", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        if process.stdout is None:
            raise RuntimeError("the process has no output")
        keys = [process.stdout.readline().strip() for _ in range(payments)]
        time.sleep(delay)  # a kill comes at any moment; there is no event to wait for
        process.kill()
        keys += process.stdout.read().splitlines()
    return [key for key in keys if key]


async def send_all_again(house: House, keys: list[str]) -> int:
    """Send every payment again, each twice at once, and return the balance."""
    ada = await house.principal("ada")
    for key in keys:
        await asyncio.gather(house.balance.add(ada, 1, key), house.balance.add(ada, 1, key))
    return (await house.balance.get(ada.identity.organization_id)).credit_cents


def test_after_a_kill_every_payment_that_is_sent_again_is_charged_exactly_once(opened: OpenHouse) -> None:
    house = opened()
    keys: list[str] = []
    generator = random.Random(1)  # noqa: S311 - moments, not secrets
    for _ in range(ROUNDS):
        keys += add_until_killed(house.directory, generator.randrange(8, 40), generator.random() / 500)
        interrupted = len(keys) - asyncio.run(count_entries(house))
        assert 0 <= interrupted <= 8
        assert asyncio.run(send_all_again(house, keys)) == len(keys)
        asyncio.run(check_books(house))
    assert len(set(keys)) == len(keys)


async def count_entries(house: House) -> int:
    """Return how many entries the ledger has."""
    return len(await house.balance.ledger((await house.principal("ada")).identity.organization_id))
