from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jmem.core.access import AccessLog
from jmem.core.drafts import Added, Draft
from jmem.core.embed import EmbedderUnavailable, QueryGate
from jmem.core.embed.bundled import BundledEmbedder
from jmem.core.filter import Filter
from jmem.core.index import VectorIndex
from jmem.core.indexer import Indexer
from jmem.core.query import SearchQuery
from jmem.core.search import Searcher
from jmem.core.service import Actor, MemoryService
from jmem.core.store import Store
from jmem.core.vectors import VectorStore


@dataclass
class User:
    """One user's memory over real files, as the daemon puts it together."""

    folder: Path
    store: Store
    access: AccessLog
    service: MemoryService

    def close(self) -> None:
        self.access.close()
        self.store.close()

    def rows(self) -> list[tuple[object, ...]]:
        """Every row without its rowid, by id."""
        with self.store.reader() as conn:
            names = [r[1] for r in conn.execute("PRAGMA table_info(memories)") if r[1] != "rowid"]
            return conn.execute(f"SELECT {', '.join(names)} FROM memories ORDER BY id").fetchall()

    def context(self, id: str) -> str | None:
        """The context column of a memory; None when it is not in the full-text index."""
        with self.store.reader() as conn:
            row = conn.execute(
                "SELECT f.context FROM memory_fts f JOIN memories m ON m.rowid = f.rowid WHERE m.id = ?", (id,)
            ).fetchone()
        return None if row is None else str(row[0])

    def texts(self, words: str) -> list[str]:
        """ids of the memories whose full-text row matches."""
        with self.store.reader() as conn:
            return [
                id
                for (id,) in conn.execute(
                    "SELECT m.id FROM memory_fts f JOIN memories m ON m.rowid = f.rowid"
                    " WHERE memory_fts MATCH ? ORDER BY m.id",
                    (words,),
                )
            ]


def open_user(folder: Path) -> User:
    store = Store.open(folder)
    access = AccessLog(folder)
    return User(folder, store, access, MemoryService(store, access))


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    user = open_user(tmp_path / "user")
    yield user
    user.close()


@pytest.fixture
def service(user: User) -> MemoryService:
    return user.service


@pytest.fixture
def me() -> Actor:
    return Actor("cli")


# ---- recall -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def model() -> BundledEmbedder:
    """The bundled model, loaded once."""
    embedder = BundledEmbedder()
    embedder.load()
    return embedder


class WordEmbedder:
    """A small local embedder: a bag of hashed words. `broken` makes it unavailable, `texts` are what it was given."""

    name = "words"
    loaded = True
    last_used = 0.0

    def __init__(self, dimension: int = 64, remote: bool = False) -> None:
        self.dimension = dimension
        self.remote = remote
        self.gate = QueryGate()
        self.broken = False
        self.texts: list[str] = []

    @property
    def fingerprint(self) -> str:
        return f"words/{self.dimension}"

    def load(self) -> None:
        if self.broken:
            raise EmbedderUnavailable("the embedder is away")

    def unload(self) -> None:
        pass

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        self.load()
        self.texts += texts
        out = np.full((len(texts), self.dimension), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                out[row, zlib.crc32(word.encode()) % self.dimension] += 1
        return out / np.linalg.norm(out, axis=1, keepdims=True)


@dataclass
class Recall(User):
    """One user's memory with its index and search, as the daemon puts it together."""

    vectors: VectorStore
    index: VectorIndex
    indexer: Indexer
    searcher: Searcher
    embedder: Any

    def close(self) -> None:
        self.indexer.stop()
        self.searcher.close()
        self.index.close()
        self.vectors.close()
        super().close()

    def add(self, *contents: str, **fields: Any) -> list[str]:
        """Store texts and wait until the index has them; their ids."""
        added = self.service.add_many([Draft(content=content, **fields) for content in contents], Actor("cli"))
        assert self.indexer.wait_idle(30)
        return [result.memory.id for result in added if isinstance(result, Added)]

    def find(self, query: str, **options: Any) -> list[str]:
        """Contents of the hits, best first."""
        filter = Filter(**{k: options.pop(k) for k in list(options) if k in Filter.__dataclass_fields__})
        return [hit.memory.content for hit in self.searcher.search(SearchQuery(query, filter=filter, **options)).hits]


@pytest.fixture
def open_recall(tmp_path: Path) -> Iterator[Callable[..., Recall]]:
    """Opens the same user's memory with an embedder; closes what is still open at the end."""
    opened: list[Recall] = []

    def open(embedder: Any = None, **options: Any) -> Recall:
        folder = tmp_path / "user"
        embedder = embedder or WordEmbedder()
        store = Store.open(folder)
        access, vectors = AccessLog(folder), VectorStore(folder)
        index = VectorIndex(folder / "index", store.store_id)
        indexer = Indexer(store, vectors, index, embedder, **options)
        searcher = Searcher(store, index, vectors, embedder)
        service = MemoryService(store, access, searcher, purge_hooks=(indexer.forget, searcher.forget))
        recall = Recall(folder, store, access, service, vectors, index, indexer, searcher, embedder)
        indexer.start()
        opened.append(recall)
        return recall

    yield open
    for recall in opened:
        recall.close()


@pytest.fixture
def recall(open_recall: Callable[..., Recall]) -> Recall:
    return open_recall()


@pytest.fixture
def word_embedder() -> type[WordEmbedder]:
    return WordEmbedder
