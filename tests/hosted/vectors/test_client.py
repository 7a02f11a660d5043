"""Points of tenants: nothing without the tenant, nothing of another's."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from hosted.dev.qdrant import Store, in_process
from hosted.dev.qdrant.store import passing
from hosted.vectors.alias import Collections
from hosted.vectors.client import Entry, Vectors, VectorsUnavailable, conditions, connect, point_id
from jmem.core.filter import Filter
from jmem.core.model import new_id
from tests.hosted.vectors.conftest import Words

NOW = "2026-05-01T00:00:00.000Z"
ANN, BOB = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def place(collections: Collections, source: Words) -> str:
    return collections.of(source.model)


@pytest.fixture
def vectors(client: AsyncQdrantClient) -> Vectors:
    return Vectors(client)


def entry(source: Words, text: str, /, **fields: Any) -> Entry:
    given = {
        "id": new_id(),
        "model": "m",
        "at": "2026-01-02T00:00:00.000Z",
        "state": "active",
        "client": "cli",
        **fields,
    }
    return Entry(**given, vector=source.vector(text).tolist())


async def found(
    vectors: Vectors, place: str, source: Words, user: uuid.UUID, filter: Filter | None = None
) -> list[str]:
    answer = await vectors.search(user, place, source.vector("coffee").tolist(), filter or Filter(), NOW, 50)
    return [id for id, _ in answer.nearest]


async def test_a_tenant_finds_its_own_points_only(vectors: Vectors, place: str, source: Words) -> None:
    mine, shared = entry(source, "black coffee"), entry(source, "coffee at noon")
    await vectors.upsert(ANN, place, [mine, shared])
    theirs = replace(shared, vector=source.vector("coffee coffee").tolist())
    await vectors.upsert(BOB, place, [theirs])  # the same memory id
    assert set(await found(vectors, place, source, ANN)) == {mine.id, shared.id}
    assert await found(vectors, place, source, BOB) == [shared.id]
    assert await vectors.ids(ANN, place) == {mine.id, shared.id}
    await vectors.delete(BOB, place, [mine.id, shared.id])
    assert await vectors.ids(BOB, place) == set()
    assert await vectors.ids(ANN, place) == {mine.id, shared.id}
    assert await vectors.count(ANN, place) == 2
    await vectors.delete_tenant(ANN, place)
    assert await vectors.count(ANN, place) == 0
    assert await vectors.ids(ANN, place) == set()


@pytest.mark.parametrize("nobody", [None, "", "x", uuid.UUID(int=0), "0199f3a1-c2d4-4b3e-9c1a-0123456789ab"])
async def test_without_a_tenant_nothing_is_asked(vectors: Vectors, place: str, source: Words, nobody: Any) -> None:
    one = entry(source, "coffee")
    for call in (
        vectors.upsert(nobody, place, [one]), vectors.describe(nobody, place, [one]), vectors.delete(nobody, place, ["x"]),
        vectors.delete_tenant(nobody, place), vectors.ids(nobody, place),
        vectors.search(nobody, place, list(one.vector or ()), Filter(), NOW, 5),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            await call
    with pytest.raises(TypeError):
        conditions(nobody, Filter(), NOW)


async def test_filters_hold_inside_the_index(vectors: Vectors, place: str, source: Words) -> None:
    both = entry(source, "coffee", tags=("work", "food"), client="claude", thread="t1", source="mail")
    food = entry(source, "coffee", tags=("food",), at="2025-01-01T00:00:00.000Z")
    archived = entry(source, "coffee", state="archived")
    waiting = entry(source, "coffee", state="review", client="claude")
    expired = entry(source, "coffee", expires_at="2026-04-01T00:00:00.000Z")
    await vectors.upsert(ANN, place, [both, food, archived, waiting, expired])

    async def passing(**filter: Any) -> set[str]:
        return set(await found(vectors, place, source, ANN, Filter(**filter)))

    assert await passing() == {both.id, food.id}
    assert await passing(tags=("work", "food")) == {both.id}
    assert await passing(visible=("work", "other")) == {both.id}
    assert await passing(visible=()) == set()
    assert await passing(clients=("claude",)) == {both.id}
    assert await passing(states=("archived",)) == {archived.id}
    assert await passing(states=("active", "archived")) == {both.id, food.id, archived.id}
    assert await passing(states=("review",), waiting_of="cursor") == set()
    assert await passing(states=("review",), waiting_of="claude") == {waiting.id}
    assert await passing(since="2026-01-01T00:00:00.000Z") == {both.id}
    assert await passing(until="2026-01-01T00:00:00.000Z") == {food.id}
    assert await passing(thread="t1") == await passing(source="mail") == {both.id}
    assert await passing(lapsed=True) == {expired.id}
    assert await passing(expired=True) == {both.id, food.id, expired.id}


async def test_what_changed_beside_the_text_keeps_the_vector(vectors: Vectors, place: str, source: Words) -> None:
    one, other = entry(source, "coffee", tags=("a",)), entry(source, "coffee", tags=("a",))
    await vectors.upsert(ANN, place, [one, other])
    await vectors.describe(ANN, place, [replace(one, tags=("b",), vector=None)])
    assert await found(vectors, place, source, ANN, Filter(tags=("b",))) == [one.id]
    assert await found(vectors, place, source, ANN, Filter(tags=("a",))) == [other.id]


async def test_scores_of_named_memories_come_with_the_nearest(vectors: Vectors, place: str, source: Words) -> None:
    near, far = entry(source, "coffee"), entry(source, "tax return")
    await vectors.upsert(ANN, place, [near, far])
    await vectors.upsert(BOB, place, [far])
    vector = source.vector("coffee").tolist()
    answer = await vectors.search(ANN, place, vector, Filter(), NOW, 1, [far.id, near.id, new_id()])
    assert [id for id, _ in answer.nearest] == [near.id]
    assert answer.scores[near.id] == pytest.approx(1, abs=1e-3)
    assert answer.scores.keys() == {near.id, far.id}
    assert answer.scores[far.id] < 0.5


async def test_the_double_refuses_what_has_no_tenant(store: Store, source: Words) -> None:
    client = in_process(store)
    collections = Collections(Vectors(client), "refusing")
    await collections.create(source.model)
    name, vector = collections.of(source.model), source.vector("x").tolist()
    tagged = models.Filter(must=[models.FieldCondition(key="tags", match=models.MatchValue(value="a"))])
    tenant = models.FieldCondition(key="user_id", match=models.MatchValue(value=str(ANN)))
    either = models.Filter(should=[tenant])
    for filter in (None, tagged, either):
        for call in (
            client.query_points(name, query=vector, query_filter=filter), client.scroll(name, scroll_filter=filter),
            client.count(name, count_filter=filter),
            client.delete(name, models.FilterSelector(filter=filter or models.Filter())),
        ):  # fmt: skip
            with pytest.raises(Exception, match="tenant"):
                await call
    with pytest.raises(Exception, match="tenant"):
        await client.delete(name, [point_id(ANN, "x")])
    with pytest.raises(Exception, match="tenant"):
        await client.upsert(name, [models.PointStruct(id=str(uuid.uuid4()), vector=vector, payload={"tags": ["a"]})])
    unindexed = models.Filter(must=[tenant, models.FieldCondition(key="city", match=models.MatchValue(value="a"))])
    with pytest.raises(Exception, match=r"Index required.*city"):
        await client.query_points(name, query=vector, query_filter=unindexed)
    await client.query_points(name, query=vector, query_filter=models.Filter(must=[tenant]))  # and this is well
    await client.close()


async def test_what_is_not_there_is_told_from_what_fails(vectors: Vectors, source: Words) -> None:
    with pytest.raises(VectorsUnavailable) as missing:
        await vectors.ids(ANN, "no-such-collection")
    assert missing.value.missing
    nowhere = Vectors(connect("http://127.0.0.1:9"))
    with pytest.raises(VectorsUnavailable) as down:
        await nowhere.ids(ANN, "any")
    assert not down.value.missing
    await nowhere.close()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Vectors]:
    """What answers every request with the same bytes, in the place of Qdrant."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    vectors = Vectors(connect(f"http://127.0.0.1:{port}", port))
    async with server:
        yield vectors
    await vectors.close()


