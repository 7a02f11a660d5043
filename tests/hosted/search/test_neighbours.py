"""Memories that say nearly the same: found by meaning or by words, merged, or noted as distinct."""

from __future__ import annotations

import pytest

from hosted.memories import neighbours
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.errors import Conflict, Invalid, NotFound, Refused
from jmem.core.pairs import Pair
from tests.hosted.search.conftest import OWNER, Place

ALIKE = "The harbour office opens at nine in the morning on weekdays"


async def all_pairs(place: Place, *, words: bool = False, limit: int = 50, least: float = 0.8) -> list[Pair]:
    index = None if words else place.index
    memories = Backend(place.database, Bus(), index=index).of(place.user)
    pairs: list[Pair] = []
    cursor = None
    while True:
        found = await memories.duplicates(OWNER, limit=limit, least=least, cursor=cursor)
        pairs += found.pairs
        cursor = found.next_cursor
        if cursor is None:
            assert found.scanned == found.total
            return pairs


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("limit", [50, 1])
async def test_pairs_are_found_newest_first_in_steps(
    place: Place, words: bool, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    one = await place.add(ALIKE)
    await place.add("My sister Nora is allergic to walnuts")
    two = await place.add(ALIKE + " too", tags=("b",))
    await place.add("Postgres runs on port 5433")
    three = await place.add(ALIKE + " today")
    await place.drain()
    pairs = await all_pairs(place, words=words, limit=limit)
    assert {(pair.a.id, pair.b.id) for pair in pairs} == {(three, two), (three, one), (two, one)}
    assert {pair.by for pair in pairs} == {"words" if words else "meaning"}
    assert all(0.7 <= pair.score <= 1 and pair.same_words > 0.8 for pair in pairs)
    memories = Backend(place.database, Bus(), index=None if words else place.index).of(place.user)
    near = await memories.similar(one[-8:], OWNER, least=0.8)
    assert {pair.b.id for pair in near} == {two, three}
    scoped = await memories.similar(two, Actor("claude", tags=("b",), owner=False), least=0.8)
    assert scoped == []


async def test_what_is_distinct_is_no_pair_until_a_text_changes(place: Place) -> None:
    one, two = await place.add(ALIKE), await place.add(ALIKE + " too")
    await place.drain()
    assert await place.memories.set_distinct(one[-8:], two, OWNER) == (one, two)
    assert await all_pairs(place) == []
    assert await place.memories.similar(one, OWNER, least=0.8) == []
    await place.memories.set_distinct(two, one, OWNER, distinct=False)
    assert len(await all_pairs(place)) == 1
    await place.memories.set_distinct(one, two, OWNER)
    await place.memories.edit(two, {"content": ALIKE + " again"}, OWNER)
    await place.drain()
    assert len(await all_pairs(place)) == 1
    with pytest.raises(Invalid):
        await place.memories.set_distinct(one, one, OWNER)
    with pytest.raises(Refused):
        await place.memories.duplicates(Actor("claude", owner=False, tags=("a",)))


async def test_two_become_one_and_one_undo_takes_it_back(place: Place) -> None:
    one = await place.add("tea at nine", tags=("a",), metadata={"k": 1})
    two = await place.add("tea at 9", tags=("b",), metadata={"k": 2, "own": True})
    version = (await place.memories.get(two, OWNER)).version
    with pytest.raises(Conflict):
        await place.memories.merge(one, two, OWNER, expected_other="0")
    merged = await place.memories.merge(one, two, OWNER, content="tea at 09:00", expected_other=version)
    memory = merged.memory
    assert (merged.deleted, memory.content, memory.tags, memory.metadata, memory.supersedes) == (
        two, "tea at 09:00", ("a", "b"), {"k": 1, "own": True}, two,
    )  # fmt: skip
    with pytest.raises(NotFound):
        await place.memories.get(two, OWNER)
    assert [done.kind for done in (await place.memories.undo(OWNER)).undone] == ["merge"]
    assert (await place.memories.get(one, OWNER)).content == "tea at nine"
    assert (await place.memories.get(two, OWNER)).content == "tea at 9"


async def test_another_account_is_never_in_a_pair(place: Place) -> None:
    one = await place.add(ALIKE)
    other = Place(place.database, place.store, place.source, place.index)
    theirs = await other.add(ALIKE)
    await place.drain()
    await other.drain()
    assert await all_pairs(place) == []
    assert await all_pairs(other) == []
    for call in (place.memories.merge(one, theirs, OWNER), place.memories.set_distinct(one, theirs, OWNER)):
        with pytest.raises(NotFound):
            await call
