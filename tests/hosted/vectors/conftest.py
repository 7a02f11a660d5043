"""A vector index over the double, in this process and over a socket, and over a real Qdrant where there is one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient

from hosted.db.engine import Database
from hosted.dev.qdrant import Store, in_process, make_app
from hosted.ops import feed
from hosted.ops.events import Bus
from hosted.vectors.alias import Collections
from hosted.vectors.client import Vectors, connect
from hosted.vectors.drain import Drain, Target
from hosted.vectors.embed import Embeddings, Model
from jmem.core.clock import Clock
from jmem.core.embed import EmbedderUnavailable
from jmem.core.model import Op

Vector = NDArray[np.float32]
KEY = "the key of the double"
PLACES = ["in process", "http", *(["real"] if os.environ.get("QDRANT_HOST") else [])]


class Words:
    """An embedder of its own: texts are near each other by the words that they share. `broken` makes it fail."""

    remote = True

    def __init__(self, name: str = "words", dimension: int = 64, salt: str | None = None) -> None:
        self.model, self.salt = Model("test", name, dimension), salt or name
        self.broken = False
        self.asked: list[list[str]] = []

    async def ask(self, texts: Sequence[str], *, query: bool) -> Sequence[Vector]:
        self.asked.append(list(texts))
        await asyncio.sleep(0)
        if self.broken:
            raise EmbedderUnavailable("the embedder failed: it was told to")
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> Vector:
        vector = np.full(self.model.dimension, 0.01, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            place = int.from_bytes(hashlib.sha256((self.salt + word).encode()).digest()[:4], "big")
            vector[place % self.model.dimension] += 1
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Account:
    """Writes ops into an account as its devices do."""

    database: Database
    user: uuid.UUID
    clock: Clock = field(default_factory=Clock)

    def op(self, id: str, **fields: object) -> Op:
        fields = {"client": "cli", **fields} if "content" in fields else fields
        return Op(self.clock.tick(), id, fields, client="cli", nonce=uuid.uuid4().hex).sealed()

    async def push(self, *ops: Op) -> None:
        raw = [{**op.body(), "digest": op.digest} for op in ops]
        codes = {outcome.code for outcome in await feed.push(self.database, Bus(), self.user, "d", raw)}
        assert codes <= {None}, codes

    async def set(self, id: str, **fields: object) -> str:
        await self.push(self.op(id, **fields))
        return id

    async def purge(self, id: str) -> None:
        await self.push(Op(self.clock.tick(), id, {}, client="cli", nonce="n", purge=True).sealed())


@pytest.fixture
def account(database: Database, user: uuid.UUID) -> Account:
    return Account(database, user)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def source() -> Words:
    return Words()


@pytest.fixture(params=PLACES)
async def client(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[AsyncQdrantClient]:
    if request.param == "in process":
        made = in_process(store)
        yield made
    elif request.param == "http":
        server = uvicorn.Server(uvicorn.Config(make_app(store, KEY), port=0, log_level="warning", lifespan="off"))
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        made = connect(f"http://127.0.0.1:{port}", headers={"api-key": KEY})
        yield made
        server.should_exit = True
        await task
    else:
        made = connect(
            os.environ["QDRANT_HOST"], int(os.environ.get("QDRANT_PORT", "6333")), os.environ.get("QDRANT_API_KEY", "")
        )
        yield made
    await made.close()


@pytest.fixture
async def collections(client: AsyncQdrantClient, source: Words) -> AsyncIterator[Collections]:
    """A name of its own, with the collection of the embedder; nothing is left of it."""
    made = Collections(Vectors(client), f"jmem_test_{uuid.uuid4().hex[:12]}")
    await made.create(source.model)
    yield made
    for each in await made.all():
        await made.drop(each)


@pytest.fixture
def target(collections: Collections, source: Words) -> Target:
    return Target(collections.of(source.model), Embeddings(source))


@pytest.fixture
async def drain(database: Database, client: AsyncQdrantClient, target: Target) -> AsyncIterator[Drain]:
    """Not started: tests drain when they want to."""
    made = Drain(database, Vectors(client), target)
    yield made
    await made.close()
