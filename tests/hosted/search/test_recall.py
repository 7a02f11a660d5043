"""That both legs are sound together: notes of an invented person, asked in other words, by the bundled embedder."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hosted.db.engine import Database
from hosted.dev.qdrant import Store, in_process
from hosted.memories.search import Searcher
from hosted.vectors.alias import VectorIndex
from hosted.vectors.client import Vectors
from hosted.vectors.embed import LocalSource
from jmem.core.actor import Actor
from jmem.core.model import new_id
from jmem.core.query import SearchQuery
from tests.hosted.vectors.conftest import Account

NOTES = Path(__file__).parents[3] / "bench" / "data" / "notes.json"


@pytest.fixture
async def index(database: Database) -> AsyncIterator[VectorIndex]:
    made = VectorIndex(database, Vectors(in_process(Store())), "recall", LocalSource(), lambda model: None)
    yield made
    await made.close()


async def test_notes_are_found_as_on_a_device(database: Database, index: VectorIndex) -> None:
    notes: dict[str, Any] = json.loads(NOTES.read_text())["conversations"][0]
    account = Account(database, uuid.uuid4())
    ids = {memory["id"]: new_id() for memory in notes["memories"]}
    await account.push(
        *(
            account.op(ids[memory["id"]], **{n: v for n, v in memory.items() if n != "id"})
            for memory in notes["memories"]
        )
    )
    await index.step()
    async with asyncio.timeout(60):
        while not await index.drains[index.wanted.collection].drain(account.user):
            await asyncio.sleep(0.05)
    searcher = Searcher(database, index)
    recall: dict[str, float] = {}
    sure: dict[bool, list[bool]] = {True: [], False: []}
    for mode in ("hybrid", "text", "vector"):
        shares = []
        for question in notes["questions"]:
            found = await searcher.search(account.user, SearchQuery(question["question"], 5, mode=mode), Actor("cli"))
            assert found.degraded is None
            gold = {ids[id] for id in question["gold"]}
            if mode == "hybrid":
                sure[bool(gold)].append(found.confident)
            if gold:
                shares.append(len(gold & {hit.memory.id for hit in found.hits}) / len(gold))
        recall[mode] = sum(shares) / len(shares)
    assert recall["hybrid"] > 0.9
    assert recall["hybrid"] >= max(recall["text"], recall["vector"]) - 0.02
    assert recall["text"] > 0.5
    assert sum(sure[True]) / len(sure[True]) > 0.7
    assert sum(sure[False]) / len(sure[False]) < 0.3
