"""Whatever the driver raises when the database goes away in the middle of something, nothing behind the requests ends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any, NoReturn, cast

import asyncpg
import pytest
from starlette.requests import Request

from hosted.api import events, sync
from hosted.api.routing import Call
from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.edge import context, idempotency
from hosted.edge.rates import Rates
from hosted.identity import audit
from hosted.identity.principal import Principal
from hosted.mcp.server import make_server
from hosted.mcp.tools import Tools
from hosted.memories.activity import Activity
from hosted.memories.service import Backend
from hosted.operate.census import Counts
from hosted.operate.checks import _owner
from hosted.ops.events import Bus
from hosted.web import front
from jmem.core.accesses import Access
from jmem.core.actor import Actor
from jmem.core.errors import JmemError
from jmem.core.mcp import serving

USER = uuid.uuid4()
FAILURES: list[Exception] = [
    asyncpg.InternalClientError("got result for unknown protocol state"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.PostgresConnectionError("terminating connection"),
    OSError("connection reset"),
    TimeoutError(),
]
SQL = "postgresql://nobody@127.0.0.1:1/none"


class Away(Database):
    """A database of which every transaction fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__(SQL)
        self._error = error

    async def _begin(self, user_id: str, timeout: str, *, snapshot: bool) -> NoReturn:
        raise self._error


@pytest.fixture(params=FAILURES, ids=lambda error: type(error).__name__)
async def error(request: pytest.FixtureRequest) -> Exception:
    found: Exception = request.param
    assert isinstance(found, DATABASE_FAILURES)
    return found


@pytest.fixture
async def away(error: Exception) -> AsyncIterator[Away]:
    made = Away(error)
    yield made
    await made.close()


def call(database: Database) -> Call:
    """A session that asks for a stream."""

    class Devices:
        def seen(self, *about: object, **more: object) -> None:
            """Nobody looks."""

    app = type("App", (), {"state": type("State", (), {"devices": Devices()})()})()
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "app": app})
    return Call(request, Principal(USER, Actor("web"), "session"), Backend(database, Bus()))


async def test_streams_end_and_raise_nothing(away: Away) -> None:
    assert [piece async for piece in sync._hints(call(away))] == [b"retry: 1000\n\n"]
    assert [piece async for piece in events._stream(call(away), None)] == [b"retry: 1000\n\n"]


async def test_what_is_written_behind_the_answers_goes_on(away: Away) -> None:
    activity = Activity(away)
    activity.record(USER, Access("web", "search", [], "what"))
    await activity.flush()
    assert (activity.lost, activity.waiting) == (1, 0)
    counts = Counts(away)
    await counts.refresh()
    assert [family.name for family in counts.families()] == ["jmem_census_up"]
    reservation = idempotency.Reservation(USER, b"k", b"r", b"s", uuid.uuid4())
    assert await idempotency._quietly(away, reservation, "SELECT 1") is False


@pytest.mark.parametrize("loop", ["answers", "activity"])
async def test_a_sweep_that_fails_is_tried_again(away: Away, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = asyncio.Event()
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.set()
        await real(0 if seconds < 1 else 60)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    work = idempotency.keep_sweeping(away) if loop == "answers" else Activity(away)._forget_days()
    task = asyncio.create_task(work)
    async with asyncio.timeout(5):
        await slept.wait()
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_burst_of_refusals_is_refused_all_the_same(away: Away) -> None:
    state = type("State", (), {"backend": Backend(away, Bus())})()
    asking = context.Asking("number", "127.0.0.1", rates=Rates({}), state=state)
    token = context.current.set(asking)
    try:
        for _ in range(12):
            await audit.refused(USER, "key_revoked")
    finally:
        context.current.reset(token)


async def test_the_exchange_between_replicas_begins_anew(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()

    class Broken:
        async def execute(self, *about: object) -> None:
            raise error

    bus = Bus(SQL)
    bus._conn = cast(Any, Broken())
    with pytest.raises(ConnectionError):
        await bus.send("channel", ["text"])

    async def exchange() -> None:
        tried.set()
        raise error

    monkeypatch.setattr(bus, "_exchange", exchange)
    bus.start()
    async with asyncio.timeout(5):
        await tried.wait()
    await asyncio.sleep(0)
    assert bus._task is not None
    assert not bus._task.done()
    await bus.close()


async def test_the_status_page_and_the_check_tell_of_it(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        raise error

    assert await front._asked(ask) == (False, 0)

    class Engine:
        def connect(self) -> Any:
            raise error

        async def dispose(self) -> None:
            """Nothing was opened."""

    monkeypatch.setattr("hosted.operate.checks.Database", lambda *about, **more: type("D", (), {
        "engine": Engine(), "close": Engine.dispose})())  # fmt: skip
    assert (await _owner(SQL)).state == "fail"


async def test_a_tool_says_that_the_database_is_away(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Tools("https://example.com")

    async def run(*about: object) -> Any:
        raise error

    monkeypatch.setattr(tools, "run", run)
    monkeypatch.setattr(serving, "make_server", lambda offered, about, run, remedy: run)
    asked: Any = make_server(tools, "https://example.com")
    with pytest.raises(JmemError) as told:
        await asked(tools.offered["search"], None, {})
    assert told.value.code == "unavailable"
