"""A change that rests on a cookie is taken from our own pages only (promise W4)."""

import pytest

from keystead.kernel.problems import CrossSite
from keystead.wire.origin import check_same_site

PUBLIC = "https://auth.example.com"


def refused(headers: dict[str, str], public_url: str = PUBLIC) -> bool:
    try:
        check_same_site(headers, public_url)
    except CrossSite:
        return True
    return False


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": " Same-Origin "},
        {"origin": PUBLIC},
        {"origin": "https://auth.example.com:443"},
        {"origin": "HTTPS://AUTH.EXAMPLE.COM"},
        {"origin": PUBLIC, "sec-fetch-site": "same-origin"},
    ],
)
def test_our_own_pages_and_programs_that_are_no_browser_are_let_through(headers: dict[str, str]) -> None:
    assert not refused(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "same-origin, cross-site"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://auth.example.com"},
        {"origin": "https://auth.example.com:8443"},
        {"origin": "https://auth.example.com.evil.example"},
        {"origin": "https://evil.example/https://auth.example.com"},
        {"origin": "https://auth.example.com@evil.example"},
        {"origin": "https://example.com"},
        {"origin": "https://[::1"},
        {"origin": "https://auth.example.com:99999"},
        {"origin": "https://auth.example.com https://evil.example"},
        {"origin": "//auth.example.com"},
        {"origin": PUBLIC, "sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_everything_else_is_refused(headers: dict[str, str]) -> None:
    assert refused(headers)


def test_in_development_the_names_of_ones_own_machine_are_one() -> None:
    names = ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080")
    assert not any(refused({"origin": origin}, public_url) for origin in names for public_url in names)
    assert refused({"origin": "http://localhost:8081"}, "http://127.0.0.1:8080")
    assert refused({"origin": "https://localhost:8080"}, "http://127.0.0.1:8080")


def test_this_machine_is_no_page_of_a_public_server() -> None:
    assert refused({"origin": "http://localhost:8080"})
    assert refused({"origin": "https://127.0.0.1"})
