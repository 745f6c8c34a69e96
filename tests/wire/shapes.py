"""What a refusal looks like in each dialect, as existing clients read it."""

import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

OAUTH_TEXT = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*\Z")
"""The characters of ``error_description`` (RFC 6749, section 5.2)."""
OPENID_ENDPOINTS = {f"/api/oidc/{name}" for name in ("device_authorization", "token", "revoke", "introspect")}
PLACES = {"cookie", "header", "path", "query"}


def check_refusal(answer: httpx.Response) -> None:
    """Assert that an answer is a refusal in the dialect of its address."""
    path = urlsplit(str(answer.url)).path
    assert HTTPStatus(answer.status_code) >= HTTPStatus.BAD_REQUEST
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["x-request-id"]
    if answer.status_code in {429, 503}:
        assert re.fullmatch(r"[1-9][0-9]*", answer.headers["retry-after"])
    media_type = answer.headers["content-type"].partition(";")[0]
    if media_type == "text/html":
        assert not path.startswith(("/account/", "/api/", "/verify"))
        return
    if answer.request.method == "HEAD":
        return
    body = answer.json()
    if path in OPENID_ENDPOINTS:
        assert media_type == "application/json"
        check_openid(body, answer.text, answer.status_code)
    elif path.startswith("/getServiceKeys/"):
        assert media_type == "application/json"
        check_oauth(body, answer.text)
    elif path.startswith("/account/"):
        assert media_type == "application/json"
        check_account(body)
    else:
        assert media_type == "application/problem+json"
        check_union(body, answer.status_code)


def check_oauth(body: Any, text: str) -> None:
    """Assert RFC 6749, section 5.2, in compact JSON, with the ``message`` that older clients want."""
    assert text == json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    assert set(body) == {"error", "error_description", "message"}
    assert re.fullmatch(r"[a-z_]+", body["error"])
    assert OAUTH_TEXT.match(body["error_description"])
    assert body["error_description"]


def check_openid(body: Any, text: str, status: int) -> None:
    """Assert what is an OAuth error and a problem at once: both parsers of existing clients read it."""
    assert text == json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    assert re.fullmatch(r"[a-z_]+", body["error"])
    assert body["error_description"]
    assert OAUTH_TEXT.match(body["error_description"])
    check_union({**body, "error": True}, status)


def check_account(body: Any) -> None:
    """Assert FastAPI's shape."""
    assert set(body) == {"detail"}
    if isinstance(body["detail"], str):
        assert body["detail"]
        return
    assert body["detail"]
    for mistake in body["detail"]:
        assert set(mistake) == {"loc", "msg", "type"}
        assert mistake["loc"]
        assert all(mistake["loc"])


def check_union(body: Any, status: int) -> None:
    """Assert that both parsers of existing clients read this: RFC 9457 and the older envelope."""
    assert {"type", "title", "status", "detail", "code", "error", "message"} <= set(body)
    assert None not in body.values()
    assert body["type"] == f"/problems/{body['code']}"
    assert body["status"] == status
    assert body["error"] is True
    assert body["message"] == body["detail"]
    assert body["title"]
    assert body["detail"]
    assert type(body.get("params", {})) is dict
    for mistake in body.get("errors", []):
        assert {"code", "type"} <= set(mistake)
        assert None not in mistake.values()
        assert mistake.get("in", "query") in PLACES
        assert mistake.get("pointer", "#").startswith("#")
