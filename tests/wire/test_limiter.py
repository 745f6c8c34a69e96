"""Rate limits: one request is one charge, told in headers, by a clock that the test moves (promises K3, W10)."""

import pytest

from keystead.kernel.problems import RateLimited
from keystead.kernel.settings import Settings
from keystead.wire.limiter import Limiter, limit_key_of_address
from keystead.wire.windows import Allowance, Limit, Windows
from tests.support.clock import ManualClock


def limiter(clock: ManualClock, limit: str = "3/minute") -> Limiter:
    return Limiter(Settings(limit_api=limit, limit_token="1/second"), clock)


def charged(limits: Limiter, name: str = "api", key: str = "somebody", *, times: int = 1) -> Allowance:
    """Charge where nobody else has to be asked."""
    allowance = limits.charge_here(name, key, times=times)
    assert allowance is not None
    return allowance


def spend(limits: Limiter, times: int, key: str = "somebody") -> list[int]:
    return [charged(limits, key=key).remaining for _ in range(times)]


def test_a_limit_is_used_up_one_request_at_a_time_and_then_refused() -> None:
    limits = limiter(ManualClock())
    assert spend(limits, 3) == [2, 1, 0]
    with pytest.raises(RateLimited):
        limits.charge_here("api", "somebody")


def test_a_refusal_says_in_whole_seconds_when_to_come_back_and_then_lets_in() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    spend(limits, 3)
    clock.advance(20.5)
    with pytest.raises(RateLimited) as refused:
        limits.charge_here("api", "somebody")
    assert refused.value.headers == {
        "Retry-After": "40",
        "RateLimit-Policy": '"api";q=3;w=60',
        "RateLimit": '"api";r=0;t=40',
    }
    clock.advance(40)
    assert spend(limits, 1) == [2]


def test_a_refused_request_does_not_put_off_the_end_of_the_window() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    spend(limits, 3)
    for _ in range(59):
        clock.advance(1)
        with pytest.raises(RateLimited):
            limits.charge_here("api", "somebody")
    clock.advance(1)
    assert spend(limits, 1) == [2]


def test_keys_and_limits_do_not_spend_each_others_budget() -> None:
    limits = limiter(ManualClock())
    spend(limits, 3)
    assert spend(limits, 1, "somebody else") == [2]
    assert charged(limits, "token").limit == 1


def test_a_key_may_have_several_times_the_limit() -> None:
    limits = limiter(ManualClock())
    assert [charged(limits, key="address", times=3).remaining for _ in range(9)] == list(range(8, -1, -1))
    with pytest.raises(RateLimited):
        limits.charge_here("api", "address", times=3)


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    spend(limits, 3)
    clock.advance(-86_400)
    assert spend(limits, 3) == [2, 1, 0]


def test_windows_that_have_ended_are_forgotten() -> None:
    clock = ManualClock()
    windows = Windows(Limit("api", 3, 60, hot=True, when_away="open"), shared=False)
    for second in range(200):
        for number in range(10):
            windows.at(f"visitor {second} {number}", clock.now_ms())
        clock.advance(1)
    assert len(windows) <= 600


def test_a_counter_at_hand_spends_the_same_budget_and_tells_the_same() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    counter = limits.counter("api", "somebody")
    assert counter.charge() == ((b"ratelimit-policy", b'"api";q=3;w=60'), (b"ratelimit", b'"api";r=2;t=60'))
    clock.advance(0.001)
    assert charged(limits).fields() == (
        (b"ratelimit-policy", b'"api";q=3;w=60'),
        (b"ratelimit", b'"api";r=1;t=60'),
    )
    assert counter.charge() is not None
    for refused in (counter.charge, limits.counter("api", "somebody").charge, lambda: charged(limits)):
        with pytest.raises(RateLimited):
            refused()


def test_a_counter_at_hand_outlives_its_windows() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    counter = limits.counter("api", "somebody")
    for _ in range(3):
        clock.advance(61)
        spend(limits, 1, "somebody else")  # forgets the ended windows
        assert spend(limits, 1) == [2]
        assert counter.charge() == ((b"ratelimit-policy", b'"api";q=3;w=60'), (b"ratelimit", b'"api";r=1;t=60'))


def test_a_window_at_hand_spends_the_same_budget_and_tells_the_same() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    meter = limits.meter("api")
    window, fields = meter.charge("somebody", None)
    assert fields == ((b"ratelimit-policy", b'"api";q=3;w=60'), (b"ratelimit", b'"api";r=2;t=60'))
    clock.advance(0.001)
    assert charged(limits).fields() == (
        (b"ratelimit-policy", b'"api";q=3;w=60'),
        (b"ratelimit", b'"api";r=1;t=60'),
    )
    assert meter.charge("somebody", window)[0] is window
    for refused in (
        lambda: meter.charge("somebody", window),
        lambda: meter.charge("somebody", None),
        lambda: charged(limits),
    ):
        with pytest.raises(RateLimited):
            refused()


def test_who_keeps_a_window_at_hand_gets_the_next_when_it_has_ended() -> None:
    clock = ManualClock()
    limits = limiter(clock)
    meter = limits.meter("api")
    window, _ = meter.charge("somebody", None)
    for _ in range(3):
        clock.advance(61)
        spend(limits, 1, "somebody else")  # forgets the ended windows
        assert spend(limits, 1) == [2]
        ended = window
        window, fields = meter.charge("somebody", ended)
        assert window is not ended
        assert fields == ((b"ratelimit-policy", b'"api";q=3;w=60'), (b"ratelimit", b'"api";r=1;t=60'))


def test_a_window_that_took_the_place_of_another_stays_when_that_is_forgotten() -> None:
    clock = ManualClock()
    windows = Windows(Limit("api", 3, 60, hot=True, when_away="open"), shared=False)
    first = windows.at("somebody", clock.now_ms())
    clock.advance(-30)
    second = windows.at("somebody", clock.now_ms())
    assert second is not first
    clock.advance(59)
    for _ in range(3):
        clock.advance(0.5)
        windows.at("somebody else", clock.now_ms())
    assert windows.at("somebody", first.ends_ms - 61_000) is second


async def test_a_node_by_itself_shares_with_nobody_and_never_waits() -> None:
    limits = limiter(ManualClock())
    limits.start()
    assert limits.sharing == "alone"
    assert (await limits.charge("api", "somebody")).remaining == 2
    await limits.aclose()


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("somewhere", "somewhere"),
    ],
)
def test_a_household_with_ipv6_counts_as_one_address(address: str, counted: str) -> None:
    assert limit_key_of_address(address) == counted
