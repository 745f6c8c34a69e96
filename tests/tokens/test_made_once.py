"""Who may be asked twice, as a page that is loaded again, names the token's id and gets one token."""

import asyncio
from collections import Counter

import pytest

from keystead.kernel.ids import new_id
from keystead.kernel.problems import Conflict, InvalidParameters
from keystead.kernel.scopes import Role
from keystead.tokens.models import IssuedShortTermToken
from tests.tokens.desk import Desk


async def test_a_token_is_made_once_under_an_id_however_many_ask_at_once(desk: Desk) -> None:
    ada, token_id = await desk.enrol("ada", Role.OWNER), new_id()
    answers = await asyncio.gather(
        *(desk.tokens.issue_short_term(ada, token_id=token_id) for _ in range(20)), return_exceptions=True
    )
    assert Counter(map(type, answers)) == {IssuedShortTermToken: 1, Conflict: 19}
    assert [token.id for token in await desk.tokens.list_short_term(ada)] == [token_id]


async def test_a_token_that_was_revoked_does_not_come_back_under_its_id(desk: Desk) -> None:
    ada, token_id = await desk.enrol("ada", Role.OWNER), new_id()
    await desk.tokens.issue_short_term(ada, token_id=token_id)
    await desk.tokens.revoke_short_term(token_id, ada)
    with pytest.raises(Conflict):
        await desk.tokens.issue_short_term(ada, token_id=token_id)
    assert await desk.tokens.list_short_term(ada) == []


@pytest.mark.parametrize("token_id", ["", "1", "x" * 300, "01A202A1-064F-798E-A147-240740CEF25F"])
async def test_an_id_that_is_not_written_as_ours_are_is_refused(desk: Desk, token_id: str) -> None:
    ada = await desk.enrol("ada", Role.OWNER)
    with pytest.raises(InvalidParameters):
        await desk.tokens.issue_short_term(ada, token_id=token_id)
    assert await desk.tokens.list_short_term(ada) == []
