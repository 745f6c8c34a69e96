"""One problem, told in the dialect of each surface so that every existing client understands it."""

import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.kernel.problems import (
    FieldProblem,
    InvalidParameters,
    InvalidRequest,
    Problem,
    Unauthenticated,
    catalogue,
)
from keystead.wire.answers import Answer, Surface, answer, surface_of
from tests.wire.shapes import check_account, check_oauth, check_openid, check_union

CATALOGUE = [kind for kind in catalogue() if kind.__module__.startswith("keystead.")]
NAMES = [kind.__name__ for kind in CATALOGUE]
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


def page(problem: Problem, request_id: str) -> bytes:
    return f"<p>{problem.title} {request_id}</p>".encode()


def told(problem: Problem, surface: Surface) -> Answer:
    return answer(problem, surface, "r1", page)


def body(problem: Problem, surface: Surface) -> Any:
    return json.loads(told(problem, surface).body)


@pytest.mark.parametrize("kind", CATALOGUE, ids=NAMES)
def test_every_problem_is_told_in_every_dialect(kind: type[Problem]) -> None:
    problem = kind()
    check_union(body(problem, Surface.UNION), kind.status)
    check_account(body(problem, Surface.ACCOUNT))
    check_oauth(body(problem, Surface.OAUTH), told(problem, Surface.OAUTH).body.decode())
    check_openid(body(problem, Surface.OPENID), told(problem, Surface.OPENID).body.decode(), kind.status)
    assert body(problem, Surface.OPENID)["error"] == kind.oauth_error
    assert {told(problem, surface).status for surface in Surface} == {kind.status}


@pytest.mark.parametrize("kind", CATALOGUE, ids=NAMES)
def test_every_refusal_is_kept_by_nobody_and_says_its_language(kind: type[Problem]) -> None:
    for surface in Surface:
        headers = told(kind(), surface).headers
        assert (headers["Cache-Control"], headers["Content-Language"]) == ("no-store", "en")


def test_a_401_says_how_to_authenticate_except_on_a_page_where_a_browser_would_ask_in_a_window() -> None:
    headers = {surface: told(Unauthenticated(), surface).headers for surface in Surface}
    assert "WWW-Authenticate" not in headers.pop(Surface.PAGE)
    assert all('Bearer realm="keystead"' in found["WWW-Authenticate"] for found in headers.values())


def test_a_page_cannot_be_framed_or_told_what_to_load() -> None:
    headers = told(InvalidRequest(), Surface.PAGE).headers
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    ("path", "accept", "surface"),
    [
        ("/getServiceKeys/token", "", Surface.OAUTH),
        ("/getServiceKeys/token", BROWSER, Surface.OAUTH),
        ("/getServiceKeys/nothing", "", Surface.OAUTH),
        ("/getServiceKeys/device", "", Surface.PAGE),
        ("/account/service/v1/apps", BROWSER, Surface.ACCOUNT),
        ("/api/oidc/token", BROWSER, Surface.OPENID),
        ("/api/oidc/introspect", "", Surface.OPENID),
        ("/api/oidc/token/", "", Surface.UNION),
        ("/api/oidc/userinfo", "", Surface.UNION),
        ("/api/auth/session", BROWSER, Surface.UNION),
        ("/verify", BROWSER, Surface.UNION),
        ("/.well-known/jwks.json", BROWSER, Surface.UNION),
        ("/sign-in", BROWSER, Surface.PAGE),
        ("/sign-in", "application/json", Surface.UNION),
        ("/nothing", "*/*", Surface.UNION),
        ("/nothing", BROWSER, Surface.PAGE),
    ],
)
def test_the_address_chooses_the_dialect_and_only_where_pages_live_the_browser(
    path: str, accept: str, surface: Surface
) -> None:
    assert surface_of(path, accept) is surface


@given(st.text(max_size=80).filter(bool))
def test_any_detail_stays_within_the_characters_that_oauth_allows(detail: str) -> None:
    problem = InvalidRequest(detail.encode("utf-8", "replace").decode())
    check_oauth(body(problem, Surface.OAUTH), told(problem, Surface.OAUTH).body.decode())
    assert body(problem, Surface.UNION)["detail"] == problem.detail


def fields(*found: tuple[str, str]) -> InvalidParameters:
    return InvalidParameters(fields=[FieldProblem(place, name, "missing", "Field required") for place, name in found])


def test_what_is_wrong_with_a_member_is_pointed_at() -> None:
    problem = fields(("body", "items.0.na/me"), ("body", "a~b"), ("body", ""), ("query", "page"), ("path", "app_id"))
    errors = body(problem, Surface.UNION)["errors"]
    assert [error.get("pointer") for error in errors] == ["#/items/0/na~1me", "#/a~0b", "#", None, None]
    assert [(error.get("in"), error.get("parameter")) for error in errors[3:]] == [
        ("query", "page"),
        ("path", "app_id"),
    ]
    check_union(body(problem, Surface.UNION), 422)


def test_the_account_api_names_places_as_fastapi_does() -> None:
    problem = fields(("body", "app_name"), ("body", ""), ("path", "app_id"))
    assert body(problem, Surface.ACCOUNT) == {
        "detail": [
            {"loc": ["body", "app_name"], "msg": "Field required", "type": "missing"},
            {"loc": ["body"], "msg": "Field required", "type": "missing"},
            {"loc": ["path", "app_id"], "msg": "Field required", "type": "missing"},
        ]
    }


def test_every_status_is_one_that_python_knows() -> None:
    assert all(HTTPStatus(kind.status).phrase for kind in CATALOGUE)
