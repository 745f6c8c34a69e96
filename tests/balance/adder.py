"""A process that adds to acme's balance until it is killed: ``python -m tests.balance.adder DIRECTORY``.

Each line that it prints is an idempotency key with which it is about to add one cent.
"""

import asyncio
import itertools
import sys
from pathlib import Path

from tests.keys.house import open_house

AT_ONCE = 8


async def _add_for_ever(directory: Path) -> None:
    with open_house(directory) as house:
        ada = await house.principal("ada")
        begin = len(await house.balance.ledger(ada.identity.organization_id))
        numbers = itertools.count(begin)

        async def add() -> None:
            for number in numbers:
                key = f"payment-{begin}-{number}"
                sys.stdout.write(key + "\n")
                sys.stdout.flush()
                await house.balance.add(ada, 1, key)

        await asyncio.gather(*(add() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(_add_for_ever(Path(sys.argv[1])))
