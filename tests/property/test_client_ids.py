"""Client ids: the same client is the same id, and only an id of ours carries a client (promise X1)."""

import unicodedata
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from keystead.kernel.problems import InvalidClientMetadata
from keystead.oauth.client_ids import Description, client_id_of, read_client_id, read_description

KEY = b"c" * 32
COLUMN = 100
"""How long the id of a usual client may be: it is part of the titles that parallel-cli gives its keys."""

words = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=4)
names = st.lists(words, min_size=1, max_size=4).map(" ".join)
platforms = st.fixed_dictionaries(
    {},
    optional={
        "system": st.sampled_from(["Linux", "Darwin", "Windows", "FreeBSD"]),
        "machine": st.sampled_from(["x86_64", "arm64", "aarch64", "AMD64"]),
        "release": st.text(max_size=40),
        "version": st.text(max_size=40),
        "processor": st.text(max_size=40),
        "os_name": st.sampled_from(["posix", "nt"]),
    },
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
texts = st.text(st.characters(), max_size=80) | st.text("\u0301\u200d\u202e\x00 a\udfff", max_size=70)
some_platforms: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {}, optional={"system": texts | json_values, "machine": texts | json_values}
)
likely: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "client_name": texts | json_values,
        "platform": json_values | some_platforms,
        "redirect_uris": json_values,
    },
)


def described(name: str, platform: dict[str, str]) -> Description:
    return read_description({"client_name": name, "platform": platform})


descriptions = st.builds(described, names, platforms)


@given(names, platforms, platforms, st.integers(0, 65_535))
def test_the_same_client_has_the_same_id_whatever_else_it_says(
    name: str, platform: dict[str, str], later: dict[str, str], generation: int
) -> None:
    machine = {part: value for part, value in platform.items() if part in {"system", "machine"}}
    rest = {part: value for part, value in later.items() if part not in {"system", "machine"}}
    one = described(name, platform)
    decomposed = unicodedata.normalize("NFD", name).replace(" ", "   ")
    other = described(f"  {decomposed} ", rest | machine)
    assert client_id_of(KEY, one, generation) == client_id_of(KEY, other, generation)


@given(descriptions, st.integers(0, 65_535))
def test_an_id_carries_its_client(description: Description, generation: int) -> None:
    assert read_client_id(KEY, client_id_of(KEY, description, generation)) == (description, generation)


@given(descriptions, descriptions, st.integers(0, 3), st.integers(0, 3))
def test_different_clients_and_generations_have_different_ids(
    one: Description, other: Description, turn: int, other_turn: int
) -> None:
    same = client_id_of(KEY, one, turn) == client_id_of(KEY, other, other_turn)
    assert same is ((one, turn) == (other, other_turn))


@given(likely | json_values)
@example({"client_name": "a\udcff"})
@example({"client_name": "a", "platform": {"system": "\x00", "machine": "b"}})
@example({"client_name": "e\u0301" * 65})
def test_hostile_metadata_is_a_client_that_can_be_shown_or_is_refused(metadata: Any) -> None:
    try:
        description = read_description(metadata)
    except InvalidClientMetadata:
        description = Description("refused", "", "")
    assert 1 <= len(description.name) <= 64
    for shown in (description.name, description.system, description.machine):
        assert shown.isprintable()
        assert shown == shown.strip()
    client_id = client_id_of(KEY, description, 0)
    assert read_client_id(KEY, client_id) == (description, 0)
    again = {"system": description.system, "machine": description.machine}
    assert described(description.name, again) == description


@given(st.data(), descriptions)
def test_a_changed_id_is_unknown(data: st.DataObject, description: Description) -> None:
    client_id = client_id_of(KEY, description, 0)
    place = data.draw(st.integers(0, len(client_id) - 1) | st.just(len(client_id) - 1))
    other = data.draw(st.characters() | st.sampled_from("+/-_=. \nAaBb0"))
    assume(other != client_id[place])
    changed = client_id[:place] + other + client_id[place + 1 :]
    assert read_client_id(KEY, changed) is None
    assert read_client_id(b"another key".ljust(32), client_id) is None


@given(st.text(max_size=800) | st.text(max_size=60).map("kc_".__add__))
@example("kc_")
@example("kc_" + "A" * 697)
def test_any_other_text_is_an_unknown_client(text: str) -> None:
    assert read_client_id(KEY, text) is None


@given(platforms)
def test_the_id_of_parallel_cli_is_short(platform: dict[str, str]) -> None:
    assert len(client_id_of(KEY, described("parallel-cli", platform), 65_535)) <= COLUMN
