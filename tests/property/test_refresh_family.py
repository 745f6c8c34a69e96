"""A grant and all its refresh tokens against a model of ``decide_refresh`` (promises R2, R3, R5 and R7)."""

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, rule
from sqlalchemy import bindparam, func, select

from keystead.db import Query
from keystead.db.tables import audit_event
from keystead.kernel.scopes import Scope, Scopes, format_scopes, grantable, parse_scopes
from keystead.kernel.secrets import read_refresh_token
from keystead.oauth import store
from keystead.oauth.models import Grant, TokenSet
from keystead.oauth.rules import RefreshOutcome, decide_refresh
from tests.property.machine import TOKENS, InstallationMachine, run_machine
from tests.support.installation import EVERY_SCOPE, Template

RACE = 60
REPLAY = 300
GRANT_LIFE = 4_000
ERRORS = {"invalid_grant", "invalid_scope", "invalid_client"}

ALARMS = Query(
    select(func.count())
    .select_from(audit_event)
    .where(audit_event.c.type == "grant:reuse", audit_event.c.target == bindparam("grant_id")),
    int,
)

behind = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 2, 3, 5])
moments = st.sampled_from([1, 59, 60, 61, 150, 199, 200, 300, 301, 999, 1_000, GRANT_LIFE])
narrowings = st.sampled_from(["keys:read", "apps:read keys:read"])


@dataclass(eq=False)
class Family:
    """What the model knows of a grant. ``tokens`` are its refresh tokens, the oldest first."""

    id: str
    client_id: str
    scopes: Scopes
    tokens: list[str]
    expires_at: int
    refresh_expires_at: int
    rotated_at: int
    ended: str = ""
    alarmed: bool = False

    def present(self, place: int, now: int) -> int | None:
        """Return the place of the successor that a token leads to, or None when it is refused; do what follows."""
        steps = len(self.tokens) - 1 - place
        if self.ended or now >= self.refresh_expires_at or now >= self.expires_at:
            return None
        window = {0: GRANT_LIFE, 1: REPLAY, 2: RACE}.get(steps, -1)
        if now > self.rotated_at + window:
            self.ended, self.alarmed = "reuse", True
            return None
        return place + 1

    def rotated(self, token: str, now: int, refresh_ttl: int) -> None:
        """Remember the newest token."""
        self.tokens.append(token)
        self.rotated_at = now
        self.refresh_expires_at = min(now + refresh_ttl, self.expires_at)


