"""The files of the pages: small on the wire for who takes gzip, and as they are for who does not."""

import gzip

import pytest

from tests.account.nodes import Node
from tests.oauth.conftest import house, opened, template
from tests.web.reading import STATIC
from tests.web.settings.conftest import here

__all__ = ["here", "house", "opened", "template"]

SHEET = "/static/settings.css"


@pytest.mark.parametrize("accepted", ["gzip, deflate, br, zstd", "GZIP", "br;q=1.0, gzip;q=0.5"])
async def test_a_file_is_compressed_for_who_takes_gzip(here: Node, accepted: str) -> None:
    content = (STATIC / "settings.css").read_bytes()
    answer = await here.http.get(SHEET, headers={"Accept-Encoding": accepted})
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert answer.content == content
    assert int(answer.headers["content-length"]) == len(gzip.compress(content)) < len(content) / 3


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000, br", "xgzip"])
async def test_a_file_comes_as_it_is_to_who_does_not_take_gzip(here: Node, accepted: str) -> None:
    answer = await here.http.get(SHEET, headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == (STATIC / "settings.css").read_bytes()


async def test_a_file_with_its_hash_in_the_address_is_kept_for_a_year_and_without_for_minutes(here: Node) -> None:
    kept = [(await here.http.get(SHEET + query)).headers["cache-control"] for query in ("?v=0123456789abcdef", "")]
    assert kept == ["public, max-age=31536000, immutable", "public, max-age=300"]


@pytest.mark.parametrize("path", ["/sign-in", "/settings"])
async def test_a_page_is_never_compressed_because_it_holds_the_tokens_of_its_forms(here: Node, path: str) -> None:
    _, cookie = await here.session()
    answer = await here.http.get(path, headers={"Accept-Encoding": "gzip", "Cookie": f"cloud.sso={cookie}"})
    assert answer.status_code == 200
    assert "<form" in answer.text
    assert "content-encoding" not in answer.headers
