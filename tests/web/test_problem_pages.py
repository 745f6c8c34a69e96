"""Every problem has a page that explains it, and a person who meets one gets a page too."""

import html
import re

import httpx
import pytest

from keystead.kernel.problems import Internal, Problem, RateLimited, catalogue, retry_after
from keystead.web.pages import ProblemPages
from tests.support.server import KeysteadServer

CODES = [kind.code for kind in catalogue() if kind.__module__ == "keystead.kernel.problems"]
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize("code", CODES)
def test_the_type_of_every_problem_is_a_live_page_that_explains_it(shared_server: KeysteadServer, code: str) -> None:
    kind = next(kind for kind in catalogue() if kind.code == code)
    answer = httpx.get(f"{shared_server.url}/problems/{code}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for said in (code, str(kind.status), kind.title):
        assert said in html.unescape(answer.text), said


def test_the_index_links_to_every_problem_and_every_link_is_live(shared_server: KeysteadServer) -> None:
    links = set(re.findall(r'href="(/problems/[^"]+)"', httpx.get(f"{shared_server.url}/problems").text))
    assert links == {f"/problems/{kind.code}" for kind in catalogue() if kind.__module__.startswith("keystead.")}
    assert {httpx.get(shared_server.url + link).status_code for link in links} == {200}


@pytest.mark.parametrize("code", ["nothing", "%00", "..%2f..%2fetc", "<script>", "%ff", "INTERNAL", "internal/"])
def test_a_problem_that_there_is_not_is_404(shared_server: KeysteadServer, code: str) -> None:
    answer = httpx.get(f"{shared_server.url}/problems/{code}", headers=HTML)
    assert answer.status_code == 404
    assert "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/nothing", "/problems/nothing", "/static/nothing.js", "/static/..%2fpages.py"])
def test_a_browser_gets_a_page_and_a_program_gets_json_for_what_is_not_there(
    shared_server: KeysteadServer, path: str
) -> None:
    page = httpx.get(shared_server.url + path, headers=HTML)
    program = httpx.get(shared_server.url + path)
    assert (page.status_code, program.status_code) == (404, 404)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert program.headers["content-type"] == "application/problem+json"
    assert program.json()["code"] == "not_found"


def test_the_type_that_a_refusal_names_is_a_live_page(shared_server: KeysteadServer) -> None:
    for path in ("/nothing", "/api/auth/session"):
        refusal = httpx.get(shared_server.url + path).json()
        assert httpx.get(shared_server.url + refusal["type"]).status_code == 200


def test_a_page_shows_a_reference_for_our_own_faults_and_for_no_others() -> None:
    page = ProblemPages("Keystead")
    assert "0123456789abcdef" in page(Internal("Something went wrong."), "0123456789abcdef").decode()
    for kind in catalogue():
        if kind is not Internal and kind.__init__ is Problem.__init__:
            assert "0123456789abcdef" not in page(kind(), "0123456789abcdef").decode(), kind.code


def test_a_page_says_how_long_to_wait_in_words() -> None:
    page = ProblemPages("Keystead")
    text = page(RateLimited("Too many requests. Wait.", headers=retry_after(120)), "r").decode()
    assert "2 minutes" in text


def test_a_hostile_detail_is_shown_as_text() -> None:
    page = ProblemPages("<b>Keystead</b>")
    text = page(Internal("<script>alert(1)</script>{{7*7}}"), "<i>").decode()
    assert not re.search(r"<script>|<b>|<i>", text)
    assert "{{7*7}}" in text
