"""The access log of an account: what it holds, what a purge takes out of it, and that it never stands in anybody's way."""

from __future__ import annotations

import asyncio
import hashlib
import uuid

import asyncpg
import pytest

from hosted.db.engine import Database
from hosted.memories import activity as module
from hosted.memories.activity import Activity, Kept
from hosted.memories.service import Backend, Memories
from hosted.ops import feed
from hosted.ops.events import Bus
from jmem.core.accesses import Access, Answer
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.drafts import Draft
from jmem.core.errors import Refused
from jmem.core.filter import Filter
from jmem.core.model import Op, new_id, new_nonce
from jmem.core.query import SearchQuery

OWNER = Actor("web")
CLAUDE = Actor("claude", owner=False)


@pytest.fixture
def backend(database: Database) -> Backend:
    return Backend(database, Bus(), activity=Activity(database))


@pytest.fixture
def mine(backend: Backend, user: uuid.UUID) -> Memories:
    return backend.of(user)


async def add(mine: Memories, content: str) -> str:
    return (await mine.add(Draft(content), OWNER)).memory.id


async def log_of(mine: Memories, **wanted: object) -> list[Access]:
    return list(await mine.accesses(OWNER, **wanted))  # type: ignore[arg-type]


async def test_who_what_and_which_results_are_kept_newest_first(mine: Memories) -> None:
    sea, tea = await add(mine, "the sea is blue"), await add(mine, "tea is green")
    await mine.search(SearchQuery("sea"), CLAUDE)
    await mine.get(tea, CLAUDE)
    await mine.list(Filter(), OWNER)
    found = await log_of(mine)
    assert [(a.client, a.what, [x.id for x in a.answers], a.query) for a in found] == [
        ("web", "list", [tea, sea], None), ("claude", "get", [tea], None), ("claude", "search", [sea], "sea"),
        ("web", "add", [tea], None), ("web", "add", [sea], None),
    ]  # fmt: skip
    hit = found[2].answers[0]
    assert hit.rank == 1
    assert (hit.score or 0) > 0
    assert (hit.legs or {})["text"]["rank"] == 1
    assert found[2].detail["mode"] == "text"
    assert [a.id for a in found] == [5, 4, 3, 2, 1]
    assert [a.what for a in await log_of(mine, client="claude")] == ["get", "search"]
    assert [a.what for a in await log_of(mine, what=["get", "list"])] == ["list", "get"]
    assert [a.id for a in await log_of(mine, after=1, before=4, limit=1)] == [3]
    held = await log_of(mine, id=tea)
    assert [(a.what, [(x.id, x.rank) for x in a.answers]) for a in held] == [
        ("list", [(tea, 1)]), ("get", [(tea, 1)]), ("add", [(tea, 1)]),
    ]  # fmt: skip


async def test_what_is_refused_is_recorded_once_and_without_its_words(mine: Memories) -> None:
    await add(mine, "mine")
    blind = Actor("blind", read=False, write=False, delete=False, owner=False)
    for asked in (
        lambda: mine.search(SearchQuery("a secret question"), blind), lambda: mine.add(Draft("x"), blind),
        lambda: mine.delete("ffffffff", blind), lambda: mine.undo(blind), lambda: mine.accesses(blind),
        lambda: mine.batch([{"op": "add", "content": "y"}, {"op": "add", "content": "z"}], blind),
    ):  # fmt: skip
        try:
            await asked()
        except Refused:
            pass
    refused = [a for a in await log_of(mine, client="blind") if a.refused]
    assert [(a.what, a.refused) for a in refused] == [
        ("add", "refused"), ("access", "refused"), ("undo", "refused"), ("delete", "refused"), ("add", "refused"),
        ("search", "refused"),
    ]  # fmt: skip
    assert all(a.query is None and not a.answers for a in refused)


@pytest.mark.parametrize("by_sync", [False, True])
async def test_a_purge_takes_its_memory_and_the_questions_that_found_it_out(
    mine: Memories, backend: Backend, database: Database, owner_url: str, by_sync: bool
) -> None:
    id, other = await add(mine, "the pin of the safe is 4711"), await add(mine, "the safe is in the cellar")
    await mine.search(SearchQuery("pin of the safe"), CLAUDE)
    assert backend.activity is not None
    await backend.activity.flush(mine.user_id)
    await mine.search(SearchQuery("what pin has the safe"), CLAUDE)  # this one still waits to be written
    if by_sync:
        op = Op(Clock().tick(), id, {}, (), "cli", new_nonce(), purge=True).sealed()
        raw = {**op.body(), "digest": op.digest}
        (outcome,) = await feed.push(database, Bus(), mine.user_id, "laptop", [raw])
        assert outcome.code is None
    else:
        (purged,) = await mine.purge(id, OWNER)
        assert "access log" in [receipt.place for receipt in purged.receipt]
    searches = await log_of(mine, what=["search"])
    assert [(a.query, [x.id for x in a.answers]) for a in searches] == [(None, [other]), (None, [other])]
    assert all(a.answers[0].rank == 2 or len(a.answers) == 1 for a in searches)
    conn = await asyncpg.connect(owner_url)
    rows = await conn.fetch("SELECT a::text AS row FROM jmem.accesses a WHERE user_id = $1", mine.user_id)
    await conn.close()
    assert rows
    assert not [row for row in rows if id in row["row"] or "pin" in row["row"]]


