"""An account leaves every collection, and nobody else's points go with it."""

from __future__ import annotations

import uuid

import pytest
from qdrant_client import AsyncQdrantClient

from hosted.vectors.alias import Collections
from hosted.vectors.client import Entry, Vectors
from hosted.vectors.drain import Forget
from hosted.vectors.embed import Model
from hosted.vectors.forget import NoIndex, TenantIndex
from tests.hosted.vectors.conftest import Words


def entries(model: Model, count: int) -> list[Entry]:
    vector = [1.0] + [0.0] * (model.dimension - 1)
    return [
        Entry(f"m-{n}", model.suffix, "2026-11-22T20:13:05.123Z", "active", "cli", vector=vector) for n in range(count)
    ]


def noting(forgotten: list[None]) -> Forget:
    async def forget() -> None:
        forgotten.append(None)

    return forget


async def test_an_account_leaves_every_collection(
    client: AsyncQdrantClient, collections: Collections, source: Words
) -> None:
    vectors, user, other = Vectors(client), uuid.uuid4(), uuid.uuid4()
    forgotten = []
    index, newer = TenantIndex(vectors, collections, noting(forgotten)), Words("newer").model
    await collections.create(newer)
    for model in (source.model, newer):
        for owner in (user, other):
            await vectors.upsert(owner, collections.of(model), entries(model, 3))
    assert [await index.count_user(owner) for owner in (user, other)] == [6, 6]
    for times in (1, 2):
        await index.forget_user(user)
        assert len(forgotten) == times
        assert [await index.count_user(owner) for owner in (user, other)] == [0, 6]
    await collections.drop(collections.of(newer))
    assert await index.count_user(other) == 3


@pytest.mark.parametrize("wrong", [None, "", "*", "0199f3a1-c2d4-4b3e-9c1a-0123456789ab"])
async def test_nothing_but_an_id_names_an_account(
    client: AsyncQdrantClient, collections: Collections, wrong: object
) -> None:
    index = TenantIndex(Vectors(client), collections, noting([]))
    with pytest.raises(TypeError):
        await index.forget_user(wrong)  # type: ignore[arg-type]


async def test_without_an_index_there_is_nothing_to_forget() -> None:
    await NoIndex().forget_user(uuid.uuid4())
    assert await NoIndex().count_user(uuid.uuid4()) == 0
