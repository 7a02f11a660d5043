"""What an add names as resembling, and what a purge takes out of the vector index at once."""

from __future__ import annotations

from hosted.dev.qdrant.errors import QdrantError
from hosted.memories.service import Backend, Memories
from hosted.memories.similar import similar
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from tests.hosted.search.conftest import OWNER, Place


def memories(place: Place) -> Memories:
    return Backend(place.database, Bus(), similar, (place.index.purge,), searcher=place.searcher).of(place.user)


async def test_an_add_names_what_it_resembles(place: Place) -> None:
    near = await place.add("Biscuit the tabby cat was adopted in June")
    await place.add("The dentist is on Monday")
    hidden = await place.add("Biscuit the tabby cat was adopted in July", tags=("private",))
    added = await memories(place).add(Draft("Biscuit the tabby cat was adopted in August"), OWNER)
    assert {n.id for n in added.similar} == {near, hidden}
    assert added.similar[0].score > 0.8
    scoped = Actor("claude", tags=("work",), owner=False)
    told = await memories(place).add(Draft("Biscuit the tabby cat was adopted in April", tags=("work",)), scoped)
    assert told.similar == ()


async def test_among_many_the_frequent_words_tell_nothing(place: Place) -> None:
    for n in range(40):
        await place.add(f"note number {n} about weekly shopping")
    added = await memories(place).add(Draft("another about something"), OWNER)
    assert added.similar == ()


async def test_a_purge_reaches_the_index_at_once_or_says_that_it_will(place: Place) -> None:
    first, second = await place.add("forget this"), await place.add("and this")
    await place.drain()
    collection = place.index.wanted.collection
    (done,) = await memories(place).purge(first, OWNER)
    assert [r.result for r in done.receipt if r.place == "vector index"] == ["erased"]
    assert await place.index.vectors.ids(place.user, collection) == {second}

    def down(kind: str) -> None:
        raise QdrantError(503, "down")

    place.store.before = down
    (late,) = await memories(place).purge(second, OWNER)
    assert [r.result for r in late.receipt if r.place == "vector index"] == [
        "to be done: the vector index answered 503"
    ]
    place.store.before = lambda kind: None
    await place.drain()
    assert await place.index.vectors.ids(place.user, collection) == set()
