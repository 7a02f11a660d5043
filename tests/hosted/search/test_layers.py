"""Two layers keep accounts apart, and either alone holds: row-level security, and the filter in every query."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from hosted.db.engine import Database
from hosted.memories.search import Searcher
from hosted.vectors.client import Found, Vectors
from jmem.core.model import new_id
from jmem.core.query import SearchQuery
from tests.hosted.search.conftest import OWNER, Place


async def contents(searcher: Searcher, user: uuid.UUID, mode: str) -> list[str]:
    found = await searcher.search(user, SearchQuery("secret recipe", mode=mode), OWNER)
    return [hit.memory.content for hit in found.hits]


@pytest.fixture
async def two(place: Place) -> tuple[uuid.UUID, uuid.UUID]:
    """Two accounts; the second is the place's."""
    mine = place.user
    await place.account().push(*(place.account().op(new_id(), content=f"Ann's secret recipe {n}") for n in range(3)))
    await place.drain()
    place.user = uuid.uuid4()
    await place.account().set(new_id(), content="Bob's secret recipe")
    await place.drain()
    return mine, place.user


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
async def test_without_row_level_security(
    place: Place, two: tuple[uuid.UUID, uuid.UUID], owner_url: str, mode: str
) -> None:
    """As the superuser, whom no policy binds."""
    unbound = Database(owner_url, pool_size=1)
    searcher = Searcher(unbound, place.index)
    assert await contents(searcher, two[1], mode) == ["Bob's secret recipe"]
    assert len(await contents(searcher, two[0], mode)) == 3
    await unbound.close()


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
async def test_with_an_index_that_tells_of_everybody(
    place: Place, two: tuple[uuid.UUID, uuid.UUID], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [id for user in two for id in await place.index.vectors.ids(user, place.index.wanted.collection)]
    assert len(every) == 4

    async def search(self: Vectors, *args: Any) -> Found:
        return Found([(id, 1.0) for id in every], {})

    monkeypatch.setattr(Vectors, "search", search)
    assert await contents(place.searcher, two[1], mode) == ["Bob's secret recipe"]
    assert len(await contents(place.searcher, two[0], mode)) == 3
