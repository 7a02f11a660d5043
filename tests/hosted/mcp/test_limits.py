"""What clients that misbehave can cost: nothing that lasts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from hosted.mcp.routes import MAX_STREAMS
from jmem.core.mcp import sse, streamable
from tests.hosted.identity.conftest import Running
from tests.hosted.mcp.conftest import Here, Person, in_process, sign_up
from tests.hosted.mcp.raw import ACCEPT, Stream, call, message
from tests.hosted.world import until


@pytest.fixture(scope="module")
def here(environment: dict[str, str]) -> Iterator[Here]:
    with in_process(environment) as made:
        yield made


@pytest.fixture
def ann(here: Here, supabase: Running) -> Person:
    return sign_up(supabase, here.url)


@contextlib.contextmanager
def writes_wait(owner_url: str, user: str) -> Iterator[Callable[[], None]]:
    """Hold the lock that every write of a user takes; what is yielded ends the connection of whoever waits for it."""
    loop = asyncio.new_event_loop()

    async def begin() -> Any:
        conn = await asyncpg.connect(owner_url)
        await conn.execute("BEGIN")
        assert await conn.fetchval("SELECT user_id FROM jmem.sync_heads WHERE user_id = $1 FOR UPDATE", user)
        return conn

    async def break_off() -> None:
        other = await asyncpg.connect(owner_url)
        waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not await other.fetch(waiting):
            await asyncio.sleep(0.02)
        await other.close()

    conn = loop.run_until_complete(begin())
    try:
        yield lambda: loop.run_until_complete(break_off())
    finally:
        loop.run_until_complete(conn.close())
        loop.close()


def test_a_silent_stream_is_kept_alive(here: Here, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable, "KEEP_ALIVE_SECONDS", 0.02)
    with Stream(here.at(ann.connect()["sse"])) as stream:
        assert [next(stream._lines) for _ in range(3)][1] == ": keep-alive"
        stream.post(message("ping", id=4))
        assert stream.answer()["id"] == 4


def test_the_stream_of_a_revoked_key_ends(here: Here, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamable, "KEEP_ALIVE_SECONDS", 0.1)
    made, kept = ann.connect(), ann.connect("cursor")
    with Stream(here.at(made["sse"])) as stream, Stream(here.at(kept["sse"])) as other:
        ann.must("DELETE", f"/connections/{made['id']}")
        until(lambda: here.streams() == 1, "the stream outlives its key")
        assert all(line in ("", ": keep-alive") for line in stream._lines)
        other.post(message("ping", id=4))
        assert other.answer()["id"] == 4


def test_clients_that_vanish_leave_nothing_behind(here: Here, ann: Person, owner_url: str) -> None:
    made = ann.connect()
    ann.must("POST", "/memories", {"content": "So that there is a head to lock"})
    tasks = until(lambda: here.streams() == 0 and here.tasks(), "streams of other tests are open")
    with writes_wait(owner_url, ann.user), contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(here.at(made["sse"]))) for _ in range(20)]
        for stream in streams[:4]:
            assert stream.post(call("add_memories", text="Never read by who sent it")).status_code == 202
        assert here.streams() == 20
        assert here.tasks() > tasks + 20
        stack.close()
        until(lambda: here.streams() == 0, "streams outlive their clients")
        until(lambda: here.tasks() <= tasks, "tasks outlive their clients")
    assert len(ann.must("GET", "/memories")["memories"]) == 1, "what was not finished is not stored"


def test_an_account_has_so_many_streams_whatever_opens_them(here: Here, ann: Person, supabase: Running) -> None:
    at, other = here.at(ann.connect()["sse"]), here.at(ann.connect("cursor")["sse"])
    strange = here.at(sign_up(supabase, here.url).connect()["sse"])
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_STREAMS):
            stack.enter_context(Stream(at))
        assert [httpx.get(one).status_code for one in (at, other)] == [429, 429]
        with Stream(strange):
            pass
        stack.close()
        until(lambda: here.streams() == 0, "streams outlive their clients")
    with Stream(at):
        pass


def test_a_client_that_does_not_read_is_dropped(here: Here, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SEND_SECONDS", 0.5)
    for n in range(4):
        ann.must("POST", "/memories", {"content": f"{n} " + "long " * 12_000})
    made = ann.connect()
    parts = urlsplit(here.at(made["sse"]))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((parts.hostname, parts.port))
        client.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = b""
        while b"session_id=" not in head or not head.endswith(b"\n\n\r\n"):
            head += client.recv(1024)
        session = head.partition(b"session_id=")[2].split()[0].decode()
        address = f"{here.at(made['sse'])}/messages?session_id={session}"
        for n in range(40):
            status = httpx.post(address, json=call("list_memories", n), timeout=20).status_code
            if status == 404:
                break
            assert status == 202
        until(lambda: here.streams() == 0, "the stream of a client that does not read is still open")
        assert httpx.post(address, json=message("ping"), timeout=20).status_code == 404


def test_so_many_requests_of_a_stream_are_under_way(
    here: Here, ann: Person, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_RUNNING", 2)
    ann.must("POST", "/memories", {"content": "So that there is a head to lock"})
    with Stream(here.at(ann.connect()["sse"])) as stream:
        with writes_wait(owner_url, ann.user):
            assert [stream.post(call("add_memories", n, text=f"Fact {n}")).status_code for n in range(3)] == [
                202,
                202,
                429,
            ]
        assert {stream.answer()["id"], stream.answer()["id"]} == {0, 1}
        assert stream.post(message("ping", id=9)).status_code == 202


def test_a_database_that_fails_is_told_to_the_model(here: Here, ann: Person, owner_url: str) -> None:
    ann.must("POST", "/memories", {"content": "So that there is a head to lock"})
    with Stream(here.at(ann.connect()["sse"])) as stream, writes_wait(owner_url, ann.user) as break_off:
        stream.post(call("add_memories", 1, text="Lost on its way"))
        break_off()
        answer = stream.answer()["result"]
        assert answer["isError"] is True
        assert answer["content"][0]["text"] == "the database can't answer now. Ask again in a second."
    assert len(ann.must("GET", "/memories")["memories"]) == 1


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_message_that_is_too_large_is_refused_before_it_is_read(here: Here, ann: Person, transport: str) -> None:
    made = ann.connect()
    with Stream(here.at(made["sse"])) as stream:
        address = stream.endpoint if transport == "sse" else here.at(made["http"])
        big = call("add_memories", text="x" * 600_000)
        assert httpx.post(address, json=big, headers=ACCEPT).status_code == 413
        assert stream.post(message("ping", id=5)).status_code == 202
        assert stream.answer()["id"] == 5
