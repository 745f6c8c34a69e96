"""The search for secrets finds them, however they were written down, and nothing that is public."""

import base64
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from tests.support.issued import Needles, kind_of, parts_of, secret_part

SECRETS = {
    "pwt_YXV0aC5leGFtcGxlLmNvbQ.Zk3rQ9vT1xW7pL2mN8sB4cD6f": "Zk3rQ9vT1xW7pL2mN8sB4cD6f",
    "kss_Zk3rQ9vT1xW7pL2mN8sB4cD6fZk3rQ9vT1xW7pL2mN8sB": "Zk3rQ9vT1xW7pL2mN8sB4cD6fZk3rQ9vT1xW7pL2mN8sB",
    "https://auth.example.com/invitation/ksi_Qx3rQ9vT1xW7pL2mN8sB4cD6fZk3rQ9vT1xW7pL2mN8sB": (
        "Qx3rQ9vT1xW7pL2mN8sB4cD6fZk3rQ9vT1xW7pL2mN8sB"
    ),
    "pwd_aB3rQ9vT1xW7pL2mN8sB4cD6fZk3rQ9vT1xW7pL2mN8sB": "aB3rQ9vT1xW7pL2mN8sB4cD6fZk3rQ9vT1xW7pL2mN8sB",
    "pwr_AaIA1AQCdj6rGBLIXk6hYAAAAAHhello-this_is-the-MAC-part--": "hello-this_is-the-MAC-part--",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLW9mLWEtdG9rZW4": "c2lnbmF0dXJlLW9mLWEtdG9rZW4",
    "1795310155.aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789-_aBcDe": "aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789-_aBcDe",
    "BCDF-GHJK": "BCDF-GHJK",
    "a quiet lake, before the morning": "a quiet lake, before the morning",
}

WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "twelve characters of it": lambda secret: secret[3:15] if len(secret) > 15 else secret,
    "percent-encoded": quote,
    "as in a form": quote_plus,
    "in hexadecimal": lambda secret: secret.encode().hex(),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 behind something else": lambda secret: base64.b64encode(f"ab{secret}:".encode()).decode(),
}


FOUND = [(text, way) for text in SECRETS for way in WAYS if kind_of(text) != "a user code" or "base64" not in way]
"""Eight letters are too few to be told from others once they are encoded."""


@pytest.mark.parametrize(("text", "way"), FOUND)
def test_a_secret_is_found_however_it_was_written_down(text: str, way: str) -> None:
    needles = Needles(parts_of([text]))
    written = WAYS[way](SECRETS[text])
    assert needles.find(b"\0\1" + f'{{"event": "{written}"}}'.encode() + b"\0")


@pytest.mark.parametrize("text", SECRETS, ids=kind_of)
def test_only_the_secret_part_of_a_credential_is_searched_for(text: str) -> None:
    assert secret_part(text) == SECRETS[text]
    public = text.removesuffix(SECRETS[text])
    shown = f"{public} {SECRETS[text][:4]}…{SECRETS[text][-4:]}"
    assert Needles(parts_of([text])).find(shown.encode()) == []


def test_words_too_short_to_be_secrets_are_not_searched_for() -> None:
    assert parts_of(["", "x", "wrong", "a-b-c"]) == {}
