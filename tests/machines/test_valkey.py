"""Valkey, or Redis, does what tests of ours stand on: it answers, forgets, dies and hangs."""

import asyncio
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from tests.support.processes import MachineError, alive
from tests.support.valkey import ValkeyServer

NewValkey = Callable[..., ValkeyServer]


async def test_it_answers_a_client(valkey_url: str) -> None:
    async with Redis.from_url(valkey_url) as client:
        assert await client.set("pear", "green")
        assert await client.get("pear") == b"green"


@pytest.mark.parametrize("color", ["green", "red"])
def test_every_test_finds_it_empty(valkey_server: ValkeyServer, valkey_url: str, color: str) -> None:
    assert valkey_url == valkey_server.url
    assert valkey_server.ask("DBSIZE") == ":0"
    assert valkey_server.ask("SET", "apple", f"{color} and\r\nround") == "+OK"
    assert valkey_server.ask("DBSIZE") == ":1"


def test_two_of_them_do_not_disturb_each_other(new_valkey: NewValkey) -> None:
    one, other = new_valkey(), new_valkey({"maxmemory": "2mb"})
    one.ask("SET", "number", "1")
    assert other.ask("EXISTS", "number") == ":0"
    one.kill()
    assert other.ask("PING") == "+PONG"


def test_it_forgets_when_it_is_killed_or_stopped_and_keeps_its_address(new_valkey: NewValkey) -> None:
    server = new_valkey()
    url = server.url
    for end in (server.kill, server.stop):
        server.ask("SET", "fig", "1")
        pids = server.processes()
        end()
        assert alive(pids) == []
        with pytest.raises(ConnectionRefusedError):
            server.ask("PING")
        server.start()
        assert server.ask("EXISTS", "fig") == ":0"
    assert server.url == url


async def test_a_client_waits_while_it_is_held(new_valkey: NewValkey) -> None:
    server = new_valkey()
    async with Redis.from_url(server.url) as client:
        await client.ping()
        server.pause()
        waiting = asyncio.ensure_future(client.incr("plum"))
        _, still = await asyncio.wait({waiting}, timeout=0.3)
        assert still == {waiting}

        server.resume()
        assert await asyncio.wait_for(waiting, 10) == 1


def test_one_that_cannot_start_says_why(new_valkey: NewValkey) -> None:
    with pytest.raises(MachineError, match="no-such-setting"):
        new_valkey({"no-such-setting": "1"})