async def test_the_text_is_told_as_it_was_then(mine: Memories) -> None:
    id, gone = await add(mine, "I live in Rome"), await add(mine, "I rent")
    await mine.list(Filter(), CLAUDE)
    await asyncio.sleep(0.002)
    await mine.edit(id, {"content": "I live in Oslo"}, OWNER)
    await mine.delete(gone, OWNER)
    found = await log_of(mine, client="claude")
    (texts,) = await mine.told(found, OWNER)
    assert {(t.content, t.changed, t.gone) for t in texts} == {("I live in Rome", True, False), ("I rent", False, True)}


async def test_another_account_sees_nothing_of_it(mine: Memories, backend: Backend) -> None:
    id = await add(mine, "mine")
    other = backend.of(uuid.uuid4())
    await add(other, "theirs")
    assert [a.what for a in await log_of(mine)] == ["add"]
    assert [[x.id for x in a.answers] for a in await log_of(other)] != [[id]]
    assert len(await log_of(other)) == 1


async def test_too_much_at_once_is_lost_and_counted(
    database: Database, user: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    activity = Activity(database)
    for n in range(5):
        activity.record(user, Access("claude", "get", [Answer(new_id())], str(n)))
    assert (activity.waiting, activity.lost) == (3, 2)
    await activity.flush()
    assert (activity.waiting, activity.lost) == (0, 2)


async def test_a_database_that_is_away_fails_no_request(database_url: str, user: uuid.UUID) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    working = Database(database_url, pool_size=1)
    mine = Backend(working, Bus(), activity=Activity(nowhere)).of(user)
    await add(mine, "kept all the same")
    activity = mine._backend.activity
    assert activity is not None
    await activity.flush()
    assert activity.lost == 1
    await nowhere.close()
    await working.close()


async def test_it_is_bounded_by_number_and_by_days(database: Database, user: uuid.UUID) -> None:
    activity = Activity(database, Kept(accesses=50, days=30))
    mine = Backend(database, Bus(), activity=activity).of(user)
    activity.record(user, Access("old", "get", at="2020-01-01T00:00:00.000Z"))
    for _ in range(119):
        activity.record(user, Access("claude", "list"))
    await activity.flush()
    assert [len(await log_of(mine, limit=1000)), (await log_of(mine))[0].id] == [50, 120]
    activity.record(user, Access("old", "get", at="2020-01-01T00:00:00.000Z"))
    assert "old" in {a.client for a in await log_of(mine)}
    assert await activity.forget_days() == 1
    assert "old" not in {a.client for a in await log_of(mine)}
    assert await Activity(database, Kept(days=0)).forget_days() == 0


async def test_it_is_written_while_the_app_runs_and_at_its_end(database: Database, user: uuid.UUID) -> None:
    activity = Activity(database)
    async with activity.running():
        activity.record(user, Access("claude", "get"))
        async with asyncio.timeout(10):
            while activity.waiting:
                await asyncio.sleep(0.02)
        activity.record(user, Access("claude", "list"))
    mine = Backend(database, Bus()).of(user)
    assert [a.what for a in await log_of(mine)] == ["list", "get"]


async def test_nothing_is_written_for_an_account_that_was_deleted(
    database: Database, owner_url: str, user: uuid.UUID
) -> None:
    conn = await asyncpg.connect(owner_url)
    await conn.execute("INSERT INTO jmem.tombstones VALUES ($1)", hashlib.sha256(user.bytes).digest())
    activity = Activity(database)
    activity.record(user, Access("claude", "get"))
    await activity.flush()
    assert activity.lost == 0
    assert await conn.fetchval("SELECT count(*) FROM jmem.accesses WHERE user_id = $1", user) == 0
    await conn.close()


async def test_no_account_waits_for_anothers_log(
    backend: Backend, mine: Memories, owner_url: str, user: uuid.UUID
) -> None:
    other, activity = backend.of(uuid.uuid4()), backend.activity
    assert activity is not None
    await add(mine, "mine")
    await log_of(mine)
    conn = await asyncpg.connect(owner_url)
    async with activity.running(), conn.transaction():  # as while a purge of many is written
        await conn.execute("SELECT FROM jmem.access_heads WHERE user_id = $1 FOR UPDATE", user)
        await add(mine, "waits")
        await asyncio.sleep(2 * module.GATHER_S)
        await add(other, "theirs")
        async with asyncio.timeout(5):
            assert [a.what for a in await log_of(other)] == ["add"]
            await add(other, "written behind the answers")
            while activity.waiting > 1:
                await asyncio.sleep(0.02)
    await conn.close()
    assert len(await log_of(mine)) == 2


async def test_a_request_that_is_given_up_loses_no_record(backend: Backend, mine: Memories, owner_url: str) -> None:
    activity = backend.activity
    assert activity is not None
    await add(mine, "one")
    await log_of(mine)
    conn = await asyncpg.connect(owner_url)
    async with conn.transaction():
        await conn.execute("SELECT FROM jmem.access_heads WHERE user_id = $1 FOR UPDATE", mine.user_id)
        await add(mine, "two")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await log_of(mine)
    await conn.close()
    assert len(await log_of(mine)) == 2
    assert (activity.waiting, activity.lost) == (0, 0)


async def test_whatever_one_record_does_the_others_are_written(backend: Backend, mine: Memories) -> None:
    activity = backend.activity
    assert activity is not None
    async with activity.running():
        activity.record(uuid.uuid4(), Access("claude", "search", detail={"odd": object()}))
        async with asyncio.timeout(5):
            while activity.waiting:
                await asyncio.sleep(0.02)
            await add(mine, "mine")
            while activity.waiting:
                await asyncio.sleep(0.02)
    assert activity.lost == 1
    assert [a.what for a in await log_of(mine)] == ["add"]
