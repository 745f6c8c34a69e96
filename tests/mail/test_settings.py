"""E-mail is set whole or not at all, and what is wrong with it is told at the start."""

import pytest

from keystead.kernel.secrets import Secret
from keystead.kernel.settings import SettingsError, load_settings
from keystead.mail.server import read_url

URL = "KEYSTEAD_SMTP_URL"
FROM = "KEYSTEAD_MAIL_FROM"
EXAMPLE = "give a mail server, for instance smtp://keystead:password@mail.example.com:587"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({URL: "smtp://mail.example.com"}, "smtp_url is set without mail_from: e-mail needs both, so set both or none"),
        ({FROM: "desk@example.com"}, "mail_from is set without smtp_url: e-mail needs both, so set both or none"),
        ({URL: "http://mail.example.com", FROM: "desk@example.com"}, f"{URL}: {EXAMPLE}"),
        ({URL: "smtp://", FROM: "desk@example.com"}, f"{URL}: {EXAMPLE}"),
        ({URL: "smtp://mail.example.com:99999", FROM: "desk@example.com"}, f"{URL}: {EXAMPLE}"),
        (
            {URL: "smtp://mail.example.com", FROM: "Desk <desk@example.com>"},
            f"{FROM}: give an e-mail address, for instance desk@example.com",
        ),
    ],
)
def test_a_mistake_is_told_in_a_sentence(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load_settings(environment)
    assert refusal.value.problems == [sentence]


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "here"),
    [
        ("smtp://mail.example.com", "mail.example.com", 587, False, False),
        ("smtp://mail.example.com:2525", "mail.example.com", 2525, False, False),
        ("smtps://mail.example.com", "mail.example.com", 465, True, False),
        ("smtp://localhost", "localhost", 25, False, True),
        ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, False, True),
        ("smtp://[::1]:1025", "::1", 1025, False, True),
        ("smtp://localhost.example.com", "localhost.example.com", 587, False, False),
    ],
)
def test_an_address_says_where_the_server_is_and_how_it_is_spoken_to(
    url: str, host: str, port: int, tls: bool, here: bool
) -> None:
    found = read_url(Secret(url))
    assert (found.host, found.port, found.tls, found.is_here) == (host, port, tls, here)


def test_the_password_in_the_address_is_not_shown() -> None:
    found = read_url(Secret("smtp://keystead:p%40ss%2Fword@mail.example.com"))
    assert (found.username, found.password.reveal()) == ("keystead", "p@ss/word")
    assert "p@ss" not in repr(found)
