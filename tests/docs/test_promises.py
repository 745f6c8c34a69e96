"""The page of promises: each promise is on it once, and every test that it names exists (promise O10)."""

import ast
import re
from collections import Counter
from functools import cache

import pytest

from tests.docs.pages import DOCS, ROOT, page

PROMISES = page(DOCS / "promises.md").text
HEADING = re.compile(r"^### ([A-Z]\d+)\. (.+)$", re.MULTILINE)
NAMED = re.compile(r"^- `(tests/[\w/]+\.py)::(\w+)`$", re.MULTILINE)
CODE = re.compile(r"\b[A-Z]\d{1,2}\b")
IN_PART = " (in part)"
GIVEN = {"D": 12, "R": 12, "K": 13, "V": 6, "J": 5, "X": 3, "W": 10, "O": 10, "C": 3}
"""How many promises there are of each kind."""
WITHDRAWN = {"J3", "O7"}
"""Codes that stand for nothing any more and are not given again."""


def sections() -> dict[str, tuple[str, str]]:
    """Return the title and the text of each promise, by its code."""
    body = PROMISES.partition("\n## Kept in part\n")[0]
    _, *parts = HEADING.split(body)
    return {code: (title, text) for code, title, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


def first_column(heading: str) -> list[str]:
    """Return the codes in the first column of the table under a heading."""
    table = PROMISES.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [code for row in rows for code in CODE.findall(row.split("|")[1])]


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    file = ROOT / path
    body = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
    return frozenset(one.name for one in body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_test_that_a_promise_names_exists() -> None:
    named = NAMED.findall(PROMISES)
    assert len(named) > 150
    assert [f"{path}::{name}" for path, name in named if name not in names_in(path)] == []
    assert PROMISES.count("::") == len(named), "a test is named in a form that is not checked"


@pytest.mark.parametrize("code", sorted(sections()))
def test_a_promise_names_the_tests_that_fail_when_it_is_broken(code: str) -> None:
    named = NAMED.findall(sections()[code][1])
    assert named
    assert len(set(named)) == len(named)


def test_every_promise_is_on_the_page_once() -> None:
    listed = Counter([*sections(), *first_column("Not there yet")])
    given = {f"{kind}{number}" for kind, most in GIVEN.items() for number in range(1, most + 1)} - WITHDRAWN
    assert set(listed) == given
    assert max(listed.values()) == 1


def test_what_is_kept_in_part_says_what_is_missing() -> None:
    marked = [code for code, (title, _) in sections().items() if title.endswith(IN_PART)]
    assert marked
    assert first_column("Kept in part") == marked
