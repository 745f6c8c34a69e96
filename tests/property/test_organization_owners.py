"""In whatever order people are invited, raised, lowered and removed, an organization keeps an owner."""

from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import Problem
from keystead.kernel.scopes import ROLE_SCOPES, Role
from tests.organizations.company import ADDRESS, Company, make_company
from tests.property.machine import InstallationMachine, run_machine
from tests.support.installation import Template

PEOPLE = ("ada", "olga", "alan", "bob", "eve")
people = st.sampled_from(PEOPLE)
roles = st.sampled_from(list(Role))
fates = st.sampled_from(["delete", "take"])


class Organization(InstallationMachine):
    """Acme, and people who do what comes to their mind, each with the role that they say they have."""

    def __init__(self, template: Template, directory: Path, seen: Counter[str]) -> None:
        """Open the company."""
        super().__init__(template, directory, seen)
        self.company = Company(self.installation)
        self.rooms = self.company.organizations
        self.ids: dict[str, str] = {}
        self.identities: dict[str, Identity] = {}

    @initialize()
    def know_everybody(self) -> None:
        """Make principals that may be old: each says what somebody was, or never was."""
        acme = self.run(self.company.identity("ada"))
        for name in PEOPLE:
            self.ids[name] = self.run(self.company.id_of(name))
            self.identities[name] = replace(acme, user_id=self.ids[name], username=name)

    @rule(actor=people, claimed=roles, person=people, role=roles)
    def change_role(self, actor: str, claimed: Role, person: str, role: Role) -> None:
        self._do("change", self.rooms.change_role(self._as(actor, claimed), self.ids[person], role, ADDRESS))

    @rule(actor=people, claimed=roles, person=people, keys=fates)
    def remove(self, actor: str, claimed: Role, person: str, keys: Literal["delete", "take"]) -> None:
        self._do(
            "remove",
            self.rooms.remove_member(self._as(actor, claimed), self.ids[person], keys=keys, address=ADDRESS),
        )

    @rule(actor=people, claimed=roles, person=people, role=roles)
    def invite_and_accept(self, actor: str, claimed: Role, person: str, role: Role) -> None:
        async def both() -> None:
            made = await self.rooms.invite(self._as(actor, claimed), f"{person}@example.com", role, ADDRESS)
            await self.rooms.accept(self.ids[person], made.url.reveal().rpartition("/")[2], ADDRESS)

        self._do("join", both())

    @rule(one=people, other=people)
    def step_down_together(self, one: str, other: str) -> None:
        async def step_down(name: str) -> None:
            try:
                await self.rooms.change_role(self._as(name, Role.OWNER), self.ids[name], Role.ADMIN, ADDRESS)
            except Problem as problem:
                self.seen[f"step down: {problem.code}"] += 1
            else:
                self.seen["step down: done"] += 1

        self.together(step_down(one), step_down(other))

    @invariant()
    def somebody_owns_it(self) -> None:
        assert self.run(self.company.owners())

    def _as(self, name: str, claimed: Role) -> Principal:
        identity = replace(self.identities[name], role=claimed.value)
        return Principal(identity, Method.SESSION, ROLE_SCOPES[claimed], "a session", None)

    def _do(self, what: str, work: Coroutine[Any, Any, object]) -> None:
        """Count what came of it. Only problems are refusals: any other exception is a finding."""
        try:
            self.run(work)
        except Problem as problem:
            self.seen[f"{what}: {problem.code}"] += 1
        else:
            self.seen[f"{what}: done"] += 1


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Give the company to copy from."""
    return make_company(tmp_path_factory.mktemp("company"))


def test_an_organization_keeps_an_owner_whatever_anybody_does(founded: Template, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    run_machine(partial(Organization, founded, tmp_path, seen), max_examples=25, steps=40)
    outcomes = {"change: done", "remove: done", "join: done", "step down: done", "step down: conflict"}
    assert outcomes - seen.keys() == set()
