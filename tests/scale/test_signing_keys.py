"""Five nodes rotate the signing keys at one moment: one key comes of it, known on every node before it signs (J2)."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from keystead.services import Services
from tests.support.calls import Line, at_once
from tests.support.cluster import Cluster, in_process
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for

KEYS = "SELECT alg, count(*) FROM signing_key GROUP BY alg ORDER BY alg"
SOONER = """
UPDATE signing_key SET signs_from = {at} WHERE signs_from > {at};
UPDATE signing_key SET signs_until = {at} WHERE signs_from < {at};
INSERT INTO revocation (subject, at) VALUES ('signing-keys', {at});
"""
"""Ends the waiting of new keys; a test cannot wait for an hour."""


@dataclass
class Issued:
    """What clients of one node met: each token was issued there and then presented to every node."""

    url: str
    refresh_token: str
    kids: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unpublished: list[str] = field(default_factory=list)

    def go_on(self, urls: list[str], enough: threading.Event, *, looking: bool) -> None:
        """Perhaps look at the published keys of every node, then have a token issued, then present it to every node."""
        with ExitStack() as stack:
            issuer = stack.enter_context(Line(self.url))
            lines = [stack.enter_context(Line(url)) for url in urls]
            while not enough.is_set():
                published = [kids_of(line) for line in lines] if looking else []
                answer = issuer.refresh(self.refresh_token)
                if answer.status != 200:
                    self.refused.append(answer.text)
                    return
                self.refresh_token, token = answer.json()["refresh_token"], answer.json()["access_token"]
                kid = kid_of(token)
                self.unpublished += [kid for known in published if kid not in known]
                self.refused += [answer.text for line in lines if (answer := line.check(token)).status != 200]
                self.kids.append(kid)


def kids_of(line: Line) -> set[str]:
    """Return the ids of the keys that a node publishes."""
    return {key["kid"] for key in line.get("/.well-known/jwks.json").json()["keys"]}


def kid_of(token: str) -> str:
    """Return the id of the key that signed a token."""
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


@contextmanager
def load(nodes: Cluster, *, looking: bool) -> Iterator[list[Issued]]:
    """Let a client of each node have tokens issued meanwhile and present them everywhere."""
    enough = threading.Event()
    clients = [Issued(url, t.refresh_token) for url, t in zip(nodes.urls, nodes.sign_in(len(nodes.urls)), strict=True)]
    threads = [
        threading.Thread(target=client.go_on, args=(nodes.urls, enough), kwargs={"looking": looking})
        for client in clients
    ]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: all(client.kids or client.refused for client in clients), "a first token of each node")
        yield clients
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def await_a_new_key(clients: list[Issued], of: set[str]) -> None:
    """Wait until every node has signed ten tokens with a key that is none of these."""

    def signed(client: Issued) -> bool:
        return bool(client.refused) or sum(kid not in of for kid in client.kids) >= 10

    wait_for(lambda: all(signed(client) for client in clients), "ten tokens of a new key from each node")


def rotate_at_once(directory: Path, url: str, number: int) -> list[list[str]]:
    """Rotate the keys from so many processes' worth of services, all at one moment, and return what each was told."""
    together = threading.Barrier(number)

    async def work(services: Services) -> list[str]:
        await services.signing_keys.ensure()
        await asyncio.to_thread(together.wait, 30)
        return await services.signing_keys.rotate_now()

    return at_once([partial(in_process, directory, url, work)] * number)


def test_five_rotations_at_one_moment_make_one_key_which_every_node_publishes_before_it_signs_and_none_is_refused(
    postgres_server: PostgresServer, furnished_url: str, new_cluster: Callable[..., Cluster], node_directory: Path
) -> None:
    nodes = new_cluster(furnished_url)
    with load(nodes, looking=True) as clients:
        old = {kid for client in clients for kid in client.kids}
        told = rotate_at_once(node_directory, furnished_url, 5)
        keys = postgres_server.fetch(KEYS, furnished_url)
        postgres_server.execute(SOONER.format(at=int(time.time()) + 2), furnished_url)
        await_a_new_key(clients, old)
    new = {kid for client in clients for kid in client.kids} - old
    assert keys == [("ES256", "2"), ("RS256", "2")]
    assert (len(old), len(new)) == (1, 1)
    assert told == [told[0]] * 5
    assert [client.refused for client in clients] == [[], [], []]
    assert [client.unpublished for client in clients] == [[], [], []]


def test_a_token_of_a_key_that_signs_at_once_is_right_on_nodes_that_have_not_heard_of_the_key_yet(
    furnished_url: str, new_cluster: Callable[..., Cluster]
) -> None:
    nodes = new_cluster(furnished_url, 3, {"KEYSTEAD_DATABASE_NOTIFY": "false"})
    with load(nodes, looking=False) as clients:
        old = {kid for client in clients for kid in client.kids}
        nodes.admin("rotate-signing-keys", "--now")
        await_a_new_key(clients, old)
    assert [client.refused for client in clients] == [[], [], []]
