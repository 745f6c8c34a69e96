"""What may happen once happens once, whichever of three nodes is asked, and however many clients ask at one moment."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.support.browser import Browser
from tests.support.calls import Line, Reply, at_once
from tests.support.cluster import Cluster, page_of
from tests.support.device import DEVICE_GRANT, DeviceAuthorization, DeviceClient
from tests.support.postgres import PostgresServer
from tests.support.processes import wait_for
from tests.support.server import ADA

LIMIT_CENTS = 1_000
TOP_UP_CENTS = 100
GENERATIONS = "SELECT id, generation FROM oauth_grant"
RFC_ERRORS = {"invalid_grant", "slow_down", "authorization_pending", "expired_token", "access_denied"}


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def nodes(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"KEYSTEAD_CREDIT_LIMIT_CENTS": str(LIMIT_CENTS)}
    with Cluster(tmp_path_factory.mktemp("cluster"), database, settings=settings) as three:
        yield three


def spread(nodes: Cluster, number: int, call: Callable[[Line, int], Reply]) -> list[Reply]:
    """Make a call so many times at one moment, over open connections, one after another to the next node."""
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(nodes.urls[n % len(nodes.urls)])) for n in range(number)]
        for line in lines:
            line.open()
        return at_once([lambda n=n, line=line: call(line, n) for n, line in enumerate(lines)])  # type: ignore[misc]


def test_64_parallel_refreshes_of_one_token_over_three_nodes_get_the_same_successor_from_one_new_generation(
    nodes: Cluster, database: str, postgres_server: PostgresServer
) -> None:
    (tokens,) = nodes.sign_in()
    before = generations(postgres_server, database)
    answers = spread(nodes, 64, lambda line, _: line.refresh(tokens.refresh_token))
    assert Counter(answer.status for answer in answers) == {200: 64}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    after = generations(postgres_server, database)
    assert after.keys() == before.keys()
    assert sorted(after[grant] - before[grant] for grant in before) == [0] * (len(before) - 1) + [1]
    with Line(nodes.urls[2]) as line:
        assert line.refresh(answers[0].json()["refresh_token"]).status == 200


def generations(postgres: PostgresServer, database: str) -> dict[str, int]:
    """Return the newest generation of every grant."""
    return {grant: int(generation) for grant, generation in postgres.fetch(GENERATIONS, database)}


@dataclass
class Insistence:
    """Clients that present one refresh token again and again, which gives the same successor each time."""

    token: str
    answers: list[tuple[float, Reply]] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)

    def insist(self, line: Line) -> None:
        """Present the token until it is enough, and note when each request was sent."""
        while not self.enough.is_set():
            sent = time.monotonic()
            self.answers.append((sent, line.refresh(self.token)))

    def await_answers(self, number: int) -> None:
        """Wait until there are so many."""
        wait_for(lambda: len(self.answers) >= number, f"{number} answers")


def revoke_amid(nodes: Cluster, token: str, after: int) -> tuple[list[int], list[Reply]]:
    """Revoke a grant after so many refreshes were answered, with others in flight on every node.

    Return the statuses of what was sent after the revocation was answered, and the answers of every node to the token
    and its successor in the end.
    """
    insistence = Insistence(token)
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(url)) for url in nodes.urls * 2]
        clients = [threading.Thread(target=insistence.insist, args=(line,)) for line in lines]
        revoking = stack.enter_context(Line(nodes.urls[after % 3]))
        revoking.open()
        for client in clients:
            client.start()
        try:
            insistence.await_answers(after)
            revoked = revoking.revoke(token)
            revoked_at = time.monotonic()
            assert revoked.status == 200
            insistence.await_answers(len(insistence.answers) + 20)
        finally:
            insistence.enough.set()
            for client in clients:
                client.join()
        answers = insistence.answers
        assert {(answer.status, answer.error) for _, answer in answers} <= {(200, ""), (400, "invalid_grant")}
        successors = {answer.json()["refresh_token"] for _, answer in answers if answer.status == 200}
        in_the_end = [line.refresh(known) for line in lines[:3] for known in {token, *successors}]
    return [answer.status for sent, answer in answers if sent > revoked_at], in_the_end


def test_once_a_revocation_is_answered_no_refresh_gives_anything_on_any_node_whatever_was_in_flight(
    nodes: Cluster,
) -> None:
    for number, tokens in enumerate(nodes.sign_in(6)):
        sent_later, in_the_end = revoke_amid(nodes, tokens.refresh_token, after=4 * number)
        assert set(sent_later) == {400}
        assert {(answer.status, answer.error) for answer in in_the_end} == {(400, "invalid_grant")}


def test_of_100_parallel_redemptions_of_one_device_code_over_three_nodes_exactly_one_gives_tokens(
    nodes: Cluster, database: str, postgres_server: PostgresServer
) -> None:
    with DeviceClient(nodes.urls[0]) as device, Browser(nodes.urls[1]) as ada:
        device.register()
        authorization = device.device_code()
        ada.sign_in(ADA.username, ADA.password)
        ada.approve(page_of(authorization))
    counted = "SELECT count(*) FROM oauth_grant"
    ((before,),) = postgres_server.fetch(counted, database)
    answers = spread(nodes, 100, lambda line, _: line.ask("POST", "/getServiceKeys/token", form=poll(authorization)))
    given = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status != 200]
    assert len(given) == 1, Counter(answer.text for answer in refused)
    assert {answer.status for answer in refused} == {400}
    assert {answer.error for answer in refused} <= RFC_ERRORS
    ((after,),) = postgres_server.fetch(counted, database)
    assert int(after) == int(before) + 1
    with Line(nodes.urls[0]) as line:
        assert line.refresh(given[0].json()["refresh_token"]).status == 200


def poll(authorization: DeviceAuthorization) -> dict[str, str]:
    return {
        "grant_type": DEVICE_GRANT,
        "device_code": authorization.device_code,
        "client_id": authorization.client_id,
    }


def test_ten_times_as_many_parallel_top_ups_as_the_credit_allows_succeed_exactly_as_often_as_it_allows(
    nodes: Cluster, database: str, postgres_server: PostgresServer
) -> None:
    (tokens,) = nodes.sign_in()
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    allowed = LIMIT_CENTS // TOP_UP_CENTS

    def add(line: Line, number: int) -> Reply:
        body = {"amount_cents": TOP_UP_CENTS, "idempotency_key": f"top-up-{number:04}"}
        return line.ask("POST", "/account/service/v1/balance/add", body=body, headers=headers)

    answers = spread(nodes, 10 * allowed, add)
    assert Counter(answer.status for answer in answers) == {200: allowed, 402: 9 * allowed}
    ledger = "SELECT amount_cents, balance_after_cents FROM ledger_entry ORDER BY balance_after_cents"
    entries = [(int(amount), int(after)) for amount, after in postgres_server.fetch(ledger, database)]
    assert entries == [(TOP_UP_CENTS, TOP_UP_CENTS * n) for n in range(1, allowed + 1)]
    balances = []
    for url in nodes.urls:
        with Line(url) as line:
            balances.append(line.get("/account/service/v1/balance", headers).json()["credit_balance_cents"])
    assert balances == [LIMIT_CENTS] * 3
