"""A new embedding model: filled beside the old one, which answers until it is switched, and then is dropped."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hosted.db.engine import Database, driver_dsn
from hosted.dev.qdrant import Store, in_process
from hosted.dev.qdrant.errors import QdrantError
from hosted.memories.search import Searcher
from hosted.ops.events import Bus
from hosted.vectors.alias import VectorIndex
from hosted.vectors.client import Vectors
from hosted.vectors.embed import Model, Source
from jmem.core.actor import Actor
from jmem.core.errors import Conflict
from jmem.core.model import new_id
from jmem.core.query import SearchQuery
from tests.hosted.vectors.conftest import Account, Words

NAME = "jonathans_memory_main"
OWNER = Actor("cli")


@asynccontextmanager
async def replica(database: Database, store: Store, source: Words, *others: Words) -> AsyncIterator[VectorIndex]:
    """A replica whose settings name `source`, and which can make the vectors of `others`."""

    def other(model: Model) -> Source | None:
        return next((each for each in others if each.model == model), None)

    index = VectorIndex(database, Vectors(in_process(store)), NAME, source, other, poll=0.05)
    try:
        yield index
    finally:
        await index.close()


async def until(store: Store, source: Words, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not str(store.aliases.get(NAME)).endswith(source.model.suffix):
            await asyncio.sleep(0.02)


@pytest.fixture
def old() -> Words:
    return Words(f"old-{uuid.uuid4().hex[:6]}", 64)


@pytest.fixture
def new() -> Words:
    return Words(f"new-{uuid.uuid4().hex[:6]}", 64)  # of the same dimension: mixing them would not be noticed by Qdrant


async def ask(database: Database, index: VectorIndex, user: uuid.UUID) -> tuple[str, list[float]]:
    """The mode of an answer, and the cosine of what it found: 1 by the vectors of the model that asked, only."""
    query = SearchQuery("black coffee", explain=True)
    outcome = await Searcher(database, index).search(user, query, OWNER)
    return outcome.mode, [(hit.explain or {})["vector"]["score"] for hit in outcome.hits]


async def test_a_new_model_is_filled_switched_to_and_the_old_one_dropped(
    database: Database, account: Account, store: Store, old: Words, new: Words
) -> None:
    await account.push(*(account.op(new_id(), content="black coffee") for _ in range(3)))
    async with replica(database, store, old) as first:
        first.start()
        await until(store, old)
        await drained(first)
        assert await ask(database, first, account.user) == ("hybrid", [1.0])  # equal texts are folded
        assert list(store.collections) == [first.wanted.collection]
        new.broken = True
        async with replica(database, store, new, old) as second:
            second.start()
            async with asyncio.timeout(10):
                while second.serving is None or not new.asked:
                    await asyncio.sleep(0.02)
            # while the new one can't be filled, both replicas answer by the old one, and it is kept up to date
            assert await ask(database, second, account.user) == ("hybrid", [1.0])
            await account.set(new_id(), content="black coffee again")
            second.hear(account.user)
            await drained(first)
            mode, scores = await ask(database, second, account.user)
            assert mode == "hybrid"
            assert None not in scores
            assert len(store.collections) == 2
            new.broken = False
            await until(store, new, 30)
            await drained(second)
            async with asyncio.timeout(5):
                while len(store.collections) != 1:
                    await asyncio.sleep(0.02)
            mode, scores = await ask(database, second, account.user)
            assert mode == "hybrid"
            assert scores[0] == 1.0
            # the replica with the old settings can't make such vectors: it says so rather than mixing them
            async with asyncio.timeout(5):
                while first.serving is not None:
                    await asyncio.sleep(0.02)
            assert (await ask(database, first, account.user))[0] == "text"
            assert len(store.collections) == 1
            async with database.tenant(account.user) as conn:
                models = (await conn.exec_driver_sql("SELECT DISTINCT model FROM jmem.index_state")).scalars().all()
            assert models == [new.model.key]


async def drained(index: VectorIndex, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while (await index.depth()).changes:
            await asyncio.sleep(0.02)


async def test_a_lost_collection_is_made_and_filled_again(
    database: Database, account: Account, store: Store, old: Words
) -> None:
    await account.set(new_id(), content="black coffee")
    async with replica(database, store, old) as index:
        index.start()
        await until(store, old)
        await drained(index)
    store.collections.clear()
    store.aliases.clear()
    async with replica(database, store, old) as index:
        index.start()
        await until(store, old)
        await drained(index)
        assert await ask(database, index, account.user) == ("hybrid", [1.0])


async def test_two_replicas_that_start_at_once_make_one_index(database: Database, store: Store, old: Words) -> None:
    async with replica(database, store, old) as first, replica(database, store, old) as second:
        first.start()
        second.start()
        await until(store, old)
        async with asyncio.timeout(10):
            while not (first.serving and second.serving):
                await asyncio.sleep(0.02)
        assert first.serving.collection == second.serving.collection
        assert len(store.collections) == 1


async def test_qdrant_may_come_later(database: Database, account: Account, store: Store, old: Words) -> None:
    class Down(Store):
        down = True

        def get(self, name: str):  # type: ignore[no-untyped-def]
            if self.down:
                raise QdrantError(503, "down")
            return super().get(name)

    down = Down()
    async with replica(database, down, old) as index:
        index.start()
        await account.set(new_id(), content="black coffee")
        assert (await ask(database, index, account.user))[0] == "text"
        down.down = False
        index.moved()
        await until(down, old)
        await drained(index)
        async with asyncio.timeout(10):
            while (await ask(database, index, account.user))[0] != "hybrid":
                await asyncio.sleep(0.05)


async def test_a_collection_that_is_not_ours_is_left_alone(database: Database, store: Store, old: Words) -> None:
    store.create(NAME, {"vectors": {"size": 4, "distance": "Cosine"}})
    async with replica(database, store, old) as index:
        with pytest.raises(Conflict, match="did not make"):
            await index.step()
    assert NAME in store.collections


@pytest.mark.parametrize("by_sync", [False, True])
async def test_a_purge_empties_what_every_replica_remembers(
    database: Database, database_url: str, user: uuid.UUID, old: Words, by_sync: bool
) -> None:
    store, account = Store(), Account(database, user)
    async with replica(database, store, old) as here, replica(database, store, old) as there:
        buses = [Bus(driver_dsn(database_url)) for _ in range(2)]
        for index, bus in zip((here, there), buses, strict=True):
            index.join(bus)
            bus.start()
            await bus.connected.wait()
        if by_sync:  # else the memory is still there, and would be remembered anew
            here.start()
        id = await account.set(new_id(), content="the pin is 4711")
        for index in (here, there):
            await index.wanted.embeddings.texts(user, ["the pin is 4711"])
            assert remembers(index, user, "the pin is 4711")
        if by_sync:
            await account.purge(id)
            buses[1].notify(user, 2)
        else:
            await there.purge(user, [id])
        async with asyncio.timeout(10):
            for index in (here, there):
                while remembers(index, user, "the pin is 4711"):
                    await asyncio.sleep(0.05)
        for bus in buses:
            await bus.close()


def remembers(index: VectorIndex, user: uuid.UUID, text: str) -> bool:
    key = (user.hex, hashlib.sha256(text.encode()).hexdigest())
    return index.wanted.embeddings._known.get(key) is not None
