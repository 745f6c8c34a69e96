"""What is written agrees with what is there (promise O10)."""

import re
import subprocess
import sys
import tomllib

import pytest

from keystead.operate.reference import PAGES
from tests.docs.pages import DOCS, ROOT, Page, page, pages, tracked

FORBIDDEN = {
    "a number of some tracker": re.compile(r"\bissue" + r" ?#", re.IGNORECASE),
    "a path of somebody's machine": re.compile(r"(?<![\w.})-])/" + r"(?:work|root)\b(?![\w-])"),
    "the host of a package index": re.compile("|".join(("py" + r"pi\.org", "python" + r"hosted\.org"))),
    "an index to install from": re.compile(r"(?<![\w-])--(?:extra-)?" + r"index-url\b"),
}
"""What only means something at the place where it was written. No pattern finds itself here."""
ADDRESS = re.compile(r"https?://")
MAKE = re.compile(r"\bmake ([a-z-]+)")
COMMAND = re.compile(r"^keystead((?: [a-z][a-z-]*)*)")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_reference_pages_are_what_the_code_says(name: str) -> None:
    assert page(DOCS / name).text == PAGES[name](), "run python -m keystead.operate.reference"


def test_every_relative_link_leads_to_a_file() -> None:
    lost = [
        f"{one.name}: {link}"
        for one in pages()
        for link in one.links
        if not re.match(r"[a-z]+:|#", link) and not (ROOT / one.name).parent.joinpath(link.partition("#")[0]).exists()
    ]
    assert lost == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {(one.name, name) for one in pages() for code in _code_of(one) for name in MAKE.findall(code)}
    assert {name for _, name in named} >= {"demo", "test", "lint"}
    assert [(where, name) for where, name in sorted(named) if name not in targets] == []


def test_every_command_that_a_page_names_explains_itself() -> None:
    named = {match[1].strip() for one in pages() for code in _code_of(one) if (match := COMMAND.match(code))}
    assert {"serve", "doctor", "admin"} <= named
    for words in sorted(named):
        asked = [sys.executable, "-m", "keystead", *words.split(), "--help"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        assert told.returncode == 0, (words, told.stderr)


def test_no_text_speaks_of_the_place_where_it_was_written() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # no text
        found += [
            f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {what}"
            for what, pattern in FORBIDDEN.items()
            for match in pattern.finditer(text)
        ]
    assert found == []


def test_the_lists_of_packages_name_no_host() -> None:
    lists = sorted((ROOT / "requirements").iterdir())
    assert len(lists) >= 3
    assert [path.name for path in lists if ADDRESS.search(path.read_text(encoding="utf-8"))] == []


def test_the_changelog_keeps_its_form() -> None:
    lines = page(ROOT / "CHANGELOG.md").text.splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in versions[1:])
    assert {line.removeprefix("### ") for line in lines if line.startswith("### ")} <= KINDS


def test_the_package_is_called_as_the_pages_call_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [code for one in pages() for code in _code_of(one) if code.startswith("pip install")]
    installs = [line.partition(" #")[0].strip() for line in lines]
    name = re.escape(project["name"])
    assert all(re.fullmatch(rf"pip install '?{name}(\[[\w,-]+\])?'?", code) for code in installs)
    extras = {extra for code in installs for extra in re.findall(r"\[([\w,-]+)\]", code)}
    assert extras
    assert extras <= set(project["optional-dependencies"])


def _code_of(one: Page) -> list[str]:
    return [*one.inline_code, *(line for block in one.fences for line in block.splitlines())]
