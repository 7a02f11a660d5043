from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jmem.core.filter import Filter
from jmem.core.index import IndexDamaged, IndexPoint, VectorIndex, payload
from jmem.core.model import new_id
from jmem.core.shard import MARK, Mark

NOW = "2026-11-22T12:00:00.000Z"
EAST = np.array([1, 0, 0, 0], np.float32)


def point(vector: Any = EAST, **fields: Any) -> IndexPoint:
    values = {"tags": [], "client": "cli", "state": "active", "privacy": "synced", "at": "2026-01-01T00:00:00.000Z",
              "expires_at": None, "thread": None, "source": None, **fields}  # fmt: skip
    return IndexPoint(new_id(), np.asarray(vector, np.float32), payload(**values))


@pytest.fixture
def index(tmp_path: Path) -> VectorIndex:
    return VectorIndex(tmp_path / "index", "store")


def test_nearest_first(index: VectorIndex) -> None:
    near, far = point([1, 0.1, 0, 0]), point([0, 1, 0, 0])
    shard = index.target("fp", 4)
    shard.upsert([far, near])
    found = index.search(EAST, Filter(), NOW, 10)
    assert [id for id, _ in found] == [near.id, far.id]
    assert found[0][1] == pytest.approx(0.995, abs=1e-3)
    assert index.scores(EAST, [far.id, new_id()]) == {far.id: pytest.approx(0, abs=1e-3)}
    shard.delete([near.id, new_id()])
    assert [id for id, _ in index.search(EAST, Filter(), NOW, 10)] == [far.id]
    index.close()


@pytest.mark.parametrize(
    ("fields", "filter"),
    [
        ({"tags": ["a", "b"]}, Filter(tags=("a", "b"))),
        ({"tags": ["a"]}, Filter(visible=("x", "a"))),
        ({"client": "claude"}, Filter(clients=("claude", "cursor"))),
        ({"state": "archived"}, Filter(states=("archived",))),
        ({"state": "paused"}, Filter(states=("paused", "archived"))),
        ({"privacy": "local"}, Filter(privacy="local")),
        ({"thread": "t"}, Filter(thread="t")),
        ({"source": "s"}, Filter(source="s")),
        ({"at": "2026-05-01T00:00:00.000Z"}, Filter(since="2026-05-01T00:00:00.000Z")),
        ({"at": "2025-05-01T00:00:00.000Z"}, Filter(until="2025-05-01T00:00:00.001Z")),
        ({"expires_at": "2026-01-01T00:00:00.000Z"}, Filter(expired=True, source=None, clients=("old",))),
    ],
)
def test_filters_hold_inside_the_index(index: VectorIndex, fields: dict[str, Any], filter: Filter) -> None:
    if filter.clients == ("old",):
        fields = {**fields, "client": "old"}
    wanted = point([0, 1, 0, 0], **fields)
    shard = index.target("fp", 4)
    shard.upsert([*(point() for _ in range(20)), wanted])
    assert [id for id, _ in index.search(EAST, filter, NOW, 5)] == [wanted.id]
    index.close()


def test_the_default_filter_hides_what_is_not_active_or_has_expired(index: VectorIndex) -> None:
    shard = index.target("fp", 4)
    plain = point()
    shard.upsert([plain])
    assert len(index.search(EAST, Filter(), NOW, 5)) == 1
    hidden = [point(state="archived"), point(expires_at="2026-11-22T11:00:00.000Z")]
    later = point(expires_at="2026-11-22T13:00:00.000Z")
    shard.upsert([*hidden, later])
    assert {id for id, _ in index.search(EAST, Filter(), NOW, 5)} == {plain.id, later.id}
    shard.release()
    assert {id for id, _ in index.search(EAST, Filter(), NOW, 5)} == {plain.id, later.id}
    assert index.search(EAST, Filter(visible=()), NOW, 5) == []
    index.close()


@pytest.mark.parametrize("bad", [[1, 0, 0], [0, 0, 0, 0], [float("nan"), 0, 0, 1]])
def test_a_bad_vector_is_refused_before_anything_is_stored(index: VectorIndex, bad: list[float]) -> None:
    shard = index.target("fp", 4)
    with pytest.raises(ValueError, match="vector"):
        shard.upsert([point(), point(bad)])
    with pytest.raises(ValueError, match="points in one batch"):
        shard.upsert([point()] * 501)
    assert shard.count() == 0
    index.close()


def test_it_comes_back_with_its_mark(tmp_path: Path, index: VectorIndex) -> None:
    shard = index.target("fp", 4)
    shard.upsert([point()])
    index.finish(17)
    index.close()
    again = VectorIndex(tmp_path / "index", "store")
    assert again.fingerprint == "fp"
    assert again.filling is None
    assert again.current is not None
    assert again.current.mark == Mark("fp", 4, "store", 17, complete=True)
    assert again.points() == 1
    assert again.size() > 0
    again.close()


@pytest.mark.parametrize("harm", ["store", "format", "mark", "garbage mark"])
def test_what_is_foreign_or_older_is_removed(tmp_path: Path, index: VectorIndex, harm: str) -> None:
    index.target("fp", 4).upsert([point()])
    index.finish(1)
    index.close()
    mark = next((tmp_path / "index").rglob(MARK))
    if harm == "format":
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "format": 0}))
    elif harm == "mark":
        mark.unlink()
    elif harm == "garbage mark":
        mark.write_text("{")
    again = VectorIndex(tmp_path / "index", "another" if harm == "store" else "store")
    assert again.current is None
    assert again.search(EAST, Filter(), NOW, 5) == []
    assert list((tmp_path / "index").iterdir()) == []


def test_damage_is_reported_and_search_goes_on(tmp_path: Path, index: VectorIndex) -> None:
    index.target("fp", 4).upsert([point()])
    index.finish(1)
    index.close()
    again = VectorIndex(tmp_path / "index", "store")
    for path in (tmp_path / "index").rglob("*"):
        if path.is_file() and path.name != MARK:
            path.write_bytes(b"")
    told: list[bool] = []
    again.on_damage = lambda: told.append(True)
    assert again.search(EAST, Filter(), NOW, 5) == []
    assert told
    assert again.damaged is again.current
    assert again.points() == 0
    assert again.current is not None
    with pytest.raises(IndexDamaged):
        again.current.load()
    again.drop(again.current)
    assert list((tmp_path / "index").iterdir()) == []


def test_another_embedder_fills_beside_the_one_that_answers(tmp_path: Path, index: VectorIndex) -> None:
    old = point()
    index.target("old", 4).upsert([old])
    index.finish(1)
    new = index.target("new", 2)
    new.upsert([point([1, 0])])
    assert index.fingerprint == "old"
    assert [id for id, _ in index.search(EAST, Filter(), NOW, 5)] == [old.id]
    index.close()
    index = VectorIndex(tmp_path / "index", "store")
    assert index.fingerprint == "old"
    assert index.filling is not None
    assert index.filling.mark.fingerprint == "new"
    index.finish(2)
    assert index.fingerprint == "new"
    assert len(list((tmp_path / "index").iterdir())) == 1
    assert index.target("new", 2) is index.current
    index.close()
