"""A memory whose log is larger than what a request may hold: each thing that is asked of it holds a part at a time."""

from __future__ import annotations

import asyncio
import tracemalloc
import uuid
from collections.abc import Awaitable, Callable

import pytest

from hosted.db.engine import Database, driver
from hosted.memories import activity as activity_module
from hosted.memories import history as history_module
from hosted.memories.activity import Activity
from hosted.memories.service import Backend, Memories
from hosted.ops import feed, log
from hosted.ops.events import Bus
from jmem.core import merge
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.filter import Filter
from jmem.core.model import Op, new_id, new_nonce, now_iso

OWNER = Actor("web")
EDITS = 300
TEXT = 60_000
WHOLE = EDITS * TEXT
MOST = WHOLE // 3


@pytest.fixture(scope="module")
def tenant() -> uuid.UUID:
    return uuid.uuid4()


@pytest.fixture(scope="module")
def id(database_url: str, tenant: uuid.UUID) -> str:
    """A memory of many large edits, half of which were written apart from the others."""
    made, clock = new_id(), Clock()

    async def fill() -> None:
        database, base = Database(database_url, pool_size=1), ()
        for first in range(0, EDITS, 20):
            ops = []
            for n in range(first, first + 20):
                fields = {"content": f"{n} ".ljust(TEXT, "x")}
                op = Op(clock.tick(), made, fields, () if n == EDITS // 2 else base, "cli", new_nonce()).sealed()
                base = (op.stamp,)
                ops.append({**op.body(), "digest": op.digest})
            outcomes = await feed.push(database, Bus(), tenant, "laptop", ops)
            assert not [one for one in outcomes if one.code]
        await database.close()

    asyncio.run(fill())
    return made


@pytest.fixture
def mine(database: Database, tenant: uuid.UUID, monkeypatch: pytest.MonkeyPatch) -> Memories:
    monkeypatch.setattr(log, "AT_ONCE", 8)
    monkeypatch.setattr(activity_module, "AT_ONCE", 8)
    monkeypatch.setattr(history_module, "HELD_BYTES", 20 * TEXT)
    return Backend(database, Bus(), activity=Activity(database)).of(tenant)


async def most_held(asked: Callable[[], Awaitable[object]]) -> int:
    """Bytes that were held at once, at most, while it was answered."""
    tracemalloc.start()
    try:
        await asked()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def accessed(mine: Memories, times: int) -> None:
    for _ in range(times):
        await mine.list(Filter(), OWNER)


@pytest.mark.parametrize(
    "what", ["history", "log", "changes", "as of", "count as of", "told", "edit", "undo", "revision"]
)
async def test_a_part_of_it_is_held_at_a_time(mine: Memories, id: str, what: str) -> None:
    now = now_iso()
    await asyncio.sleep(0.002)
    if what != "history":
        await mine.edit(
            id, {"state": "paused" if what == "as of" else "active", "tags": [what.replace(" ", "-")]}, OWNER
        )
    if what == "told":
        await accessed(mine, 40)
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "history": lambda: mine.history(id, OWNER), "log": lambda: mine.log(OWNER, limit=1000),
        "changes": lambda: mine.changes(OWNER, "2020-01-01T00:00:00Z"), "as of": lambda: mine.get(id, OWNER, as_of=now),
        "count as of": lambda: mine.count(Filter(states=()), OWNER, as_of=now),
        "told": lambda: told(mine), "edit": lambda: mine.edit(id, {"content": "short"}, OWNER),
        "undo": lambda: mine.undo(OWNER, dry_run=True), "revision": lambda: mine.restore(id, OWNER, rev=3),
    }  # fmt: skip
    assert await most_held(asked[what]) < MOST


async def told(mine: Memories) -> object:
    return await mine.told(await mine.accesses(OWNER, what=["list"]), OWNER, begin=100)


async def test_a_text_of_the_answer_is_no_longer_than_there_is_room(mine: Memories, id: str) -> None:
    await accessed(mine, 60)
    found = await mine.accesses(OWNER, what=["list"])
    texts = await mine.told(found, OWNER, room=3 * TEXT)
    assert 3 < len(texts) < 20 < len(found)


async def test_the_newest_revisions_are_told_and_the_heads_of_all(mine: Memories, id: str, database: Database) -> None:
    found = await mine.history(id, OWNER)
    assert 10 < len(found.revisions) < 40
    async with database.tenant(mine.user_id) as conn:
        raw = driver(conn)
        ops = [op async for op in log.ops(raw, mine.user_id, [id])]
    assert [r.stamp for r in found.revisions] == [op.stamp for op in ops][-len(found.revisions) :]
    assert found.revisions[-1].rev == len(ops)
    assert found.heads == merge.heads(ops)


async def test_a_purge_reads_it_in_parts_too(mine: Memories, id: str, database: Database) -> None:
    """The last one: it ends the memory that all the others ask for."""
    assert await most_held(lambda: mine.purge(id, OWNER)) < MOST
    async with database.tenant(mine.user_id) as conn:
        raw = driver(conn)
        assert not [op async for op in log.ops(raw, mine.user_id, [id]) if op.set]
        assert await log.heads(raw, mine.user_id, id) == ()


async def test_what_a_text_replaced_is_known_whatever_the_op_holds_beside_it(
    database: Database, user: uuid.UUID
) -> None:
    clock, id = Clock(), new_id()
    first = Op(clock.tick(), id, {"content": "one"}, (), "cli", new_nonce())
    odd = {"a\0b": "\\\0", "after": ["\\u0000", "\\\\\0\0", '"\\\0'], "content": "a \\u0000 b \\"}
    ops = [
        first, Op(clock.tick(), id, odd, (first.stamp,), 'q"\\', "n\0", extra={"aaa": {"base": ["\0"]}}),
        Op(clock.tick(), id, {"tags": ["content"], "metadata": {"content": 1}}, (), "cli", new_nonce()),
        Op(clock.tick(), id, {"content": "apart"}, (), "cli", new_nonce()),
    ]  # fmt: skip
    sealed = [op.sealed() for op in ops]
    outcomes = await feed.push(database, Bus(), user, "d", [{**op.body(), "digest": op.digest} for op in sealed])
    assert [one.code for one in outcomes] == [None] * 4
    async with database.tenant(user) as conn:
        raw = driver(conn)
        bases = await raw.fetch("SELECT base FROM jmem.ops ORDER BY stamp")
        assert [record["base"] for record in bases] == [[], [first.stamp], None, []]
        assert await log.heads(raw, user, id) == merge.heads(sealed) == (ops[1].stamp, ops[3].stamp)
