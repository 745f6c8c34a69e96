"""Device sign-in as a whole against a simple model of RFC 8628, section 3.5 (promises D1, D2, D9 and D12)."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, rule
from sqlalchemy import bindparam, select

from keystead.db import Query
from keystead.db.cleanup import CODES_KEPT
from keystead.db.tables import device_authorization
from keystead.kernel.problems import Forbidden, InvalidClient
from keystead.kernel.scopes import READ_SCOPES, Scopes, grantable, parse_scopes
from keystead.kernel.secrets import keyed_hash
from keystead.oauth import store
from keystead.oauth.models import DeviceAuthorization, DeviceCodes, DeviceView, TokenSet
from keystead.oauth.user_codes import new_user_code
from tests.property.machine import TOKENS, InstallationMachine, run_machine
from tests.support.installation import AGES, EVERY_SCOPE, Person, Template

CODE_LIFE = 40
FIRST_INTERVAL = 2
GRACE_MS = 100
ERRORS = {
    "authorization_pending", "slow_down", "access_denied", "expired_token", "invalid_grant", "invalid_client",
    "invalid_request",
}  # fmt: skip

DEVICE_BY_CODE = Query(
    select(*(device_authorization.c[one.name] for one in fields(DeviceAuthorization))).where(
        device_authorization.c.device_code_hash == bindparam("hash")
    ),
    DeviceAuthorization,
)
NODES = 3
SWEPT = 8
"""Rows that the clean-up beside a write of one unit may take as well."""

nodes = st.integers(0, NODES - 1)
people = st.sampled_from(["ada", "bob"])
scopes_asked = st.sampled_from([EVERY_SCOPE, EVERY_SCOPE, None, "keys:create keys:read", "balance:add"])
moments = st.sampled_from([0.05, 0.5, 1.9, 1.899, 2, 5, 6.9, 7, 12, 39, 40, 41, CODES_KEPT, CODES_KEPT + CODE_LIFE])


@dataclass(eq=False)
class Code:
    """What the model knows of one device code."""

    codes: DeviceCodes
    client_id: str
    asked: Scopes
    expires_at: int
    state: str = "pending"
    interval: int = FIRST_INTERVAL
    last_poll_ms: int | None = None
    """What every process knows; ``unwritten`` is what single ones know beyond."""
    unwritten: dict[int, int] = field(default_factory=dict)
    granted: Scopes = frozenset()
    forgotten: bool = False
    successes: list[TokenSet] = field(default_factory=list)
    views: list[DeviceView] = field(default_factory=list)

    def poll(self, now_ms: int, node: int = 0) -> str:
        """Return what a poll by the right client gets from a process, and do what follows."""
        if self.forgotten or self.state == "consumed":
            return "invalid_grant"
        if now_ms >= self.expires_at * 1000:
            return "expired_token"
        if self.state == "denied":
            return "access_denied"
        if self.state == "approved":
            self.state = "consumed"
            return TOKENS
        answer = "slow_down" if self.early(now_ms, node) else "authorization_pending"
        self.told(answer, now_ms, node)
        return answer

    def early(self, now_ms: int, node: int) -> bool:
        """Tell whether a poll comes too early for all that a process knows."""
        known = [at for at in (self.last_poll_ms, self.unwritten.get(node)) if at is not None]
        return bool(known) and now_ms - max(known) < self.interval * 1000 - GRACE_MS

    def told(self, answer: str, now_ms: int, node: int) -> None:
        """Remember that a process gave this answer to a poll of an undecided code."""
        if answer == "slow_down":
            self.interval += 5
            self.last_poll_ms = now_ms
            self.unwritten.pop(node, None)
        elif answer == "authorization_pending":
            self.unwritten[node] = now_ms

    def written(self, node: int) -> None:
        """Let everybody know what one process knew."""
        at = self.unwritten.pop(node, None)
        if at is not None and self.state == "pending":
            self.last_poll_ms = max(at, self.last_poll_ms or at)

    def swept(self, now: int) -> bool:
        """Tell whether the row may have been cleaned up."""
        return now > self.expires_at + CODES_KEPT


class DeviceMachine(InstallationMachine):
    """Clients that poll however they like, people who decide, an operator who deletes clients, and time."""

    codes: Bundle[Code] = Bundle("codes")

    def __init__(self, template: Template, directory: Path, seen: Counter[str]) -> None:
        super().__init__(
            template,
            directory,
            seen,
            device_code_ttl=CODE_LIFE,
            device_poll_interval=FIRST_INTERVAL,
            limit_wrong_codes=100_000,
            limit_wrong_codes_address=100_000,
        )
        self.known: list[Code] = []
        self.clients: list[str] = []
        self.nodes = [self.installation, *(self.installation.neighbour() for _ in range(NODES - 1))]

    def teardown(self) -> None:
        for node in self.nodes:
            self.run(node.services.oauth.polls.arrivals.aclose())
        for node in self.nodes[1:]:
            node.close()
        super().teardown()

    @initialize(target=codes, scope=scopes_asked)
    def begin(self, scope: str | None) -> Code:
        self.clients = self.together(*(self.installation.register(name) for name in ("one", "two")))
        return self._issued(self.clients[0], scope)

    @rule(target=codes, which=st.integers(0, 1), scope=scopes_asked)
    def issue(self, which: int, scope: str | None) -> Code:
        return self._issued(self.clients[which], scope)

    @rule(target=codes, before=st.integers(0, 3), approve=st.booleans())
    def issue_and_decide(self, before: int, approve: bool) -> Code:
        code = self._issued(self.clients[0], EVERY_SCOPE)
        for _ in range(before):
            self._poll_and_compare(code)
        self.decide(code, "ada", approve, stale=False)
        return code

    @rule(seconds=moments)
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(code=codes, places=st.lists(nodes, min_size=2, max_size=4))
    def poll_as_told(self, code: Code, places: list[int]) -> None:
        """A client that waits as it is told is never slowed down, whichever process it comes to (D1)."""
        for turn, place in enumerate(places):
            before = code.interval
            self._poll_and_compare(code, place)
            assert turn == 0 or code.interval == before
            self.write_arrivals(place)
            self.clock.advance(code.interval)

    @rule(code=codes, node=nodes)
    def poll(self, code: Code, node: int) -> None:
        self._poll_and_compare(code, node)

    @rule(node=nodes)
    def write_arrivals(self, node: int) -> None:
        """Do what a process does by itself ten times a second."""
        polled = len(self.nodes[node].services.oauth.polls.arrivals)
        rows, units = self.nodes[node].db.rows_changed, self.nodes[node].db.units
        self.run(self.nodes[node].services.oauth.polls.arrivals.write())
        assert self.nodes[node].db.units - units == (polled > 0)
        assert self.nodes[node].db.rows_changed - rows <= polled + SWEPT
        for code in self.known:
            code.written(node)

    @rule(code=codes, places=st.lists(nodes, min_size=2, max_size=12))
    def poll_everywhere_at_once(self, code: Code, places: list[int]) -> None:
        """Of polls at the same moment every process lets one pass at most; every other makes the interval longer."""
        now_ms, swept = self.clock.now_ms(), code.swept(self.clock.now())
        if code.state != "pending" or code.forgotten or now_ms >= code.expires_at * 1000 or swept:
            return
        may_pass = {place for place in places if not code.early(now_ms, place)}
        answers = self.together(*(self._ask(code, code.client_id, place) for place in places))
        told = [(place, answer) for place, (answer, _) in zip(places, answers, strict=True)]
        passed = [place for place, answer in told if answer == "authorization_pending"]
        assert len(passed) == len(set(passed))
        assert set(passed) <= may_pass
        # The first is judged before anybody else does anything. Later ones may know of a longer interval already.
        assert (places[0] in passed) is (places[0] in may_pass)
        for place, answer in sorted(told, key=lambda one: one[1]):
            assert answer in {"authorization_pending", "slow_down"}
            code.told(answer, now_ms, place)

    @rule(code=codes, who=st.sampled_from(["other", "unknown", "nobody", "built in"]))
    def poll_as_somebody_else(self, code: Code, who: str) -> None:
        others = {"other": self.clients[self.clients[0] == code.client_id], "unknown": "kc_x", "nobody": None}
        client_id = others.get(who, "parallel-cli")
        answer, _ = self.run(self._ask(code, client_id))
        expected = {"unknown": "invalid_client", "nobody": "invalid_request"}.get(who, "invalid_grant")
        assert answer == expected

    @rule(code=codes, times=st.sampled_from([2, 3, 20]))
    def poll_at_once(self, code: Code, times: int) -> None:
        """What one process knows is the same for all its polls."""
        units, now_ms = self.installation.db.units, self.clock.now_ms()
        swept = code.swept(self.clock.now())
        answers = self.together(*(self._ask(code, code.client_id) for _ in range(times)))
        expected = Counter(code.poll(now_ms) for _ in range(times))
        assert Counter(answer for answer, _ in answers) == expected or swept
        assert self.installation.db.units - units <= times

    @rule(code=codes, turns=st.integers(0, 4))
    def poll_and_lose_the_answer(self, code: Code, turns: int) -> None:
        """A client that goes away at any moment may or may not have been heard; polling again tells which."""
        expired = self.clock.now() >= code.expires_at

        async def go_away() -> None:
            polling = asyncio.ensure_future(self.installation.poll(code.codes, code.client_id))
            for _ in range(turns):
                await asyncio.sleep(0)
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            await self.installation.run(store.NEXT_GENERATION, {"fingerprint": "nobody"})  # after all that was queued

        self.run(go_away())
        row = self._row(code)
        if row is not None and row.state == "consumed" and code.state == "approved" and not expired:
            code.state = "consumed"
        known = self.installation.services.oauth.polls.arrivals.last(self._hash(code))
        heard = row is not None and (row.interval, row.last_poll_ms) != (code.interval, code.last_poll_ms)
        if heard or (code.state == "pending" and known not in {None, code.unwritten.get(0)}):
            code.poll(self.clock.now_ms())
        self._poll_and_compare(code)

    @rule(code=codes, name=people, approve=st.booleans(), stale=st.booleans())
    def decide(self, code: Code, name: str, approve: bool, stale: bool) -> None:
        person = self._person(name)
        view = code.views[0] if stale and code.views else self._look_up(code, person)
        if view is None:
            return
        open_still = code.state == "pending" and not code.forgotten and self.clock.now() < code.expires_at
        granted = grantable(code.asked, person.role)
        try:
            decided = self.run(self.installation.decide(view, person, approve=approve))
        except Forbidden:
            assert approve
            assert not granted
            return
        assert decided is open_still
        if decided:
            code.state = "approved" if approve else "denied"
            code.granted = granted

    @rule(code=codes, order=st.permutations(["poll", "poll", "approve", "deny", "poll"]))
    def all_at_once(self, code: Code, order: list[str]) -> None:
        """Whatever the order in which a decision and polls meet, one person decides and one poll is given tokens."""
        before, interval, now = code.state, code.interval, self.clock.now()

        async def step(action: str) -> str:
            if action == "poll":
                return (await self._ask(code, code.client_id))[0]
            view = await self.installation.look_up(code.codes.user_code.reveal())
            return action if view and await self.installation.decide(view, approve=action == "approve") else ""

        results = self.together(*(step(action) for action in order))
        decisions = [result for result in results if result in {"approve", "deny"}]
        polls = Counter(result for result in results if result in ERRORS or result == TOKENS)
        may_decide = before == "pending" and not code.forgotten and now < code.expires_at
        assert len(decisions) == may_decide
        if may_decide:
            code.state = {"approve": "approved", "deny": "denied"}[decisions[0]]
            code.granted = code.asked if code.state == "approved" else frozenset()
        assert polls[TOKENS] <= (code.state == "approved")
        if polls[TOKENS]:
            code.state = "consumed"
        for result in sorted(results):
            code.told(result, self.clock.now_ms(), 0)
        assert code.interval == interval + 5 * polls["slow_down"]
        assert before == "pending" or not (polls["slow_down"] or polls["authorization_pending"])

    @rule(times=st.integers(1, 3))
    def type_a_code_that_nobody_has(self, times: int) -> None:
        found = self.together(*(self.installation.look_up(new_user_code()) for _ in range(times)))
        assert found == [None] * times

    @rule(which=st.integers(0, 1))
    def delete_a_client(self, which: int) -> None:
        gone = self.clients[which]
        self.run(self.installation.services.oauth.clients.delete(gone))
        with pytest.raises(InvalidClient):
            self.run(self.installation.issue(gone))
        for code in self.known:
            code.forgotten = code.forgotten or code.client_id == gone
        self.clients[which] = self.run(self.installation.register(("one", "two")[which]))
        assert self.clients[which] != gone

    @invariant()
    def every_code_is_as_the_model_says(self) -> None:
        for code in self.known:
            row = self._row(code)
            assert len(code.successes) <= 1
            if row is None:
                assert code.forgotten or code.swept(self.clock.now())
                continue
            assert not code.forgotten
            assert (row.state, row.interval, row.last_poll_ms) == (code.state, code.interval, code.last_poll_ms)
            if code.state in {"approved", "consumed"}:
                assert row.organization_id == self.installation.acme

    @invariant()
    def no_two_sign_ins_share_a_grant(self) -> None:
        given = [tokens.refresh_token.reveal() for code in self.known for tokens in code.successes]
        assert len(set(given)) == len(given)

    def _issued(self, client_id: str, scope: str | None) -> Code:
        codes = self.run(self.installation.issue(client_id, scope))
        assert (codes.interval, codes.expires_in) == (FIRST_INTERVAL, CODE_LIFE)
        asked = READ_SCOPES if scope is None else parse_scopes(scope)
        code = Code(codes, client_id, asked, self.clock.now() + CODE_LIFE)
        self.known.append(code)
        return code

    def _poll_and_compare(self, code: Code, node: int = 0) -> None:
        units, swept = self.nodes[node].db.units, code.swept(self.clock.now())
        answer, _ = self.run(self._ask(code, code.client_id, node))
        expected = code.poll(self.clock.now_ms(), node)
        assert answer == expected or (swept and answer == "invalid_grant")
        assert self.nodes[node].db.units - units <= (answer not in {"authorization_pending", "expired_token"})

    async def _ask(self, code: Code, client_id: str | None, node: int = 0) -> tuple[str, TokenSet | None]:
        answer, tokens = await self.answer(self.nodes[node].poll(code.codes, client_id))
        assert answer in ERRORS or answer == TOKENS
        if tokens is not None:
            code.successes.append(tokens)
            assert tokens.scopes == code.granted or code.state == "pending"
            assert tokens.organization_id == self.installation.acme
        return answer, tokens

    def _look_up(self, code: Code, person: Person) -> DeviceView | None:
        view = self.run(self.installation.look_up(code.codes.user_code.reveal(), person))
        assert (view is None) is code.forgotten or code.swept(self.clock.now())
        if view is not None:
            code.views.append(view)
        return view

    def _person(self, name: str) -> Person:
        return self.installation.ada if name == "ada" else self.installation.bob

    def _hash(self, code: Code) -> bytes:
        return keyed_hash(self.installation.keys.credentials, code.codes.device_code.reveal())

    def _row(self, code: Code) -> DeviceAuthorization | None:
        return self.run(self._read(self._hash(code)))

    async def _read(self, hashed: bytes) -> DeviceAuthorization | None:
        return await self.installation.db.one(DEVICE_BY_CODE, {"hash": hashed})


def test_device_sign_in_does_what_the_rfc_says_in_whatever_order_it_is_used(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keystead.oauth.arrivals.WRITE_EVERY", AGES)  # the machine says when
    seen: Counter[str] = Counter()
    run_machine(partial(DeviceMachine, template, tmp_path, seen), max_examples=100)
    assert set(seen) == ERRORS | {TOKENS}
