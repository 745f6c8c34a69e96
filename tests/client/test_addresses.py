"""Where a credential may be sent (promise W3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.client import InsecureAddress, Keystead, UsageError
from keystead.client._address import check_own, is_loopback, is_own, origin_of, server_address
from keystead.client._credentials import BearerCredential
from keystead.kernel.secrets import Secret


@pytest.mark.parametrize(
    ("given_as", "kept_as"),
    [
        ("auth.example.com", "https://auth.example.com"),
        ("https://auth.example.com/", "https://auth.example.com"),
        ("HTTPS://Auth.Example.COM:443", "https://auth.example.com"),
        ("https://auth.example.com:8443", "https://auth.example.com:8443"),
        (" http://localhost:8000/ ", "http://localhost:8000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
    ],
)
def test_an_address_is_kept_in_one_form(given_as: str, kept_as: str) -> None:
    assert server_address(given_as) == kept_as


@pytest.mark.parametrize(
    "address",
    [
        "http://auth.example.com",
        "http://10.0.0.1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.1",
        "http://0x7f000001",
        "http://2130706433",
        "http://127.0.0.256",
        "http://[::2]",
        "http://0.0.0.0",
    ],
)
def test_plain_http_beyond_this_machine_is_refused(address: str) -> None:
    with pytest.raises(InsecureAddress, match="plain HTTP") as refused:
        server_address(address)
    assert "https://" in refused.value.hint


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ftp://auth.example.com",
        "https://",
        "https://ada:secret@auth.example.com",
        "https://auth.example.com:99999",
        "https://auth.example.com\\@evil.example",
        "https://auth.example.com\r\nX: y",
        "https://auth example.com",
        "https://auth.example.com/account",
        "https://auth.example.com?x=y",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_a_password(address: str) -> None:
    with pytest.raises(UsageError) as refused:
        server_address(address)
    assert "secret" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_client_for_a_server_on_plain_http_cannot_be_made() -> None:
    with pytest.raises(InsecureAddress) as refused:
        Keystead(BearerCredential("http://auth.example.com", Secret("a-bearer-token")))
    assert "a-bearer-token" not in str(refused.value)


@pytest.mark.parametrize(
    "other",
    [
        "https://evil.example/",
        "https://auth.example.com:8443/",
        "http://auth.example.com/",
        "https://auth.example.com.evil.example/",
        "https://auth.example.com@evil.example/",
    ],
)
def test_a_credential_belongs_to_one_origin(other: str) -> None:
    with pytest.raises(UsageError):
        check_own(other, "https://auth.example.com")
    assert not is_own(other, "https://auth.example.com")
    assert is_own("https://AUTH.example.com:443/any?thing", "https://auth.example.com")


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_all_of_127_0_0_0_8_is_this_machine(rest: tuple[int, int, int]) -> None:
    assert is_loopback(".".join(map(str, (127, *rest))))


@given(st.text(max_size=60))
def test_no_text_makes_anything_but_a_secure_address_or_a_usage_error(text: str) -> None:
    try:
        address = server_address(text)
    except UsageError:
        return
    scheme, host, port = origin_of(address)
    assert scheme == "https" or is_loopback(host)
    assert 0 < port < 65_536
    assert server_address(address) == address


def test_no_address_at_all_is_told_as_that() -> None:
    with pytest.raises(UsageError, match="No server is named"):
        server_address("  ")
