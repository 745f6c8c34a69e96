"""When a key may expire: whatever is offered is accepted, lies ahead, and is within the organization's policy."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.kernel.problems import InvalidParameters
from keystead.keys.models import LONGEST_LIFE
from keystead.web.settings.expiry import DAY, NEVER, ON_DATE, end_of, expiries

NOW = st.integers(1_700_000_000, 4_000_000_000)
POLICIES = st.none() | st.integers(1, 3_650).map(lambda days: days * DAY)


@given(now=NOW, longest=POLICIES)
def test_what_is_offered_is_accepted_and_within_the_policy(now: int, longest: int | None) -> None:
    offered = expiries(now, longest)
    for choice in offered.choices:
        for on in (offered.first, offered.last):
            ends = end_of(choice.value, on, now, longest)
            assert (ends is None) == (choice.value == NEVER)
            if ends is not None:
                assert now < ends <= now + (LONGEST_LIFE if longest is None else longest)
            else:
                assert longest is None


@given(now=NOW, longest=POLICIES)
def test_one_choice_is_marked_and_it_is_the_one_that_was_made(now: int, longest: int | None) -> None:
    for chosen in ("", *(choice.value for choice in expiries(now, longest).choices)):
        marked = [choice.value for choice in expiries(now, longest, chosen).choices if choice.checked]
        assert len(marked) == 1
        assert chosen in {"", *marked}


@given(now=NOW, longest=POLICIES)
def test_a_day_beyond_either_end_is_refused_at_the_date(now: int, longest: int | None) -> None:
    offered = expiries(now, longest)
    before = date.fromisoformat(offered.first) - timedelta(days=1)
    after = date.fromisoformat(offered.last) + timedelta(days=1)
    for day in (before, after):
        with pytest.raises(InvalidParameters) as refused:
            end_of(ON_DATE, day.isoformat(), now, longest)
        assert [field.name for field in refused.value.fields] == ["expires_on"]


@given(chosen=st.text(max_size=12), on=st.text(max_size=12), now=NOW, longest=POLICIES)
def test_any_text_is_an_expiry_ahead_or_a_message_at_a_field(
    chosen: str, on: str, now: int, longest: int | None
) -> None:
    told: list[str] = []
    ends = None
    try:
        ends = end_of(chosen, on, now, longest)
    except InvalidParameters as problem:
        told = [field.name for field in problem.fields] or ["nowhere"]
    assert set(told) <= {"expires", "expires_on"}
    assert ends is None or ends > now
    assert not told or ends is None
