"""Two steps over JSON: the same step as on the pages, with its limits; and what lost answers and strangers cost."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.account.nodes import Node, open_node
from tests.oauth.conftest import Open
from tests.support.installation import PUBLIC_URL
from tests.web.entrance.guest import PASSWORD, App, Guest, give_app, give_password

LOGIN, STEP = "/api/sso/password/login", "/api/sso/mfa/login"


class Program(Guest):
    """A program that keeps cookies, and sends JSON."""

    async def json(self, path: str, body: object) -> httpx.Response:
        """Post JSON."""
        self.node.http.cookies.clear()
        mine = [f"{name}={value}" for name, (value, under) in self.cookies.items() if path.startswith(under)]
        headers = {"Origin": PUBLIC_URL, **({"Cookie": "; ".join(mine)} if mine else {})}
        answer = await self.node.http.post(path, json=body, headers=headers)
        self._keep(answer)
        return answer

    async def password_alone(self, password: str = PASSWORD) -> int:
        """Show ada's password."""
        return (await self.json(LOGIN, {"username": "ada", "password": password})).status_code

    async def code(self, code: str) -> tuple[int, str]:
        """Show a code of an app, and return the status and, of a refusal, its code."""
        answer = await self.json(STEP, {"mfaMethod": "otp", "values": {"code": code}})
        return answer.status_code, "" if answer.status_code == 204 else answer.json()["code"]

    async def at_the_page(self) -> httpx.Response:
        """Ask for the page of the second step with the step that this program has."""
        return await self.send("GET", "/sign-in/second-factor", Cookie=f"cloud.step={self.cookies['cloud.mfa'][0]}")


@pytest.fixture
async def app(here: Node) -> App:
    """Give ada an authenticator app."""
    return await give_app(here, here.house.ada.id)


@pytest.fixture
async def tight(opened: Open) -> AsyncIterator[Node]:
    """Give a node with narrow limits, at which ada has a password."""
    async with open_node(opened(limit_sign_in="3/minute")) as node:
        await give_password(node, "ada")
        yield node


async def test_it_is_one_step_with_one_budget_whether_a_page_or_a_program_goes_on_with_it(here: Node, app: App) -> None:
    program = Program(here)
    assert await program.password_alone() == 403
    shown = await program.at_the_page()
    assert (shown.status_code, "second-factor" in shown.text) == (200, True)
    for _ in range(10):
        await program.code("wrong")
    assert (await program.at_the_page()).status_code == 303
    assert await program.code(app.code) == (401, "sign_in_over")


async def test_after_a_lost_answer_one_begins_again_and_the_spent_code_is_not_taken_twice(here: Node, app: App) -> None:
    program = Program(here)
    await program.password_alone()
    before = dict(program.cookies)
    spent = app.code
    assert (await program.code(spent))[0] == 204
    program.cookies = before  # as if the answer had not come
    assert await program.code(spent) == (401, "sign_in_over")
    assert await program.password_alone() == 403
    assert await program.code(spent) == (401, "wrong_sign_in")
    here.house.clock.advance(30)
    assert (await program.code(app.code))[0] == 204
    assert await here.check_session(program.session) == 200


async def test_a_step_is_over_after_ten_minutes(here: Node, app: App) -> None:
    program = Program(here)
    await program.password_alone()
    here.house.clock.advance(600)
    assert await program.code(app.code) == (401, "sign_in_over")
    assert program.session == ""


async def test_who_signs_in_a_known_browser_gets_through_both_steps_whatever_strangers_do(tight: Node) -> None:
    app = await give_app(tight, tight.house.ada.id)
    own, stranger = Program(tight), Program(tight)
    assert await own.password_alone() == 403
    assert (await own.code(app.code))[0] == 204
    assert "keystead.device" in own.cookies
    tight.house.clock.advance(60)
    guesses = [await stranger.password_alone("a guess") for _ in range(4)]
    assert guesses == [401, 401, 401, 429]
    assert await stranger.password_alone() == 429
    assert await own.password_alone() == 403
    assert (await own.code(app.code))[0] == 204


async def test_asking_without_a_step_is_limited_and_costs_whoever_has_one_nothing(tight: Node) -> None:
    app = await give_app(tight, tight.house.ada.id)
    program, stranger = Program(tight), Program(tight)
    assert await program.password_alone() == 403
    statuses = [(await stranger.code("123456"))[0] for _ in range(10)]
    assert statuses == [401] * 9 + [429]
    assert (await stranger.json("/api/sso/mfa/webauthn/authenticate", None)).status_code == 429
    assert (await program.code(app.code))[0] == 204
