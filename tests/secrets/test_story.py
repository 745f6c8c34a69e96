"""No secret is kept, logged, counted or told to anybody but the one it is for (promises K13 and W9)."""

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import pytest

from keystead.db.installation import DATABASE_FILE
from tests.secrets.story import SESSION, TOKEN, Story
from tests.support import engine
from tests.support.device import DEVICE_GRANT
from tests.support.issued import Needles
from tests.support.proxy import Exchange

ISSUED_AT: Final = {
    "a JWT": {TOKEN},
    "a refresh token": {TOKEN},
    "a device code": {"/getServiceKeys/device/code"},
    "an API key": {"/account/service/v1/apps/{}/keys"},
    "a password": set(),
}
"""The only answers that may hold a secret of this kind in their body."""

NAMED_IN_A_QUERY: Final = re.compile(r"\?(access_token|api_key|apikey|key|token|x-api-key|cloud\.sso|authorization)=")
TYPED_AS_A_NAME: Final = ("POST", "/sign-in", 401)
"""The page keeps what a person typed as their user name, for them to mend, be it their password."""

pytestmark = pytest.mark.timeout(300)


def dumped(story: Story) -> bytes:
    """Return every value of every row of every table, as it is stored."""
    values = [value for _, _, rows in engine.contents(story.server.data) for row in rows for value in row]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def find(haystack: bytes, secrets: dict[str, str]) -> list[str]:
    return Needles(secrets).find(haystack)


def path_of(seen: Exchange) -> str:
    path = seen.path.partition("?")[0]
    return "/account/service/v1/apps/{}/keys" if path.endswith("/keys") and seen.method == "POST" else path


def test_the_story_had_every_kind_of_secret_in_it(story: Story) -> None:
    kinds = Counter(story.secrets().values())
    assert kinds.keys() == {
        *("a JWT", "a refresh token", "a session", "a device code", "an API key", "a user code"),
        *("a form token or device cookie", "a password"),
    }
    assert min(kinds.values()) >= 2
    statuses = {seen.answer.status for seen in story.proxy.exchanges}
    assert statuses >= {200, 201, 204, 303, 400, 401, 403, 404, 415, 422, 500}


def test_no_secret_is_in_the_log_at_debug(story: Story) -> None:
    log = story.server.log_text()
    assert '"level": "debug"' in log
    assert "Traceback" in log
    assert not find((log + "\n".join(story.server.stdout)).encode(), story.secrets())


def test_no_secret_is_in_any_row_of_the_database(story: Story) -> None:
    rows = dumped(story)
    assert b"ada@example.com" in rows
    assert not find(rows, story.secrets())


@pytest.mark.sqlite
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_no_secret_is_in_any_byte_of_the_database_s_files(story: Story, suffix: str) -> None:
    content = (story.server.data / f"{DATABASE_FILE}{suffix}").read_bytes()
    assert content
    assert not find(content, story.secrets())


def test_no_secret_is_in_the_metrics(story: Story) -> None:
    assert b"keystead_requests_total" in story.metrics
    assert not find(story.metrics, story.secrets())


def test_no_secret_is_in_any_refusal(story: Story) -> None:
    everything = Needles(story.secrets())
    told = [
        f"{seen.method} {path_of(seen)} {seen.answer.status}: {leak}"
        for seen in story.proxy.exchanges
        if seen.answer.status >= 400
        for leak in (but_a_name(story, seen) or everything).find(_answer(seen))
    ]
    assert not told, "\n".join(told)


def test_a_secret_is_told_only_where_it_is_issued(story: Story) -> None:
    kinds = {
        kind: Needles({secret: one for secret, one in story.secrets().items() if one == kind}) for kind in ISSUED_AT
    }
    told = [
        f"{seen.method} {path_of(seen)}: {leak}"
        for seen in story.proxy.exchanges
        if seen.answer.status < 400
        for kind, places in ISSUED_AT.items()
        if path_of(seen) not in places
        for leak in kinds[kind].find(_answer(seen))
    ]
    assert not told, "\n".join(told)


