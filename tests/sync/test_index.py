"""I8 of the vector index: after the drain it has the live memories and no other, each as its text is now, whatever came."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jmem.core.index import VectorIndex
from jmem.core.indexer import Indexer
from jmem.core.vectors import VectorStore
from tests.core.conftest import WordEmbedder
from tests.sync.world import Replica, Tables, Time, World

HOUR = 3_600_000


@pytest.fixture(scope="module")
def tables(owner_url: str) -> Iterator[Tables]:
    made = Tables(owner_url)
    yield made
    made.close()


@pytest.fixture
def world(account_url: str, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    time = Time()
    time.install(monkeypatch)
    made = World(account_url, tables, tmp_path / uuid.uuid4().hex, time)
    yield made
    made.close()


class Indexed:
    """A device's vector index, kept by the real indexer."""

    def __init__(self, at: Replica) -> None:
        self.at, self.embedder = at, WordEmbedder(dimension=512)
        self.vectors = VectorStore(at.folder)
        self.index = VectorIndex(at.folder / "index", at.user.store.store_id)
        self.indexer = Indexer(at.user.store, self.vectors, self.index, self.embedder)
        self.indexer.start()

    def check(self) -> None:
        """After the drain: a point for each live memory, whose vector is that of its text, and none beside."""
        assert self.indexer.wait_idle(30)
        live = dict(self.at.query("SELECT id, content FROM memories WHERE NOT deleted"))
        assert self.index.points() == len(live), "I8: the index has other memories than the device"
        for id, content in live.items():
            score = self.index.scores(self.embedder.embed([content])[0], [id]).get(id, 0.0)
            assert score > 0.99, f"I8: the index has {id} with another text"

    def close(self) -> None:
        self.indexer.stop()
        self.index.close()
        self.vectors.close()


@pytest.mark.parametrize("kind", ["edit", "delete", "restore", "purge", "stamp"])
def test_what_another_device_did_is_in_the_index(world: World, kind: str):
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    id, _ = world.add(a), world.add(a)
    a.exchange()
    b.exchange()
    with closing(Indexed(a)) as here, closing(Indexed(b)) as there:

        def come() -> None:
            a.exchange()
            b.exchange()
            here.check()
            there.check()

        come()
        if kind == "edit":
            world.rewrite(a, id)
        elif kind == "stamp":
            a.jump(HOUR)
            world.rewrite(a, id)
        elif kind == "purge":
            world.purge(a, id)
        else:
            world.delete(a, id)
        come()
        if kind == "restore":
            world.restore(a, id)
            come()


def test_an_index_that_is_behind_is_seen(world: World):
    a = world.replica(world.account())
    id = world.add(a)
    with closing(Indexed(a)) as here:
        here.check()
        here.indexer.stop()
        here.indexer.wait_idle = lambda timeout: True  # type: ignore[method-assign]
        world.rewrite(a, id)
        with pytest.raises(AssertionError, match=r"I8: the index has .* with another text"):
            here.check()
        world.delete(a, id)
        with pytest.raises(AssertionError, match="I8: the index has other memories"):
            here.check()