class RefreshMachine(InstallationMachine):
    """Clients that refresh, repeat, race and sign out, thieves with old tokens, and time."""

    families: Bundle[Family] = Bundle("families")

    def __init__(self, template: Template, directory: Path, seen: Counter[str], refresh_ttl: int) -> None:
        super().__init__(
            template,
            directory,
            seen,
            refresh_token_ttl=refresh_ttl,
            grant_ttl=GRANT_LIFE,
            refresh_replay_ttl=REPLAY,
            refresh_race_ttl=RACE,
        )
        self.refresh_ttl = refresh_ttl
        self.known: list[Family] = []
        self.clients: list[str] = []

    @initialize(target=families)
    def begin(self) -> Family:
        self.clients = self.together(*(self.installation.register(name) for name in ("one", "two")))
        return self._signed_in(0, owner=True)

    @rule(target=families, which=st.integers(0, 1), owner=st.booleans())
    def sign_in(self, which: int, owner: bool) -> Family:
        return self._signed_in(which, owner=owner)

    @rule(seconds=moments)
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(family=families, behind=behind, named=st.booleans())
    def present(self, family: Family, behind: int, named: bool) -> None:
        place = self._place(family, behind)
        answer = self.run(self._ask(family.tokens[place], family.client_id if named else None))
        self._compare(family, place, answer)

    @rule(family=families, times=st.integers(1, 4), pause=st.sampled_from([0, 30, 61, 150, 900]))
    def refresh_in_turn(self, family: Family, times: int, pause: int) -> None:
        for _ in range(times):
            self.present(family, 0, named=True)
            self.clock.advance(pause)

    @rule(family=families, behind=behind, times=st.sampled_from([2, 8, 64]))
    def present_at_once(self, family: Family, behind: int, times: int) -> None:
        """However many present the same token side by side, they get the same successor, in one step (R4)."""
        place, rotations = self._place(family, behind), len(family.tokens)
        answers = self.together(*(self._ask(family.tokens[place], family.client_id) for _ in range(times)))
        for answer in sorted(answers, key=lambda answer: answer[1] is None):
            self._compare(family, place, answer)
        assert len(family.tokens) <= rotations + 1
        assert len({tokens.refresh_token.reveal() for _, tokens in answers if tokens is not None}) <= 1

    @rule(family=families, turns=st.integers(0, 4))
    def refresh_and_lose_the_answer(self, family: Family, turns: int) -> None:
        """Whether or not the server heard the request whose answer was lost, the same request works again (R2)."""
        place = len(family.tokens) - 1
        alive = not family.ended and self.clock.now() < family.refresh_expires_at

        async def go_away() -> None:
            refreshing = asyncio.ensure_future(self.installation.refresh(family.tokens[place], family.client_id))
            for _ in range(turns):
                await asyncio.sleep(0)
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)

        self.run(go_away())
        answer = self.run(self._ask(family.tokens[place], family.client_id))
        assert (answer[0] == TOKENS) is alive
        self._compare(family, place, answer)

    @rule(family=families, behind=behind, who=st.sampled_from(["other", "unknown"]))
    def present_as_another_client(self, family: Family, behind: int, who: str) -> None:
        other = self.clients[self.clients[0] == family.client_id] if who == "other" else "kc_x"
        answer, _ = self.run(self._ask(family.tokens[self._place(family, behind)], other))
        assert answer == ("invalid_grant" if who == "other" else "invalid_client")

    @rule(family=families, behind=st.integers(0, 1), scope=narrowings)
    def ask_for_less(self, family: Family, behind: int, scope: str) -> None:
        place = self._place(family, behind)
        answer = self.run(self._ask(family.tokens[place], family.client_id, scope))
        self._compare(family, place, answer, parse_scopes(scope))

    @rule(family=families, behind=behind, scope=st.sampled_from([EVERY_SCOPE, "keys:read nonsense", "keys:read\x7f"]))
    def ask_for_more(self, family: Family, behind: int, scope: str) -> None:
        """A refresh that asks for more than was granted is refused, and its token is not spent (RFC 6749, 6)."""
        if family.scopes == parse_scopes(EVERY_SCOPE) and scope == EVERY_SCOPE:
            return
        answer, _ = self.run(self._ask(family.tokens[self._place(family, behind)], family.client_id, scope))
        gone = family.ended == "signed out" or self.clock.now() > family.expires_at
        assert answer == "invalid_scope" or gone

    @rule(family=families, behind=behind, delays=st.lists(st.integers(0, 6), min_size=2, max_size=5))
    def sign_out_amid_refreshes(self, family: Family, behind: int, delays: list[int]) -> None:
        """Once the sign-out has returned nothing refreshes, whatever was on its way (R7)."""
        signed_out = asyncio.Event()
        place, newest = self._place(family, behind), family.tokens[-1]
        seen = set(family.tokens)

        async def sign_out() -> None:
            await _turns(delays[0])
            await self.installation.revoke(family.tokens[place])
            signed_out.set()

        async def refresh_on_and_on(delay: int) -> None:
            await _turns(delay)
            token = newest
            for _ in range(3):
                too_late = signed_out.is_set()
                _, tokens = await self._ask(token, family.client_id)
                if tokens is None:
                    return
                assert not too_late
                token = tokens.refresh_token.reveal()
                seen.add(token)

        self.together(*(refresh_on_and_on(delay) for delay in delays[1:]), sign_out())
        family.ended, family.alarmed = "signed out", bool(self._alarms(family))
        answers = self.together(*(self._ask(token, family.client_id) for token in sorted(seen)))
        assert {answer for answer, _ in answers} == {"invalid_grant"}

    @rule(family=families, behind=behind)
    def sign_out(self, family: Family, behind: int) -> None:
        self.run(self.installation.revoke(family.tokens[self._place(family, behind)]))
        family.ended = "signed out"

    @invariant()
    def every_family_is_as_the_model_says(self) -> None:
        """A family that was not touched by the step is checked too: reuse ends its own family only (R3)."""
        now = self.clock.now()
        for family in self.known:
            assert self._alarms(family) == family.alarmed
            grant = self._grant(family)
            if grant is None:
                assert family.ended == "signed out" or now > family.expires_at
                continue
            assert family.ended != "signed out"
            assert (grant.ended_at is not None) == bool(family.ended)
            assert (grant.generation, grant.rotated_at) == (len(family.tokens), family.rotated_at)
            assert grant.refresh_expires_at == family.refresh_expires_at
            assert grant.expires_at == family.expires_at
            assert grant.organization_id == self.installation.acme

    @invariant()
    def few_tokens_of_a_family_lead_anywhere(self) -> None:
        """One makes a successor, one or, in a race, two give a successor again that was already given (R5)."""
        now = self.clock.now()
        for family in self.known:
            grant = self._grant(family)
            if grant is None:
                continue
            outcomes = Counter(
                decide_refresh(grant, generation, now, replay_ttl=REPLAY, race_ttl=RACE)
                for generation in range(1, grant.generation + 3)
            )
            assert outcomes[RefreshOutcome.ROTATE] <= 1
            assert outcomes[RefreshOutcome.REPLAY] <= (2 if now <= grant.rotated_at + RACE else 1)

    def _signed_in(self, which: int, *, owner: bool) -> Family:
        person = self.installation.ada if owner else self.installation.bob
        now = self.clock.now()
        tokens = self.run(self.installation.sign_in(self.clients[which], person))
        token = tokens.refresh_token.reveal()
        locator = read_refresh_token(self.installation.keys.refresh, token)
        assert locator is not None
        family = Family(
            id=str(uuid.UUID(bytes=locator.grant)),
            client_id=self.clients[which],
            scopes=grantable(frozenset(Scope), person.role),
            tokens=[token],
            expires_at=now + GRANT_LIFE,
            refresh_expires_at=now + self.refresh_ttl,
            rotated_at=now,
        )
        self.known.append(family)
        return family

    def _place(self, family: Family, behind: int) -> int:
        return max(0, len(family.tokens) - 1 - behind)

    def _compare(
        self, family: Family, place: int, answer: tuple[str, TokenSet | None], scopes: Scopes | None = None
    ) -> None:
        """Compare an answer with what the model says, and go along with it."""
        now = self.clock.now()
        expected = family.present(place, now)
        error, tokens = answer
        assert (error, tokens is None) == ((TOKENS, False) if expected is not None else ("invalid_grant", True))
        if expected is None or tokens is None:
            return
        successor = tokens.refresh_token.reveal()
        if expected == len(family.tokens):
            assert all(successor not in other.tokens for other in self.known)
            family.rotated(successor, now, self.refresh_ttl)
        assert successor == family.tokens[expected]
        assert tokens.refresh_token_expires_in == family.refresh_expires_at - now
        assert tokens.authorization_expires_in == family.expires_at - now
        assert format_scopes(tokens.scopes) == format_scopes(family.scopes if scopes is None else scopes)
        assert tokens.organization_id == self.installation.acme

    async def _ask(self, token: str, client_id: str | None, scope: str | None = None) -> tuple[str, TokenSet | None]:
        answer, tokens = await self.answer(self.installation.refresh(token, client_id, scope))
        assert answer in ERRORS or answer == TOKENS
        return answer, tokens

    def _grant(self, family: Family) -> Grant | None:
        return self.run(self._read_grant(family.id))

    async def _read_grant(self, grant_id: str) -> Grant | None:
        return await self.installation.db.one(store.GRANT_BY_ID, {"grant_id": grant_id})

    def _alarms(self, family: Family) -> int:
        return self.run(self._read_alarms(family.id))

    async def _read_alarms(self, grant_id: str) -> int:
        return await self.installation.db.one(ALARMS, {"grant_id": grant_id}) or 0


async def _turns(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.parametrize("refresh_ttl", [1_000, 200], ids=["tokens outlive a lost answer", "tokens are short-lived"])
def test_a_family_of_refresh_tokens_does_what_its_rules_say_in_whatever_order_it_is_used(
    template: Template, tmp_path: Path, refresh_ttl: int
) -> None:
    seen: Counter[str] = Counter()
    run_machine(partial(RefreshMachine, template, tmp_path, seen, refresh_ttl), max_examples=60)
    assert set(seen) == ERRORS | {TOKENS}
