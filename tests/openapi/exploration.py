"""One run of schemathesis over one of the server's OpenAPI documents, with every check it has.

Its four phases send the examples, the edges of every schema, random values that fit and that do not, and chains of
calls in which an answer feeds the next request.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

import schemathesis
from schemathesis.auths import AuthContext
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.generation.case import Case as AnyCase
from schemathesis.hooks import HookContext

EXAMPLES: Final = 100
"""Random requests for each operation, beyond those that the coverage phase makes from the schemas."""

Case = AnyCase[Any]
Credential = Mapping[str, str]
"""The header fields and, under ``cookie:<name>``, the cookies that one request authenticates with."""


@dataclass(slots=True)
class Credentials:
    """Gives each request of an operation that needs one its credential, taking turns among several kinds."""

    by_operation: Mapping[str, Callable[[], Credential]]

    def get(self, case: Case, _: AuthContext) -> Credential | None:
        """Return what the operation is called with; None for a public one."""
        give = self.by_operation.get(case.operation.label)
        return give() if give else None

    def set(self, case: Case, credential: Credential, _: AuthContext) -> None:
        """Put the credential where it belongs."""
        for name, value in credential.items():
            if name.startswith("cookie:"):
                case.cookies[name.removeprefix("cookie:")] = value
            else:
                case.headers[name] = value


def in_turn(*credentials: Credential) -> Callable[[], Credential]:
    """Return these credentials one after the other, for ever."""
    turns = cycle(credentials)
    return lambda: next(turns)


@dataclass(slots=True)
class Exploration:
    """What a run found: how often each operation gave each status, by phase how much was sent, and what was wrong."""

    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    phases: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def explore(
    document: Mapping[str, Any],
    base_url: str,
    credentials: Credentials,
    operations: list[dict[str, Any]],
    make_fit: Callable[[Case], None] | None = None,
) -> Exploration:
    """Run every phase over the document. ``operations`` configures checks for single operations.

    ``make_fit`` mends, in place, what a schema cannot say of a request that is meant to be right.
    """
    schema = schemathesis.openapi.from_dict(dict(document), config=SchemathesisConfig.from_dict(_settings(operations)))
    schema.config.update(base_url=base_url)
    schema.auth.providers.append(credentials)
    if make_fit is not None:
        mend = make_fit

        def map_case(_: HookContext, case: Case) -> Case:
            if case.meta is None or case.meta.generation.mode.is_positive:
                mend(case)
            return case

        schema.hook(map_case)
    found = Exploration()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _note(found, event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            found.failures.append(f"schemathesis could not go on: {event}")
    return found


def part_of(document: Mapping[str, Any], operations: Collection[str]) -> dict[str, Any]:
    """Return the document of these operations alone, which are all of their paths."""
    paths = {operation.partition(" ")[2] for operation in operations}
    return {**document, "paths": {path: item for path, item in document["paths"].items() if path in paths}}


def _settings(operations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "seed": 1,
        "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
        "continue-on-failure": True,
        "cache": {"enabled": False},
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx"]}},
        "operations": operations,
    }


def _note(found: Exploration, event: events.ScenarioFinished) -> None:
    found.phases[event.phase.value] += len(event.recorder.interactions)
    for case_id, interaction in event.recorder.interactions.items():
        if interaction.response is None:
            found.failures.append(f"{event.label}: no answer came")
            continue
        label = event.recorder.cases[case_id].value.operation.label
        found.answers[label][interaction.response.status_code] += 1
    for check in _checks(event):
        found.checks[check.name] += 1
        if check.failure_info is not None:
            failure = check.failure_info.failure
            shown = f"{failure.operation}: {check.name}: {failure.title}\n{failure.message}"
            found.failures.append(f"{shown}\n{check.failure_info.code_sample}\n")


def _checks(event: events.ScenarioFinished) -> Iterator[Any]:
    for checks in event.recorder.checks.values():
        yield from checks
