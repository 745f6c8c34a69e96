"""What is counted in portions adds up to what would have been counted one by one."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from keystead.gate.measures import Measures

EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SECONDS = [*EDGES, *(edge + 1e-9 for edge in EDGES), 0.0, 7.5, *(number * 0.0301 for number in range(200))]


def durations_in(text: bytes) -> dict[str, float]:
    """Return the samples of the histogram, by name and labels."""
    lines = [
        line.rpartition(" ") for line in text.decode().splitlines() if line.startswith("keystead_request_seconds_")
    ]
    return {name: round(float(value), 6) for name, _, value in lines if "_created" not in name}


def one_by_one() -> dict[str, float]:
    registry = CollectorRegistry()
    plain = Histogram("keystead_request_seconds", "x", ("surface",), buckets=EDGES, registry=registry)
    for number, seconds in enumerate(SECONDS):
        plain.labels(("oauth", "page")[number % 2]).observe(seconds)
    return durations_in(generate_latest(registry))


def in_portions(settle_after: Callable[[int], bool]) -> dict[str, float]:
    measures = Measures()
    for number, seconds in enumerate(SECONDS):
        measures.observe(("oauth", "page")[number % 2], seconds)
        if settle_after(number):
            measures.settle()
    return durations_in(measures.text())


def test_durations_that_are_told_in_portions_are_those_that_were_observed() -> None:
    expected = one_by_one()
    assert len(expected) == 2 * (len(EDGES) + 3)
    assert in_portions(lambda _: False) == expected
    assert in_portions(lambda number: number % 7 == 0) == expected


def test_what_was_told_is_not_told_again() -> None:
    measures = Measures()
    measures.observe("oauth", 0.003)
    measures.count("oauth", "POST", 200)
    texts = {measures.text() for _ in range(3)}
    assert len({tuple(sorted(durations_in(text).items())) for text in texts}) == 1
    assert all(b'status="200",surface="oauth"} 1.0' in text for text in texts)
