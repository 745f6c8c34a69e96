"""Every list at its fullest stays below 60 KB over the wire with a cold cache, through the real application.

Pages are sent as they are (BREACH), style sheets and scripts compressed: what counts is what a browser downloads.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, update

from keystead.balance.models import LONGEST_KEY
from keystead.db import Command, Transaction
from keystead.db.tables import audit_event, invitation, oauth_grant, passkey, session, short_term_token
from keystead.factors.rules import MOST_PASSKEYS
from keystead.kernel.ids import new_id
from keystead.kernel.scopes import ALL_SCOPES, Role
from keystead.keys.models import LONGEST_NAME
from keystead.oauth.connected import MOST_ALARMS
from keystead.sessions.rules import LONGEST_USER_AGENT
from tests.account.nodes import Node
from tests.web.organization.conftest import operator, principal_of
from tests.web.reading import PAGE_BUDGET, Reading
from tests.web.settings.visiting import Visit, visit

MANY = 60
"""More than any page shows at a time."""
WIDE = "2001:0db8:85a3:0000:0000:8a2e:0370:7334"
DAY = 86_400
BY_PASSWORD = {
    "second_factor": 0,
    "password": 1,
    "impersonator_id": None,
    "impersonator_session": None,
    "impersonation_reason": None,
}
NAMED = Command(update(oauth_grant).values(device_name=bindparam("wanted")))


def name(number: int, length: int = 64) -> str:
    """Return a name of exactly this length."""
    return f"{number:02}-{'longname' * 20}"[:length]


async def fill(node: Node, table: Any, *rows: Mapping[str, Any]) -> None:
    """Add rows that no other row depends on, in one go."""

    async def work(tx: Transaction) -> None:
        for row in rows:
            await tx.run(Command(insert(table)), row)

    await node.house.db.write(work)


async def with_keys(node: Node) -> str:
    """Give ada as many keys as a page takes and more, each with all there is to say of it; return their app's id."""
    principal = await principal_of(node)
    keys = node.house.services.keys
    app = await keys.create_app(principal, name(0, LONGEST_NAME))
    now = node.house.clock.now()
    for number in range(MANY):
        made = await keys.create_key(
            principal, app.id, name(number, LONGEST_NAME), expires_at=now + 7 * DAY, scopes=ALL_SCOPES
        )
        await keys.record_use([(made.record.id, now, WIDE)])
    return app.id


async def with_devices(node: Node) -> None:
    """Sign ada's devices in, with every scope, and tell her of as many copies as a page tells of."""
    clients = [await node.house.register(name(number)) for number in range(MANY)]
    for client_id in clients:
        await node.house.sign_in(client_id)
    await node.house.run(NAMED, {"wanted": name(0)})
    at = node.house.clock.now()
    reuse = {"actor_id": node.house.ada.id, "organization_id": node.house.acme, "address": WIDE, "type": "grant:reuse"}
    rows = (
        {**reuse, "id": new_id(), "at": at, "target": new_id(), "detail": json.dumps({"client_id": client_id})}
        for client_id in clients[:MOST_ALARMS]
    )
    await fill(node, audit_event, *rows)


async def newcomer(node: Node, number: int, organization: str) -> None:
    """Add somebody with a long name of each kind to an organization."""
    username = name(number, 63)
    await node.house.services.accounts.create_user(
        username=username, email=f"{username}@example.com", organization=organization, name=name(number)
    )


async def join_somewhere(node: Node, number: int) -> None:
    """Let ada into another organization with a long name."""
    accounts = node.house.services.accounts
    organization = await accounts.create_organization(name(number, 63), name(number, 100))
    await accounts.add_membership(node.house.ada.id, organization, Role.OWNER)


async def size(seen: Visit, path: str) -> int:
    """Return the bytes on the wire of a page and of everything that it loads, headers not counted."""
    headers = {**seen._headers(), "Accept-Encoding": "gzip"}
    answer = await seen.node.http.get(path, headers=headers)
    assert answer.status_code == 200, path
    loaded = [await seen.node.http.get(url, headers=headers) for url in Reading(answer.text).loaded]
    assert {one.status_code for one in loaded} == {200}
    return sum(one.num_bytes_downloaded for one in (answer, *loaded))


