"""A person who is signed in, looking at pages of settings within this process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.account.nodes import Node
from tests.support.pages import Form, Page


@dataclass(frozen=True)
class Visit:
    """A browser session at a node."""

    node: Node
    session_id: str
    cookie: str

    async def get(self, path: str) -> Page:
        """Go to a page."""
        return Page(await self.node.http.get(path, headers=self._headers()))

    async def post(self, path: str, form: Mapping[str, str]) -> Page:
        """Send a form, and follow to where it leads."""
        answer = await self.node.http.post(path, data=dict(form), headers=self._headers())
        return await self.get(answer.headers["location"]) if answer.status_code == 303 else Page(answer)

    @property
    def form_token(self) -> str:
        """What every form of settings carries in this session."""
        return self.node.house.services.sessions.form_token(self.session_id, "settings")

    async def confirm(self, path: str) -> Page:
        """Open the question at ``path``, answer yes, and return the page that follows."""
        asked = await self.get(path)
        return await self.post(path, dict(form_to(asked, path).filled({})))

    def _headers(self) -> dict[str, str]:
        return {"Cookie": f"cloud.sso={self.cookie}", "Accept": "text/html"}


async def visit(node: Node, username: str = "ada") -> Visit:
    """Sign somebody in."""
    return Visit(node, *await node.session(username))


def form_to(page: Page, action: str) -> Form:
    """Return the form of a page that goes to ``action``. Raises LookupError."""
    for form in page.forms:
        if form.action == action:
            return form
    raise LookupError(f"{page.url} has no form to {action}, only to {[form.action for form in page.forms]}")


@contextmanager
def counted_reads(node: Node, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the statements that are read meanwhile."""
    seen: list[str] = []
    db = node.house.db
    one, every = db.one, db.all

    async def seen_one(query: Any, parameters: Any) -> Any:
        seen.append(query.sql)
        return await one(query, parameters)

    async def seen_all(query: Any, parameters: Any) -> Any:
        seen.append(query.sql)
        return await every(query, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(db, "one", seen_one)
        patch.setattr(db, "all", seen_all)
        yield seen
