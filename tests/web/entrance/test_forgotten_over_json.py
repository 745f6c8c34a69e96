"""A forgotten password over JSON: nobody can tell by the answer, or by what it costs, whom there is."""

import httpx
import pytest

from keystead.kernel.secrets import Secret
from keystead.sessions.rules import LETTERS_AN_HOUR
from tests.account.nodes import Node
from tests.support.mail import PostOffice
from tests.web.entrance.guest import PASSWORD

ADA = "ada@example.com"
RESET = "/api/sso/password/reset"


async def forget(node: Node, name: str) -> httpx.Response:
    return await node.http.post(RESET, json={"username": name})


async def test_names_and_addresses_that_somebody_has_or_nobody_cost_the_same(
    open_house: Node, post: PostOffice
) -> None:
    services, answers, costs = open_house.house.services, [], []
    await services.accounts.create_user(username="gone", email="gone@example.com", organization="acme")
    gone = await services.accounts.user_by_name("gone")
    assert gone is not None
    db = open_house.house.db
    for name in ("ada", "nobody", ADA, "nobody@example.com", "gone", " BOB ", "no name", "\N{SNOWMAN}", "a\x00b"):
        before = (db.units, db.rows_changed)
        answer = await forget(open_house, name)
        answers.append((answer.status_code, answer.content, sorted(set(answer.headers) - {"x-request-id"})))
        costs.append((db.units - before[0], db.rows_changed - before[1]))
    assert all(one == (204, b"", answers[0][2]) for one in answers)
    assert len(set(costs)) == 1
    assert (await post.arrived(ADA, 2)).link


async def test_letters_beyond_the_budget_of_the_address_are_not_sent_and_nobody_is_told(
    open_house: Node, post: PostOffice
) -> None:
    for number in range(LETTERS_AN_HOUR + 3):
        assert (await forget(open_house, ADA if number % 2 else "ada")).status_code == 204
    await open_house.house.services.mailer.aclose()
    assert len(post.letters_to(ADA)) == LETTERS_AN_HOUR


async def test_a_warm_limit_of_an_address_is_told_as_such_and_keeps_nobody_out_elsewhere(open_house: Node) -> None:
    first = [(await forget(open_house, f"name-{number}")).status_code for number in range(31)]
    assert first == [204] * 30 + [429]
    begun = await open_house.house.services.sessions.sign_in("ada", Secret(PASSWORD), address="192.0.2.200")
    assert await open_house.check_session(begun.secret.reveal()) == 200


async def test_without_a_mail_server_the_log_says_so_and_names_nobody(
    here: Node, caplog: pytest.LogCaptureFixture
) -> None:
    costs, db = [], here.house.db
    for name in ("ada", "nobody"):
        before = (db.units, db.rows_changed)
        assert (await forget(here, name)).status_code == 204
        costs.append((db.units - before[0], db.rows_changed - before[1]))
    said = [record.getMessage() for record in caplog.records if record.name == "keystead.sessions.recovery"]
    assert len(said) == 2
    assert all("no mail server is set" in one and "ada" not in one for one in said)
    assert len(set(costs)) == 1