async def faults(seen: Visit, paths: Sequence[str]) -> list[str]:
    """Return which lists are too heavy, and which are not at their fullest, since no way leads on from them."""
    wrong = []
    for path in paths:
        taken = await size(seen, path)
        if taken >= PAGE_BUDGET:
            wrong.append(f"{path} takes {taken} bytes")
        if not re.search(">(Next|Older)<", (await seen.get(path)).source):
            wrong.append(f"{path} has no other page")
    return wrong


async def test_the_lists_of_a_person_stay_light_at_their_fullest(here: Node) -> None:
    ada = await visit(here)
    house, now = here.house, here.house.clock.now()
    await with_keys(here)
    await with_devices(here)
    own = {"user_id": house.ada.id, "organization_id": house.acme, "created_at": now, "expires_at": now + DAY}
    used = {**own, "last_used_at": now, "address": WIDE, "user_agent": "x" * LONGEST_USER_AGENT, **BY_PASSWORD}
    made_by = {"grant_id": None, "api_key_id": None}
    await fill(here, short_term_token, *({**own, **made_by, "id": new_id()} for _ in range(MANY)))
    await fill(here, session, *({**used, "id": new_id(), "secret_hash": bytes([n] * 32)} for n in range(MANY)))
    key = {"user_id": house.ada.id, "public_key": b"x", "sign_count": 0, "created_at": now, "last_used_at": now}
    passkeys = ({**key, "id": new_id(), "credential_id": bytes([n]), "name": name(n)} for n in range(MOST_PASSKEYS))
    await fill(here, passkey, *passkeys)
    for number in range(MANY):
        await join_somewhere(here, number)
    lists = ("", "/keys", "/devices", "/sessions", "/tokens", "/security")
    assert await faults(ada, [f"/settings{path}" for path in lists]) == []
    assert await size(ada, "/settings/keys/new") < PAGE_BUDGET


async def test_the_lists_of_an_organization_stay_light_at_their_fullest(here: Node) -> None:
    house, now = here.house, here.house.clock.now()
    app_id = await with_keys(here)
    principal = await principal_of(here)
    for number in range(MANY):
        await newcomer(here, number, "acme")
        await house.services.keys.create_app(principal, name(number + 1, LONGEST_NAME))
        await house.services.balance.add(principal, 1, name(number, LONGEST_KEY))
    until = {"organization_id": house.acme, "created_at": now, "expires_at": now + DAY}
    sent = {**until, "role": "member", "invited_by": house.ada.id}
    invited = (
        {**sent, "id": new_id(), "secret_hash": bytes([n]), "email": f"{name(n)}@example.com"} for n in range(MANY)
    )
    await fill(here, invitation, *invited)
    did = {"actor_id": house.ada.id, "organization_id": house.acme, "at": now, "address": WIDE, "type": "key:create"}
    detail = json.dumps({"title": name(0, LONGEST_NAME), "app": name(0, LONGEST_NAME)})
    await fill(here, audit_event, *({**did, "id": new_id(), "target": new_id(), "detail": detail} for _ in range(MANY)))
    ada = await visit(here)
    lists = ("members", "apps", f"apps/{app_id}", "balance", "audit")
    assert await faults(ada, [f"/settings/organization/{path}" for path in lists]) == []


async def test_the_lists_of_operators_stay_light_at_their_fullest(here: Node) -> None:
    root = await operator(here)
    for number in range(MANY):
        organization = name(number, 63)
        await here.house.services.accounts.create_organization(organization, name(number, 100))
        await newcomer(here, number, organization)
        await here.house.sign_in(await here.house.register(name(number)))
    lists = ("organizations", "users", "clients")
    assert await faults(root, [f"/settings/operator/{path}" for path in lists]) == []
