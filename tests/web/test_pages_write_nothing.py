"""A page asks services to change something, which record it as well, and writes nothing past them."""

import re
from pathlib import Path

import keystead.web

WRITES = re.compile(r"\bTransaction\b|\bdb\.(?:write|run|run_all)\(|\baudit\.record\(")


def test_no_page_writes_in_a_unit_of_work_of_its_own() -> None:
    files = sorted(Path(next(iter(keystead.web.__path__))).rglob("*.py"))
    assert len(files) > 30
    assert [file.name for file in files if WRITES.search(file.read_text())] == []
