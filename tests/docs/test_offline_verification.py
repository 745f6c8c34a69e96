"""What the page about verifying offline shows works as it stands there (promises V2 and O10).

Replaced are only the server's address, and the file of tokens by a pipe, so that one token can be asked about twice.
"""

import json
import os
import re
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from keystead.db.cleanup import TOKENS_KEPT
from keystead.services import Services
from keystead.tokens.cursors import OVERLAP
from keystead.tokens.models import REVOCATIONS_TYPE, IssuedShortTermToken, RevocationClaims
from keystead.tokens.openapi import LONGEST_WAIT, USUAL_WAIT
from keystead.tokens.revocations import TRUSTED
from keystead.tokens.routes import LONGEST_CACHING
from tests.docs.pages import DOCS, page
from tests.gate.serving import furnish, furnished_server, in_process
from tests.support.server import KeysteadServer

PAGE: Final = page(DOCS / "offline-verification.md").text
FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BOUND: Final = 30
"""Seconds within which the page says that a revoked token is refused."""


def blocks(language: str) -> list[str]:
    return [text for named, text in FENCE.findall(PAGE) if named == language]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysteadServer]:
    furnished = furnish(tmp_path_factory.mktemp("furnished") / "data")
    with furnished_server(furnished, tmp_path_factory.mktemp("followed")) as one:
        yield one


async def issue(services: Services) -> IssuedShortTermToken:
    return await services.tokens.issue_short_term(await services.accounts.first_identity("ada"))


@contextmanager
def verifier(server: KeysteadServer, directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start the page's program as the page does, over a pipe."""
    (directory / "verifier.py").write_text("".join(blocks("python")), encoding="utf-8")
    (command,) = blocks("sh")[-1].splitlines()
    program, _, rest = command.removesuffix(" < tokens.txt").partition(" ")
    assert program == "python"
    with subprocess.Popen(
        ["bash", "-c", f'exec "{sys.executable}" {rest}'],
        cwd=directory,
        env={**os.environ, "KEYSTEAD": server.url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def verdict(process: "subprocess.Popen[str]", token: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(token + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_the_commands_print_the_key_set_and_the_signed_list(server: KeysteadServer, tmp_path: Path) -> None:
    script = blocks("sh")[0]
    assert script.count("curl") == 2
    printed = []
    for command in script.replace("https://auth.example.com", server.url).splitlines():
        told = subprocess.run(
            ["bash", "-euc", f'export KEYSTEAD="{server.url}"; {command}'],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        printed.append(told.stdout)
    assert printed[0] == ""
    assert len(json.loads(printed[1])["keys"]) == 2
    header, claims = (json.loads(urlsafe_b64decode(part + "===")) for part in printed[2].split(".")[:2])
    assert header["typ"] == REVOCATIONS_TYPE
    assert claims["iss"] == server.url


def test_the_program_accepts_a_good_token_and_refuses_it_once_it_is_taken_back(
    server: KeysteadServer, tmp_path: Path
) -> None:
    issued = in_process(server.data, server.url, issue)
    other = in_process(server.data, server.url, issue)

    async def revoke(services: Services) -> None:
        await services.tokens.revoke_short_term(issued.id, await services.accounts.first_identity("ada"))

    with verifier(server, tmp_path) as process:
        assert verdict(process, issued.token.reveal()) == "yes"
        assert verdict(process, issued.token.reveal()[:-2]) == "no"
        assert verdict(process, "no token") == "no"
        in_process(server.data, server.url, revoke)
        deadline = time.monotonic() + BOUND
        while verdict(process, issued.token.reveal()) == "yes":
            assert time.monotonic() < deadline
        assert verdict(process, issued.token.reveal()) == "no"
        assert verdict(process, other.token.reveal()) == "yes"


def test_the_page_explains_every_claim_of_the_list() -> None:
    explained = PAGE.partition("| claim | what it says |")[2].partition("\n\n")[0]
    first_column = "".join(row.split("|")[1] for row in explained.splitlines() if row)
    assert set(re.findall(r"`(\w+)`", first_column)) == set(RevocationClaims.__struct_fields__)


def test_the_page_says_how_long_the_server_holds_and_goes_back() -> None:
    text = " ".join(PAGE.split())
    assert f"If nothing happens for {USUAL_WAIT} seconds" in text
    assert f"holds for up to {LONGEST_WAIT} seconds" in text
    assert "one minute" in text
    assert (TRUSTED, OVERLAP, TOKENS_KEPT, LONGEST_CACHING) == (60, 120, 120, 300)
