"""An installation to measure: acme and ada, who owns it, with a credential of each kind, and limits nobody reaches."""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final, TypeVar

from keystead.db.installation import DATABASE_FILE
from keystead.kernel.clock import SystemClock
from keystead.kernel.ids import new_id
from keystead.kernel.scopes import ALL_SCOPES, Role, format_scopes
from keystead.kernel.secrets import Secret, keyed_hash, new_api_key
from keystead.kernel.settings import FILE_NAME
from keystead.oauth.models import Decision, TokenRequest, TokenSet
from keystead.oauth.service import DEVICE_CODE
from keystead.operate.installation import ADDRESS_FILE, read_settings
from keystead.services import Services, open_services

T = TypeVar("T")

USERNAME: Final = "ada"
PASSWORD: Final = "correct horse battery staple"  # noqa: S105 - nobody's
ADDRESS: Final = "127.0.0.1"
METADATA: Final = {"client_name": "bench", "platform": {"system": "Linux", "machine": "x86_64"}}
EVERY_SCOPE: Final = format_scopes(ALL_SCOPES)
LIMITS: Final = "".join(
    f'limit_{name} = "1000000000/minute"\n' for name in ("sign_in", "registration", "device_code", "token", "api")
)
"""Limits that no bench reaches. The charging is measured all the same."""
LIVES: Final = "access_token_ttl = 86400\n"
"""An access token lives as long as the longest bench."""
PEOPLE: Final = 1_000
_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class House:
    """A data directory, the port that its server is to use, and who lives there."""

    data: Path
    port: int
    organization_id: str
    user_id: str


def new_house(data: Path) -> House:
    """Make an installation with ada in it."""
    with socket.socket() as listening:
        listening.bind((ADDRESS, 0))
        port = listening.getsockname()[1]
    data.mkdir(parents=True)
    (data / FILE_NAME).write_text(LIMITS + LIVES, encoding="utf-8")
    (data / ADDRESS_FILE).write_text(f"http://{ADDRESS}:{port}\n", encoding="utf-8")

    async def work(services: Services) -> House:
        organization = await services.accounts.create_organization("acme", "Acme")
        user = await services.accounts.create_user(
            username=USERNAME,
            email="ada@example.com",
            organization="acme",
            role=Role.OWNER,
            password=Secret(PASSWORD),
        )
        await services.signing_keys.ensure()
        return House(data, port, organization, user)

    return inside(data, work)


def inside(data: Path, work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` with the services of an installation, in this process."""
    services = open_services(data, read_settings(data), SystemClock())
    try:
        return asyncio.run(work(services))
    finally:
        services.close()


async def many(times: int, one: Callable[[], Coroutine[Any, Any, T]]) -> list[T]:
    """Do one thing many times, some hundred at once, so that their commits share the disk."""
    found: list[T] = []
    while len(found) < times:
        found += await asyncio.gather(*(one() for _ in range(min(_AT_ONCE, times - len(found)))))
    return found


async def sign_in(services: Services, house: House, client_id: str) -> TokenSet:
    """Go the whole way of a device sign-in, and return its tokens."""
    devices = services.oauth.devices
    codes = await devices.issue(client_id, EVERY_SCOPE, ADDRESS)
    view = await devices.look_up(codes.user_code.reveal(), house.user_id, ADDRESS)
    if view is None:
        raise RuntimeError("a fresh user code was not found")
    decision = Decision(True, house.organization_id, house.user_id, "bench", ADDRESS)
    await devices.decide(view, decision, Role.OWNER, "Acme")
    request = TokenRequest(DEVICE_CODE, client_id, codes.device_code.reveal(), None, None)
    tokens = await services.oauth.exchange(request, asyncio.Event().wait)
    if tokens is None:
        raise RuntimeError("a sign-in that was approved gave no tokens")
    return tokens


async def api_key(services: Services) -> str:
    """Make an API key of ada's."""
    return (await services.keys.create_key_for_user(USERNAME, "bench", scopes=ALL_SCOPES)).secret.reveal()


async def short_term_token(services: Services, house: House) -> str:
    """Make a short-term token of ada's."""
    identity = await services.accounts.identity(house.user_id, house.organization_id)
    if identity is None:
        raise RuntimeError("ada is not there")
    return (await services.tokens.issue_short_term(identity)).token.reveal()


def fill_with_keys(house: House, number: int, known: int) -> list[str]:
    """Add rows of API keys, a million in half a minute, and return the texts of ``known`` of them, all over the table.

    They belong to a thousand people in turn, or to a tenth as many as there are keys. The keys that are not returned
    differ in nothing but that nobody knows what they are the hashes of.
    """

    async def parts(services: Services) -> tuple[str, list[str], list[bytes]]:
        app = (await services.keys.create_key_for_user(USERNAME, "bench")).record.app_id
        prefix, url = services.settings.api_key_prefix, services.settings.public_url
        texts = [new_api_key(prefix, url).reveal() for _ in range(known)]
        key = services.keys_of_installation.credentials
        return app, texts, [keyed_hash(key, text) for text in texts]

    app, texts, hashes = inside(house.data, parts)
    every = number // known
    people = _add_people(house, min(PEOPLE, number // 10))
    of_all = (hashes[n // every] if n % every == 0 else os.urandom(32) for n in range(known * every))
    _insert_keys(house, app, of_all, people)
    return texts


def _add_people(house: House, number: int) -> list[str]:
    ids = [new_id() for _ in range(number)]
    people = [(one, f"person-{n}", f"person-{n}@example.com", f"Person {n}") for n, one in enumerate(ids)]
    with closing(sqlite3.connect(house.data / DATABASE_FILE)) as connection, connection:
        connection.executemany(
            "INSERT INTO user (id, username, email, name, platform_admin, created_at) VALUES (?, ?, ?, ?, 0, 0)", people
        )
        connection.executemany(
            "INSERT INTO membership (user_id, organization_id, role, created_at) VALUES (?, ?, 'member', 0)",
            [(one, house.organization_id) for one in ids],
        )
    return ids


def add_keys(house: House, number: int) -> None:
    """Add rows of API keys by the thousand, quicker than by making keys: nobody knows what they are the hashes of."""

    async def app_of_ada(services: Services) -> str:
        return (await services.keys.create_key_for_user(USERNAME, "bench")).record.app_id

    app = inside(house.data, app_of_ada)
    _insert_keys(house, app, (os.urandom(32) for _ in range(number)), [house.user_id])


def _insert_keys(house: House, app: str, hashes: Iterable[bytes], people: Sequence[str]) -> None:
    rows = (
        (new_id(), hashed, app, house.organization_id, person, "bench", "abcd…wxyz", EVERY_SCOPE, 0)
        for hashed, person in zip(hashes, cycle(people), strict=False)
    )
    columns = "id, secret_hash, app_id, organization_id, user_id, title, hint, scopes, created_at"
    with closing(sqlite3.connect(house.data / DATABASE_FILE)) as connection:
        connection.execute("PRAGMA cache_size = -1000000")
        with connection:
            connection.executemany(f"INSERT INTO api_key ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def session(services: Services) -> str:
    """Sign ada in with her password and return the cookie's value."""
    begun = await services.sessions.sign_in(USERNAME, Secret(PASSWORD), address=ADDRESS, user_agent="bench")
    return begun.secret.reveal()
