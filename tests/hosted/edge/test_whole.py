"""The edge around the whole API, with a real database: what is given up leaves nothing, and streams are left alone."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from hosted.app import make_app
from hosted.db.engine import Database
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from hosted.settings import Settings
from tests.hosted.api.conftest import Client
from tests.hosted.letin import LetIn, bearer

DEADLINE_S = 10.0


def made(database: Database, **settings: Any) -> FastAPI:
    return make_app(Backend(database, Bus()), identity=LetIn(), settings=Settings(database_url="", **settings))


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "one and the same"}])
async def test_a_write_that_takes_too_long_is_taken_back(
    me: Client, database: Database, owner_url: str, headers: dict[str, str]
) -> None:
    await me.add("there before")
    body = {"content": "comes too late"}
    holder = await asyncpg.connect(owner_url)
    transport = httpx.ASGITransport(made(database, request_timeout=0.4), raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://jmem.test") as http, holder.transaction():
            await holder.execute("SELECT 1 FROM jmem.sync_heads WHERE user_id = $1 FOR UPDATE", me.user)
            hurried = Client(http, me.user)
            for _ in range(6):  # more than the pool has connections
                answer = await hurried.ask("POST", "/memories", body, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (503, "too_slow")
    finally:
        await holder.close()
    assert (await me.ask("GET", "/memories?count=true")).json()["total"] == 1
    assert (await me.ask("POST", "/memories", body, headers=headers)).status_code == 201


async def test_accounts_are_counted_whichever_way_they_come(database: Database) -> None:
    transport = httpx.ASGITransport(made(database, rate_write=2), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://jmem.test") as http:
        me, other = Client(http, uuid.uuid4()), Client(http, uuid.uuid4())
        answers = [await me.ask("POST", "/memories", {"content": f"fact {number}"}) for number in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert (await me.ask("GET", "/memories?count=true")).json()["total"] == 2, "reads are counted apart"
        assert (await other.ask("POST", "/memories", {"content": "a fact"})).status_code == 201


@pytest.fixture
def served(database_url: str) -> Iterator[tuple[str, FastAPI]]:
    """The API on a port, which gives up soon."""
    app = made(Database(database_url, pool_size=3), request_timeout=0.3, body_timeout=0.3)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + DEADLINE_S
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", app
    server.should_exit = True
    thread.join(DEADLINE_S)


async def test_events_come_at_once_and_for_as_long_as_somebody_listens(served: tuple[str, FastAPI]) -> None:
    url, app = served
    async with httpx.AsyncClient(base_url=url) as http:
        me = Client(http, uuid.uuid4())
        headers = bearer(me.user)
        async with asyncio.timeout(DEADLINE_S), http.stream("GET", "/api/v1/events", headers=headers) as stream:
            lines = stream.aiter_lines()
            assert stream.headers["cache-control"] == "no-store"
            await until(lines, "event: start")
            for number in range(3):
                await asyncio.sleep(0.25)  # longer in all than an answer may take to begin
                began = time.monotonic()
                await me.add(f"fact {number}")
                await until(lines, "event: memory")
                assert time.monotonic() - began < 2
            assert app.state.backend.bus.count() == 1
        async with asyncio.timeout(DEADLINE_S):
            while app.state.backend.bus.count():
                await asyncio.sleep(0.02)


async def until(lines: AsyncIterator[str], wanted: str) -> None:
    async for line in lines:
        if line == wanted:
            return
    raise AssertionError(f"the stream ended before {wanted!r}")
