"""An account with a vector index over the double."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hosted.db.engine import Database
from hosted.dev.qdrant import Store, in_process
from hosted.memories.search import Searcher
from hosted.memories.service import Backend, Memories
from hosted.ops.events import Bus
from hosted.vectors.alias import VectorIndex
from hosted.vectors.client import Vectors
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.filter import Filter
from jmem.core.query import Hit, SearchOutcome, SearchQuery
from tests.hosted.vectors.conftest import Account, Words

OWNER = Actor("cli")


@dataclass
class Place:
    """Everything a search stands on. `drained` says whether writes reach the index before a search."""

    database: Database
    store: Store
    source: Words
    index: VectorIndex
    user: uuid.UUID = field(default_factory=uuid.uuid4)
    drained: bool = True

    @property
    def searcher(self) -> Searcher:
        return Searcher(self.database, self.index)

    @property
    def memories(self) -> Memories:
        return Backend(self.database, Bus(), searcher=self.searcher).of(self.user)

    def account(self) -> Account:
        return Account(self.database, self.user)

    async def add(self, content: str, **fields: Any) -> str:
        added = await self.memories.add(Draft(content, **fields), OWNER, similar=False)
        return added.memory.id

    async def drain(self) -> None:
        await self.index.step()
        for drain in self.index.drains.values():
            async with asyncio.timeout(15):  # its own workers may be at it, or in a pause after a failure
                while not await drain.drain(self.user):
                    await asyncio.sleep(0.05)

    async def ask(self, query: str, actor: Actor = OWNER, **fields: Any) -> SearchOutcome:
        if self.drained:
            await self.drain()
        asked = {name: fields.pop(name) for name in ("limit", "mode", "fold", "explain") if name in fields}
        return await self.memories.search(SearchQuery(query, filter=replace(Filter(), **fields), **asked), actor)

    async def hits(self, query: str, actor: Actor = OWNER, **fields: Any) -> list[Hit]:
        return (await self.ask(query, actor, **fields)).hits

    async def ids(self, query: str, actor: Actor = OWNER, **fields: Any) -> list[str]:
        return [hit.memory.id for hit in await self.hits(query, actor, **fields)]


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    store, source = Store(), Words(f"w{uuid.uuid4().hex[:8]}", 256, "words")
    index = VectorIndex(database, Vectors(in_process(store)), "search_test", source, lambda model: None)
    yield Place(database, store, source, index)
    await index.close()
