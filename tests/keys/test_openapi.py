"""The Account API's OpenAPI document is the truth: whatever is sent, the answer is one that it describes (O9)."""

import asyncio
from typing import Any, Final

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from starlette.applications import Starlette

from keystead.kernel.principal import Principal
from keystead.wire.asgi import Scope
from tests.keys.conftest import OpenHouse

DOCUMENT: Final = "/account/service/openapi.json"
TOKEN: Final = "a-token"
EVERY_CHECK: Final[dict[str, Any]] = {
    "seed": 1,
    "generation": {"max-examples": 40, "deterministic": True, "database": "none"},
    "headers": {"Authorization": f"Bearer {TOKEN}"},
    "cache": {"enabled": False},
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409"]}},
}


def open_api(opened: OpenHouse) -> Starlette:
    """Return the Account API of an organization that never reaches its credit limit; only ada's token is known."""
    house = opened(credit_limit_cents=10**15)
    ada = asyncio.run(house.principal("ada"))
    asyncio.run(house.app())

    def caller(scope: Scope) -> Principal | None:
        return ada if (b"authorization", f"Bearer {TOKEN}".encode()) in scope["headers"] else None

    return house.account_api(caller)


def test_no_answer_is_undocumented_whatever_is_sent(opened: OpenHouse) -> None:
    schema = schemathesis.openapi.from_asgi(
        DOCUMENT, open_api(opened), config=SchemathesisConfig.from_dict(EVERY_CHECK)
    )
    found: list[str] = []
    answers = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            answers += len(event.recorder.interactions)
            for checks in event.recorder.checks.values():
                found.extend(
                    f"{event.label}: {check.name}: {check.failure_info.failure} {check.failure_info.code_sample}"
                    for check in checks
                    if check.failure_info
                )
        elif isinstance(event, events.NonFatalError | events.FatalError):
            found.append(str(event))
    assert not found, "\n".join(found)
    assert answers > 400
