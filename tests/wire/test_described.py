"""The document is made when it is first asked for, once, and nobody else waits for it."""

import asyncio
import threading
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from keystead.wire.described import Described


class Held(Described):
    """An application that is held while it makes its document."""

    def __init__(self) -> None:
        super().__init__(title="Held", version="1", openapi_url="/openapi.json", paths={"/front": {"get": {}}})
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.made = 0
        self.add_api_route("/quick", lambda: "here")

    def openapi(self) -> dict[str, Any]:
        """Say that it is asked for."""
        self.begun.set()
        return super().openapi()

    @property
    def routes(self) -> list[Any]:
        """Wait, where FastAPI reads the routes to describe them."""
        if self.begun.is_set():
            self.made += 1
            assert self.go_on.wait(20)
        return super().routes


@pytest.fixture
async def answers() -> tuple[Held, AsyncClient]:
    held = Held()
    return held, AsyncClient(transport=ASGITransport(held), base_url="http://held")


async def test_while_the_document_is_made_others_are_answered_and_it_is_made_once(
    answers: tuple[Held, AsyncClient],
) -> None:
    held, client = answers
    asked: list[asyncio.Task[Response]] = [asyncio.create_task(client.get("/openapi.json")) for _ in range(3)]
    await asyncio.to_thread(held.begun.wait, 20)

    assert (await client.get("/quick")).json() == "here"
    assert not any(task.done() for task in asked)

    held.go_on.set()
    documents = [(await task).json() for task in asked]
    assert documents[0] == documents[1] == documents[2] == (await client.get("/openapi.json")).json()
    assert set(documents[0]["paths"]) == {"/front", "/quick"}
    assert held.made == 1


def test_a_document_tells_of_the_ways_to_sign_in_that_it_is_given() -> None:
    scheme = {"key": {"type": "http", "scheme": "bearer"}}
    app = Described(title="Told", version="1", openapi_url="/openapi.json", schemes=scheme)
    assert app.openapi()["components"]["securitySchemes"] == scheme