def but_a_name(story: Story, seen: Exchange) -> Needles | None:
    """Return the secrets that this answer may not hold when it holds, rightly, what was typed as a user name."""
    if (seen.method, path_of(seen), seen.answer.status) != TYPED_AS_A_NAME:
        return None
    typed = seen.form()["username"]
    return Needles({secret: kind for secret, kind in story.secrets().items() if secret != typed})


def _answer(seen: Exchange) -> bytes:
    headers = "\n".join(f"{name}: {value}" for name, value in seen.answer.headers)
    return headers.encode("latin-1") + b"\n\n" + seen.answer.body


def test_nothing_that_is_stored_is_accepted_as_a_credential(story: Story) -> None:
    presented = {form for value in hidden(story) for form in forms(value)}
    with httpx.Client(base_url=story.address, timeout=30, trust_env=False) as http:
        accepted = [
            f"{way.__name__}: {response.status_code}"
            for text in sorted(presented)
            for way in WAYS
            if (response := way(http, text)).status_code not in {400, 401}
        ]
    assert not accepted
    assert len(presented) > 60


def hidden(story: Story) -> Iterator[bytes]:
    """Yield a few values of every column that stands for a secret, and of every id."""
    for _, columns, rows in engine.contents(story.server.data):
        for number, column in enumerate(columns):
            if column == "id" or column.endswith("_hash") or column.startswith(("sealed_", "fingerprint")):
                for row in rows[-2:]:
                    if row[number] is not None:
                        value = row[number]
                        yield value if isinstance(value, bytes) else str(value).encode()


def forms(value: bytes) -> Iterator[str]:
    """Yield how a stored value could be written into a header."""
    for text in (value.hex(), base64.b64encode(value).decode(), base64.urlsafe_b64encode(value).decode().rstrip("=")):
        yield text
        yield from (prefix + text for prefix in ("kss_", "pwd_", "pwr_", "pwt_YQ."))
    if value.isascii() and value.decode().isprintable():
        yield value.decode()


def as_bearer(http: httpx.Client, text: str) -> httpx.Response:
    return http.get(SESSION, headers={"Authorization": f"Bearer {text}"})


def as_user_name(http: httpx.Client, text: str) -> httpx.Response:
    encoded = base64.b64encode(f"{text}:".encode()).decode()
    return http.get(SESSION, headers={"Authorization": f"Basic {encoded}"})


def as_api_key(http: httpx.Client, text: str) -> httpx.Response:
    return http.get(SESSION, headers={"X-Api-Key": text})


def as_session(http: httpx.Client, text: str) -> httpx.Response:
    return http.get(SESSION, headers={"Cookie": f"cloud.sso={text}"})


def as_refresh_token(http: httpx.Client, text: str) -> httpx.Response:
    return http.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": text})


def as_device_code(http: httpx.Client, text: str) -> httpx.Response:
    return http.post(TOKEN, data={"grant_type": DEVICE_GRANT, "device_code": text, "client_id": "parallel-cli"})


WAYS: Final[tuple[Callable[[httpx.Client, str], httpx.Response], ...]] = (
    as_bearer, as_user_name, as_api_key, as_session, as_refresh_token, as_device_code,
)  # fmt: skip


def test_the_log_names_routes_with_their_ids_and_nothing_else_of_an_address(story: Story) -> None:
    lines = [json.loads(line) for line in story.server.log_text().splitlines()]
    paths = {line["path"] for line in lines if line["event"] == "request"}
    made = next(seen.path for seen in story.proxy.exchanges if seen.method == "POST" and seen.path.endswith("/keys"))
    assert {made, TOKEN, "/problems/{code}", "/static/{name}", "(no route)"} <= paths
    assert not any("%" in path or " " in path.removeprefix("(no ") for path in paths), paths


def test_no_credential_is_accepted_in_an_address(story: Story) -> None:
    sent = [seen for seen in story.proxy.exchanges if NAMED_IN_A_QUERY.search(seen.path)]
    assert {seen.answer.status for seen in sent} == {401}
    assert len(sent) > 60
