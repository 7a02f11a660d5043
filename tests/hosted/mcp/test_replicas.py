"""Two replicas behind a balancer that sends each request to the next one, as if there were no sessions at all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.hosted.balancer import Balancer
from tests.hosted.mcp.conftest import Person, Replica, replica
from tests.hosted.mcp.raw import Stream, call, message
from tests.hosted.world import until


@pytest.fixture(scope="module")
def balancer(replicas: tuple[Replica, Replica]) -> Iterator[Balancer]:
    with Balancer([one.url for one in replicas]) as made:
        yield made


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_a_client_does_not_notice_the_balancer(
    ann: Person, balancer: Balancer, transport: str, mode: str
) -> None:
    at = balancer.at(ann.connect()[transport])
    server: Any = sse_client(at) if transport == "sse" else at
    before = len(balancer.asked)
    async with Client(server, mode=mode, read_timeout_seconds=20) as mcp:
        ids = []
        for n in range(6):
            added = await mcp.call_tool("add_memories", {"text": f"Fact {n} of the {transport} {mode} conversation"})
            ids.append(added.structured_content["memories"][0]["id"])
        listed = await mcp.call_tool("list_memories", {})
        assert [one["id"] for one in listed.structured_content["memories"]] == ids[::-1]
        calls = [mcp.call_tool("search_memory", {"query": f"fact {n}"}) for n in range(8)]
        found = await asyncio.gather(*calls)
        assert all(one.structured_content["memories"] for one in found)
    reached = {url for method, url in balancer.asked[before:] if method == "POST"}
    assert len(reached) == 2, "both replicas were asked"


def test_a_message_of_many_parts_reaches_its_stream(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    text = " ".join(f"{n:x}-{hash((n, 'salt')) & 0xFFFFFFFF:08x}" for n in range(4_500))[:64_000]
    with Stream(replicas[0].at(ann.connect()["sse"])) as stream:
        other = replicas[1].url + stream.endpoint.removeprefix(replicas[0].url)
        assert stream.post(call("add_memories", 1, text=text), at=other).status_code == 202
        assert stream.answer()["result"]["structuredContent"]["memories"][0]["content"] == text


def test_what_is_wrong_is_told_through_another_replica_too(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    with Stream(replicas[0].at(ann.connect()["sse"])) as stream:
        other = replicas[1].url + stream.endpoint.removeprefix(replicas[0].url)
        assert stream.post({"jsonrpc": "2.0", "id": 1}, at=other).status_code == 400
        assert stream.post(message("notifications/initialized", id=None), at=other).status_code == 202
        assert stream.post(call("no_such_tool", 2), at=other).status_code == 202
        assert stream.answer()["error"]["message"] == "Unknown tool: no_such_tool"
        began = time.monotonic()
        gone = stream.post(message("ping"), at=other[:-4] + "0000")
        assert gone.status_code == 404
        assert time.monotonic() - began < 10


def test_a_message_for_a_replica_that_died_is_refused_and_a_new_stream_goes_on(
    ann: Person, replicas: tuple[Replica, Replica], environment: dict[str, str]
) -> None:
    made = ann.connect()
    with replica(environment) as third:
        stream = Stream(third.at(made["sse"]))
        stream.__enter__()
        other = replicas[0].url + stream.endpoint.removeprefix(third.url)
        assert stream.post(message("ping", id=1), at=other).status_code == 202
        assert stream.answer()["id"] == 1
        third.process.kill()
        third.process.wait()
        assert stream.post(message("ping", id=2), at=other).status_code == 404
        with contextlib.suppress(httpx.HTTPError):
            stream.__exit__(None, None, None)
    with Stream(replicas[0].at(made["sse"])) as again:
        assert again.post(message("ping", id=3)).status_code == 202
        assert again.answer()["id"] == 3


def test_a_replica_that_ends_closes_its_streams_and_finishes_what_it_began(
    ann: Person, environment: dict[str, str]
) -> None:
    made = ann.connect()
    with replica(environment) as third, Stream(third.at(made["sse"])) as stream:
        for n in range(5):
            stream.post(call("add_memories", n, text=f"Begun before the end {n}"))
        began = time.monotonic()
        third.process.terminate()
        answers = {stream.answer()["id"] for _ in range(5)}
        with pytest.raises((StopIteration, httpx.HTTPError)):
            stream.event()
        third.process.wait(10)
        assert answers == set(range(5))
        assert time.monotonic() - began < 8
        assert third.process.returncode in (0, -15)
    until(lambda: len(ann.must("GET", "/memories")["memories"]) == 5, "what was begun is not stored")


def test_replicas_find_each_other_again(ann: Person, replicas: tuple[Replica, Replica], owner_url: str) -> None:
    async def break_off() -> int:
        conn = await asyncpg.connect(owner_url)
        try:
            listening = (
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND query ~ '(LISTEN|pg_notify)'"
            )
            return int(await conn.fetchval(listening))
        finally:
            await conn.close()

    with Stream(replicas[0].at(ann.connect()["sse"])) as stream:
        other = replicas[1].url + stream.endpoint.removeprefix(replicas[0].url)
        assert stream.post(message("ping", id=1), at=other).status_code == 202
        assert asyncio.run(break_off()) >= 2
        assert stream.post(message("ping", id=2), at=other).status_code in (404, 503), "never taken and not answered"
        until(lambda: stream.post(message("ping", id=3), at=other).status_code == 202, "they don't find each other")
        assert [stream.answer()["id"] for _ in range(2)] == [1, 3]
