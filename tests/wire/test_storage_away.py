"""When the storage of shared limits is away: each limit's own choice, never slow, never a 500, and back by itself."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from keystead.kernel.clock import SystemClock
from keystead.kernel.settings import Settings, SettingsError
from keystead.wire.limiter import HOT, NAMES, PATIENCE_MS, WHEN_AWAY, Limiter
from tests.support.processes import free_port
from tests.support.valkey import ValkeyServer
from tests.wire.sharing_nodes import (
    PATIENT_MS,
    Charged,
    charge,
    flood,
    hasty_nodes,
    let_in,
    new_node,
    new_nodes,
    stored,
    until,
)

BOUND: float = PATIENCE_MS / 1000
NOISE = 2.0
"""Seconds that a busy machine may add. Without a bound a storage that hangs is waited for much longer."""


def refuse_to_write(server: ValkeyServer) -> None:
    """Make the server a replica, as it is on the wrong side of a fail-over."""
    assert server.ask("REPLICAOF", "127.0.0.1", "1") == "+OK"


def fill(server: ValkeyServer) -> None:
    """Leave the server no memory."""
    assert server.ask("CONFIG", "SET", "maxmemory", "1") == "+OK"


def lock(server: ValkeyServer) -> None:
    """Let the server ask for a password that nobody told us, and forget who is connected."""
    server.ask("CLIENT", "KILL", "TYPE", "normal")
    assert server.ask("CONFIG", "SET", "requirepass", "another") == "+OK"


FAULTS: dict[str, Callable[[ValkeyServer], object]] = {
    "it was killed": ValkeyServer.kill,
    "it hangs": ValkeyServer.pause,
    "it is a replica": refuse_to_write,
    "it has no memory left": fill,
    "it wants a password": lock,
}
MENDED: dict[str, Callable[[ValkeyServer], object]] = {
    "it was killed": ValkeyServer.start,
    "it hangs": ValkeyServer.resume,
    "it is a replica": lambda server: server.ask("REPLICAOF", "NO", "ONE"),
    "it has no memory left": lambda server: server.ask("CONFIG", "SET", "maxmemory", "0"),
}


def alone(name: str, limit: int) -> int:
    """Return what a node by itself lets in, as the documentation says."""
    return limit if name in {"api", "token"} else max(1, limit // 4)


async def in_turn(node: Limiter, name: str, times: int, key: str = "somebody") -> list[Charged]:
    """Charge one after the other, as fast as answers come."""
    return [await charge(node, name, key) for _ in range(times)]


@pytest.mark.parametrize("fault", FAULTS)
async def test_while_the_storage_is_away_each_limit_does_what_it_says_and_one_request_waits_at_most(
    new_valkey: Callable[..., ValkeyServer], fault: str
) -> None:
    server = new_valkey()
    async with hasty_nodes(server.url, "12/hour") as nodes:
        assert let_in(await flood(nodes, "api", 3, "somebody else")) == 3
        FAULTS[fault](server)
        begin = time.perf_counter()
        for name in NAMES:
            for node in nodes:
                charges = await in_turn(node, name, 40)
                assert let_in(charges) == alone(name, 12), name
                assert max(charged.seconds for charged in charges) < BOUND + NOISE
        # Each node waited once, and not for each of its two hundred requests.
        assert time.perf_counter() - begin < len(nodes) * (BOUND + NOISE)
        assert {node.sharing for node in nodes} == {"away"}


def test_the_choices_are_those_that_are_documented() -> None:
    assert {name: alone(name, 100) for name in NAMES} == {
        "sign_in": 25,
        "registration": 25,
        "invitations": 25,
        "device_code": 25,
        "token": 100,
        "api": 100,
    }
    assert set(WHEN_AWAY) == set(NAMES)
    assert {name for name, choice in WHEN_AWAY.items() if choice == "open"} == HOT


@pytest.mark.parametrize("limit", [1, 3])
async def test_even_the_strictest_limit_lets_one_in_by_itself(limit: int) -> None:
    async with hasty_nodes(f"redis://127.0.0.1:{free_port()}", f"{limit}/hour", 1) as nodes:
        assert let_in(await in_turn(nodes[0], "sign_in", 5)) == 1


@pytest.mark.parametrize("fault", MENDED)
async def test_the_nodes_share_again_by_themselves_and_each_change_is_one_line_in_the_log(
    new_valkey: Callable[..., ValkeyServer], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "keystead")
    server = new_valkey()
    patience_ms = PATIENCE_MS if fault == "it hangs" else PATIENT_MS
    async with new_nodes(server.url, "30/hour", 1, patience_ms=patience_ms) as (node,):
        assert let_in(await flood([node], "sign_in", 1)) == 1
        FAULTS[fault](server)
        for number in range(20):
            await flood([node], "sign_in", 3, f"visitor {number}")
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "each node counts by itself" in caplog.text
        MENDED[fault](server)
        await until(lambda: node.sharing == "shared")
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    async with new_nodes(server.url, "30/hour") as nodes:
        assert let_in(await flood(nodes, "sign_in", 300, "somebody new")) == 30


async def test_a_storage_that_stays_away_is_asked_about_once_a_second_and_by_no_request(
    new_valkey: Callable[..., ValkeyServer],
) -> None:
    server = new_valkey()
    async with hasty_nodes(server.url, "1000000/hour", 1) as (node,):
        refuse_to_write(server)
        await charge(node, "sign_in")
        async with Redis.from_url(server.url, protocol=2) as client:
            before = (await client.info("errorstats"))["errorstat_READONLY"]["count"]
            begin = time.monotonic()
            while time.monotonic() - begin < 2.5:
                await in_turn(node, "sign_in", 100)
                await asyncio.sleep(0.01)
            after = (await client.info("errorstats"))["errorstat_READONLY"]["count"]
        assert 1 <= after - before <= 1 + time.monotonic() - begin


async def test_a_storage_that_keeps_falling_silent_is_not_asked_again_at_once(
    new_valkey: Callable[..., ValkeyServer],
) -> None:
    server = new_valkey()
    async with hasty_nodes(server.url, "30/hour", 1) as (node,):
        for _ in range(2):
            await until(lambda: node.sharing == "shared")
            begin = time.monotonic()
            server.pause()
            await charge(node, "sign_in")
            assert node.sharing == "away"
            server.resume()
            await until(lambda: node.sharing == "shared")
            assert time.monotonic() - begin > 1


async def test_what_a_node_counted_by_itself_is_told_when_the_storage_is_back(
    new_valkey: Callable[..., ValkeyServer],
) -> None:
    server = new_valkey()
    async with new_nodes(server.url, "100/hour", 2) as (one, other):
        assert let_in(await in_turn(one, "api", 10)) == 10
        refuse_to_write(server)
        assert let_in(await in_turn(one, "api", 50)) == 50
        MENDED["it is a replica"](server)
        await until(lambda: one.sharing == "shared")
        assert let_in(await in_turn(one, "api", 1)) == 1
        charges = await in_turn(other, "api", 60)
        assert let_in(charges) == 39
        assert [used for used, _ in (await stored(server.url)).values() if used >= 100]


async def test_a_node_that_was_stricter_by_itself_gives_the_rest_of_the_window_when_the_storage_is_back(
    new_valkey: Callable[..., ValkeyServer],
) -> None:
    server = new_valkey()
    async with new_nodes(server.url, "40/hour", 1) as (node,):
        server.kill()
        assert let_in(await in_turn(node, "sign_in", 20)) == 10
        server.start()
        await until(lambda: node.sharing == "shared")
        assert let_in(await in_turn(node, "sign_in", 50)) == 30
        found = await stored(server.url)
    ((used, life),) = [(used, life) for used, life in found.values() if used > 1]  # without the probe
    assert used == 40
    assert life <= 3_599_000, "what was counted alone is told for the window in which it was counted"


async def test_what_was_known_to_be_used_up_stays_used_up_while_the_storage_is_away(
    new_valkey: Callable[..., ValkeyServer],
) -> None:
    server = new_valkey()
    async with new_nodes(server.url, "40/hour", 2) as nodes:
        for name in NAMES:
            assert let_in(await flood(nodes, name, 400)) == 40
        server.kill()
        for name in NAMES:
            assert let_in(await flood(nodes, name, 100)) == 0


@pytest.mark.parametrize("fault", [ValkeyServer.kill, ValkeyServer.pause])
async def test_a_storage_that_fails_in_mid_flood_holds_nobody_up_and_no_node_lets_in_more_than_the_limit(
    new_valkey: Callable[..., ValkeyServer], fault: Callable[[ValkeyServer], object]
) -> None:
    server = new_valkey()
    async with hasty_nodes(server.url, "2000/hour") as nodes:

        async def client(node: Limiter) -> list[Charged]:
            found: list[Charged] = []
            while not found or found[-1].let_in:
                found.append(await charge(node, "api"))
                await asyncio.sleep(0)
            return found

        flooding = [asyncio.create_task(client(node)) for node in nodes for _ in range(10)]
        await asyncio.sleep(0.02)
        await asyncio.to_thread(fault, server)
        each = await asyncio.gather(*flooding)
    assert max(charged.seconds for charges in each for charged in charges) < BOUND + NOISE
    by_node = [sum(let_in(charges) for charges in each[place : place + 10]) for place in (0, 10, 20)]
    assert max(by_node) <= 2_000
    assert 2_000 <= sum(by_node) <= 6_000


async def test_a_restart_between_two_requests_is_not_even_noticed(new_valkey: Callable[..., ValkeyServer]) -> None:
    server = new_valkey()
    async with new_nodes(server.url, "30/hour") as nodes:
        assert let_in(await flood(nodes, "sign_in", 30)) == 30
        server.restart()
        assert let_in(await flood(nodes, "sign_in", 300, "somebody else")) == 30
        assert {node.sharing for node in nodes} == {"shared"}


async def test_a_start_needs_no_storage_and_tells_that_it_is_away() -> None:
    async with hasty_nodes(f"redis://127.0.0.1:{free_port()}/0", "8/hour", 1) as (node,):
        assert node.sharing == "shared"
        node.start()
        await until(lambda: node.sharing == "away")
        assert let_in(await flood([node], "sign_in", 10)) == 2


async def test_an_address_where_nobody_answers_holds_one_request_up_at_most() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        for host in (f"127.0.0.1:{deaf.getsockname()[1]}", "keystead.nowhere.invalid"):
            async with hasty_nodes(f"redis://{host}/0", "8/hour", 1) as (node,):
                charges = await in_turn(node, "api", 20)
            assert let_in(charges) == 8
            assert sum(charged.seconds for charged in charges) < BOUND + NOISE


async def test_a_password_in_the_address_opens_the_storage_and_is_never_told(
    new_valkey: Callable[..., ValkeyServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = new_valkey()
    assert server.ask("CONFIG", "SET", "requirepass", "s3cr3t-right") == "+OK"
    right = f"valkey://:s3cr3t-right@127.0.0.1:{server.port}/2"
    wrong = f"valkey://somebody:s3cr3t-wrong@127.0.0.1:{server.port}/2"
    async with new_nodes(right, "30/hour") as nodes:
        assert let_in(await flood(nodes, "token", 300)) == 30
        assert {node.sharing for node in nodes} == {"shared"}
    async with hasty_nodes(wrong, "8/hour", 1) as (node,):
        assert let_in(await flood([node], "sign_in", 20)) == 2
        assert node.sharing == "away"
    assert "AuthenticationError" in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize("address", ["redis://:s3cr3t/slash@127.0.0.1:6379", "redis://:s3cr3t@127.0.0.1:65x6"])
def test_what_is_no_address_is_refused_at_the_start_without_repeating_it(address: str) -> None:
    with pytest.raises(SettingsError) as refused:
        new_node(address, "8/hour")
    assert "valkey_url" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
    assert "65x6" not in str(refused.value)


async def test_a_stop_does_not_wait_for_a_storage_that_hangs(new_valkey: Callable[..., ValkeyServer]) -> None:
    server, before = new_valkey(), asyncio.all_tasks()
    node = new_node(server.url, "8/hour")
    await charge(node, "sign_in", "somebody else")
    server.pause()
    waiting = asyncio.create_task(charge(node, "sign_in"))
    await asyncio.sleep(0.02)
    begin = time.perf_counter()
    await node.aclose()
    assert time.perf_counter() - begin < BOUND + NOISE
    assert (await waiting).let_in
    assert let_in(await in_turn(node, "sign_in", 5)) == 1
    await node.aclose()
    assert asyncio.all_tasks() == before


def test_what_was_never_used_closes_without_a_loop_of_its_own(tmp_path: Path) -> None:
    node = Limiter(Settings.model_validate({"valkey_url": f"redis://127.0.0.1:{free_port()}"}), SystemClock())
    asyncio.run(node.aclose())
    assert node.sharing == "away"