PORTAL, NOTHING, EMPTY, LATER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>",
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 36\r\nconnection: close\r\n\r\n'
    b'{"result":[],"status":"ok","time":0}',
    b"HTTP/1.1 429 Slow\r\nretry-after: Mon, 01 Jan 2029 00:00:00 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
)  # fmt: skip


@pytest.mark.parametrize("answer", [PORTAL, NOTHING, EMPTY, LATER], ids=["portal", "nothing", "empty", "later"])
async def test_what_answers_in_the_place_of_qdrant_is_no_index(answer: bytes) -> None:
    one = Entry(new_id(), "m", NOW, "active", "cli", vector=[1.0])
    async with answering(answer) as vectors:
        for call in (
            vectors.search(ANN, "c", [1.0], Filter(), NOW, 5), vectors.near(ANN, "c", [one.id], Filter(), NOW, 5),
            vectors.upsert(ANN, "c", [one]), vectors.ids(ANN, "c"), vectors.count(ANN, "c"), vectors.delete_tenant(ANN, "c"),
            Collections(vectors, "c").serving(),
        ):  # fmt: skip
            with pytest.raises(VectorsUnavailable) as refused:
                await call
            assert not refused.value.missing


async def test_the_double_looks_through_points_once_for_one_filter_and_holds_up_nobody(
    source: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, asked, gone_on = in_process(Store()), list[int](), threading.Event()
    vectors = Vectors(client)
    collections = Collections(vectors, "held_test")
    await collections.create(source.model)
    place = collections.of(source.model)
    entries = [entry(source, f"tea and word{n}") for n in range(40)]
    await vectors.upsert(ANN, place, entries)

    def slow(points: Any, filter: Any) -> Any:
        asked.append(len(points))
        assert gone_on.wait(10), "the event loop waits for the double"
        return passing(points, filter)

    monkeypatch.setattr("hosted.dev.qdrant.app.passing", slow)
    near = asyncio.create_task(vectors.near(ANN, place, [one.id for one in entries[:32]], Filter(), NOW, 3))
    while not asked:
        await asyncio.sleep(0.001)
    gone_on.set()
    assert {len(found) for found in (await near).values()} == {3}
    assert asked == [40, 40]  # for the vectors of those that are asked for, and for all of their searches
    await client.close()
