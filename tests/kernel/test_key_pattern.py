"""The pattern and the checksum of API keys are what docs/credentials.md says (promise K10)."""

import re
import string
from pathlib import Path

import pytest

from keystead.kernel.secrets import new_api_key

PAGE = Path(__file__).parents[2] / "docs" / "credentials.md"


def documented_pattern() -> re.Pattern[str]:
    (pattern,) = re.findall(r"```\n(pwt_.*)\n```", PAGE.read_text(encoding="utf-8"))
    return re.compile(pattern)


def documented_checksum(key: str) -> str:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    return "".join(digits[part] for part in divmod(int.from_bytes(key[:-2].encode(), "big") % 3833, 62))


@pytest.mark.parametrize(
    "address", ["https://a.io", "https://auth.example.com", "http://127.0.0.1:8080", "http://[::1]:1"]
)
def test_a_scanner_finds_keys_by_the_documented_pattern_and_checksum(address: str) -> None:
    for _ in range(50):
        key = new_api_key("pwt", address).reveal()
        assert documented_pattern().findall(f"KEY={key}\n") == [key]
        assert documented_checksum(key) == key[-2:]
