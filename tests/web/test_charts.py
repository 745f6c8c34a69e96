"""A picture of numbers tells the same three times: in its shapes, in a sentence and in a table."""

from hypothesis import given
from hypothesis import strategies as st

from keystead.web.charts import HEIGHT, WIDTH, Series, bar_chart, line_chart, nice_top
from keystead.web.render import _ENVIRONMENT
from tests.web.reading import Reading, naming_faults, policy_faults

VALUES = st.lists(
    st.one_of(st.none(), st.integers(0, 10**9), st.floats(0, 1e6, allow_subnormal=False)), min_size=1, max_size=70
)


def drawn(chart: object) -> Reading:
    """Draw a picture by itself."""
    template = _ENVIRONMENT.from_string('{% import "_charts.html" as charts %}{{ charts.draw(chart) }}')
    return Reading(template.render(chart=chart))


def about(values: list[float | None]) -> dict[str, object]:
    labels = [f"day {n}" for n in range(len(values))]
    return {"id": "use", "title": "Use", "sentence": "It was used.", "heading": "Day", "labels": labels}


@given(VALUES)
def test_bars_stand_within_the_picture_and_are_as_high_as_their_numbers(values: list[float | None]) -> None:
    chart = bar_chart(**about(values), series=[Series(name="Uses", values=values)])  # type: ignore[arg-type]
    top = nice_top(max(value or 0 for value in values))
    heights = [float(bar.height) for bar in chart.bars]
    expected = [HEIGHT * value / top for value in values if value]
    assert all(abs(found - wanted) <= 0.006 for found, wanted in zip(heights, expected, strict=True))
    assert all(float(bar.x) >= 0 and float(bar.x) + float(bar.width) <= WIDTH + 0.02 for bar in chart.bars)
    assert all(float(bar.y) >= -0.02 and float(bar.y) + float(bar.height) <= HEIGHT + 0.02 for bar in chart.bars)
    assert len(chart.rows) == len(values)


@given(VALUES)
def test_a_line_has_a_point_for_each_number_and_a_gap_where_there_is_none(values: list[float | None]) -> None:
    chart = line_chart(**about(values), series=[Series(name="Time", values=values)])  # type: ignore[arg-type]
    points = [point.split(",") for line in chart.lines for point in line.points.split()]
    alone = sum(len(line.points.split()) == 2 for line in chart.lines)
    known = sum(value is not None for value in values)
    assert known <= len(points) <= known + alone
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)
    assert [row[1] == "none" for row in chart.rows] == [value is None for value in values]


@given(st.floats(1e-9, 1e15))
def test_the_upper_edge_is_a_round_number_just_above(largest: float) -> None:
    top = nice_top(largest)
    assert largest <= top * (1 + 1e-9)
    assert top < 1.6 * largest
    assert float(f"{top:.1e}") == float(f"{top:.9e}")


@given(st.integers(1, 10**6))
def test_the_upper_edge_of_whole_numbers_is_whole(largest: int) -> None:
    assert nice_top(largest) == int(nice_top(largest))


def test_series_stand_on_top_of_each_other_and_have_a_legend() -> None:
    series = [Series(name="Refused", values=[3, 0]), Series(name="Failed", values=[2, 1])]
    chart = bar_chart(**about([1, 2]), series=series)  # type: ignore[arg-type]
    assert [(bar.kind, bar.y, bar.height) for bar in chart.bars] == [(1, "40", "60"), (2, "0", "40"), (2, "80", "20")]
    assert chart.legend == ("Refused", "Failed")
    assert chart.rows == (("day 0", "3", "2"), ("day 1", "0", "1"))


def test_a_picture_has_a_title_a_sentence_and_a_table_and_no_style_of_its_own() -> None:
    hostile = "</svg><script>alert(1)</script>"
    parts = {**about([1, 2]), "title": hostile, "sentence": "It was used 3 times."}
    reading = drawn(bar_chart(**parts, series=[Series(name=hostile, values=[1, 2])]))  # type: ignore[arg-type]
    (svg,) = reading.all("svg")
    assert svg.attributes["role"] == "img"
    assert [svg.attributes[name] for name in ("aria-labelledby", "aria-describedby")] == ["use-title", "use-words"]
    assert "It was used 3 times." in reading.text
    assert reading.text.count("day 1") == 3
    assert naming_faults(reading) + policy_faults(reading) == []


def test_nothing_to_draw_is_drawn_as_nothing() -> None:
    empty = bar_chart(**about([]), series=[Series(name="Uses", values=[])])  # type: ignore[arg-type]
    assert (empty.bars, empty.rows, empty.first, empty.top) == ((), (), "", "1")
