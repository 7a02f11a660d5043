"""Push and pull, as docs/sync-protocol.md has them, against real Postgres."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from hosted.db.engine import Database
from hosted.ops import feed
from hosted.ops.apply import check_all, take
from hosted.ops.events import Bus
from hosted.ops.writer import writing
from jmem.core.clock import Clock, wall_ms
from jmem.core.errors import Conflict, TooLarge
from jmem.core.model import Op, new_id, new_nonce, now_iso

clock = Clock()


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    made = Bus()
    yield made
    await made.close()


def op(
    content: str = "Prefers aisle seats", id: str | None = None, *, stamp: str | None = None, **fields: object
) -> Op:
    values = {"content": content, "client": "cli", "created_at": now_iso(), **fields}
    return Op(stamp or clock.tick(), id or new_id(), values, (), "cli", new_nonce()).sealed()


def wire(*ops: Op) -> list[dict[str, object]]:
    return [json.loads(one.text()) for one in ops]


async def push(database: Database, bus: Bus, user: uuid.UUID, *ops: Op, device: str = "laptop") -> list[str | None]:
    return [o.code for o in await feed.push(database, bus, user, device, wire(*ops))]


async def test_what_was_pushed_comes_in_order_and_as_it_was_sealed(
    database: Database, bus: Bus, user: uuid.UUID
) -> None:
    ops = [op(f"{n} ünï\u2028") for n in range(5)]
    assert await push(database, bus, user, *ops) == [None] * 5
    page = await feed.pull(database, user, None, 3, "phone")
    assert page.ops == [one.text() for one in ops[:3]]
    assert page.more
    rest = await feed.pull(database, user, page.cursor, 500, "phone")
    assert rest.ops == [one.text() for one in ops[3:]]
    assert not rest.more
    chain = ""
    for one in ops:
        chain = hashlib.sha256((chain + one.stamp).encode()).hexdigest()[:16]
    assert rest.cursor == f"5:{chain}"
    assert (await feed.pull(database, user, rest.cursor)).ops == []


async def test_the_pushing_device_gets_stamp_and_digest_only(database: Database, bus: Bus, user: uuid.UUID) -> None:
    mine, theirs = op("mine"), op("theirs")
    await push(database, bus, user, mine)
    await push(database, bus, user, theirs, device="phone")
    first, second = (json.loads(text) for text in (await feed.pull(database, user, None, 500, "laptop")).ops)
    assert first == {"stamp": mine.stamp, "digest": mine.digest}
    assert second == json.loads(theirs.text())


async def test_a_known_stamp_is_acknowledged_and_another_op_of_it_refused(
    database: Database, bus: Bus, user: uuid.UUID
) -> None:
    one = op()
    other = op("something else", stamp=one.stamp)
    assert await push(database, bus, user, one, one) == [None, None]
    assert await push(database, bus, user, one, other) == [None, "stamp_reuse"]
    assert (await feed.pull(database, user, None)).ops == [one.text()]


async def test_a_stamp_too_far_ahead_is_refused_for_ever(database: Database, bus: Bus, user: uuid.UUID) -> None:
    ahead = op(stamp=Clock().tick(wall_ms() + 61_000))
    near = op(stamp=Clock().tick(wall_ms() + 30_000))
    assert await push(database, bus, user, ahead, near) == ["clock_skew", None]
    late = await feed.push(database, bus, user, "laptop", wire(ahead), now=wall_ms() + 3_600_000)
    assert [o.code for o in late] == ["clock_skew"]
    assert (await feed.pull(database, user, None)).ops == [near.text()]
    mine = Clock(near.stamp)
    async with writing(database, bus, user) as writer:
        made, _ = writer.seal(writer.begin("web", "add"), new_id(), {"content": "x"})
    assert made.stamp > near.stamp
    assert mine.node != made.stamp[-8:]


async def test_what_is_no_op_is_refused_and_stops_no_other(database: Database, bus: Bus, user: uuid.UUID) -> None:
    good = op()
    (altered,) = wire(op("as it was"))
    altered["set"]["content"] = "altered"  # type: ignore[index]
    bad = [altered, {"stamp": "x"}, *wire(op(privacy="local")), *wire(op(tags=["a", "a"])), *wire(good), {}]
    found = await feed.push(database, bus, user, "laptop", bad)
    assert [o.code for o in found] == ["bad_digest", "bad_op", "local", "bad_op", None, "bad_op"]
    assert (await feed.pull(database, user, None)).ops == [good.text()]
    newer = {**wire(op())[0], "v": 2}
    with pytest.raises(feed.UpgradeRequired) as told:
        await feed.push(database, bus, user, "laptop", [newer])
    assert told.value.status == 426
    with pytest.raises(TooLarge):
        await feed.push(database, bus, user, "laptop", [{}] * 501)


async def test_a_cursor_of_another_feed_is_invalid(database: Database, bus: Bus, user: uuid.UUID) -> None:
    await push(database, bus, user, op(), op())
    cursor = (await feed.pull(database, user, None)).cursor
    for wrong in ("2:0123456789abcdef", "3:" + cursor[2:], "999999999999999999:ab", "2:"):
        with pytest.raises(Conflict) as told:
            await feed.pull(database, user, wrong)
        assert told.value.code == "cursor_invalid"
    assert (await feed.pull(database, uuid.uuid4(), "0:")).cursor == "0:"


async def test_a_purge_blanks_every_op_of_the_id_past_and_future(
    database: Database, bus: Bus, user: uuid.UUID, owner_url: str
) -> None:
    secret = "xylophonquartz"
    id = new_id()
    first, late = op(secret, id), op(secret + " again", id)
    purge = Op(clock.tick(), id, {}, (), "cli", new_nonce(), purge=True).sealed()
    together = op(secret + " third", id)
    await push(database, bus, user, first, op("another"))
    assert await push(database, bus, user, together, purge) == [None, None]
    assert await push(database, bus, user, late) == [None]
    texts = [json.loads(text) for text in (await feed.pull(database, user, None)).ops]
    mine = {text["stamp"]: text for text in texts if text["id"] == id}
    assert all(not text["set"] and not text["nonce"] for text in mine.values())
    assert mine[first.stamp]["digest"] == first.digest
    conn = await asyncpg.connect(owner_url)
    for table in ("ops", "memories"):
        found = await conn.fetch(f"SELECT t::text AS text FROM jmem.{table} t WHERE user_id = $1", user)
        assert not any(secret in row["text"] for row in found)
    assert await conn.fetchval("SELECT purged FROM jmem.memories WHERE user_id = $1 AND id = $2", user, id)
    await conn.close()


async def test_two_connections_take_their_turns_on_the_head(database: Database, bus: Bus, user: uuid.UUID) -> None:
    batches = [[op(f"{n}.{k}") for k in range(7)] for n in range(8)]
    await asyncio.gather(*(push(database, bus, user, *batch, device=f"d{n}") for n, batch in enumerate(batches)))
    page = await feed.pull(database, user, None)
    stamps = [json.loads(text)["stamp"] for text in page.ops]
    assert sorted(stamps) == sorted(one.stamp for batch in batches for one in batch)
    chain = ""
    for stamp in stamps:
        chain = hashlib.sha256((chain + stamp).encode()).hexdigest()[:16]
    assert page.cursor == f"56:{chain}"
    for batch in batches:  # a batch is whole and in its order
        at = stamps.index(batch[0].stamp)
        assert stamps[at : at + 7] == [one.stamp for one in batch]


async def test_nobody_reads_past_a_write_that_is_not_committed(database: Database, bus: Bus, user: uuid.UUID) -> None:
    """With a sequence the second write could be seen before the first, whose reader would then skip it for ever."""
    first, second = op("first"), op("second")
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with writing(database, bus, user) as writer:
            await take(writer, await check_all([first]), device="a")
            entered.set()
            await leave.wait()

    one = asyncio.create_task(slow())
    await entered.wait()
    two = asyncio.create_task(push(database, bus, user, second, device="b"))
    done, _ = await asyncio.wait({two}, timeout=0.3)
    assert not done
    assert (await feed.pull(database, user, None)).ops == []
    leave.set()
    await asyncio.gather(one, two)
    assert [json.loads(t)["stamp"] for t in (await feed.pull(database, user, None)).ops] == [first.stamp, second.stamp]


async def test_a_write_that_fails_leaves_nothing(database: Database, bus: Bus, user: uuid.UUID) -> None:
    async def fails() -> None:
        async with writing(database, bus, user) as writer:
            await take(writer, await check_all([op()]), device="a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert await feed.newest(database, user) == 0


async def test_a_page_of_the_feed_is_bounded_in_bytes(database: Database, bus: Bus, user: uuid.UUID) -> None:
    for _ in range(2):
        await push(database, bus, user, *(op("x" * 60_000) for _ in range(40)))
    page = await feed.pull(database, user, None)
    assert page.more
    assert 60 < len(page.ops) < 75
    assert len((await feed.pull(database, user, page.cursor)).ops) == 80 - len(page.ops)


async def test_the_bus_tells_this_process_and_the_other_replicas(
    database: Database, database_url: str, user: uuid.UUID
) -> None:
    here, there = Bus(database_url), Bus(database_url)
    here.start()
    there.start()
    heard: list[tuple[uuid.UUID, int]] = []
    there.on_change(lambda who, seq: heard.append((who, seq)))
    await asyncio.wait_for(asyncio.gather(here.connected.wait(), there.connected.wait()), 10)
    with here.listening(user) as near, there.listening(user) as far, there.listening(uuid.uuid4()) as stranger:
        await push(database, here, user, op())
        assert near.changed.is_set()
        await asyncio.wait_for(far.changed.wait(), 10)
        assert (user, 1) in heard
        assert not stranger.changed.is_set()
    assert here.count() == 0
    await here.close()
    await there.close()
