from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jmem.core.model import new_id
from jmem.core.vectors import DATABASE, VectorStore

FP, OTHER = "words/4", "words/8"


def unit(seed: int, dimension: int = 4) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def vectors(tmp_path: Path) -> VectorStore:
    return VectorStore(tmp_path)


def test_a_vector_comes_back_for_the_same_text_only(vectors: VectorStore) -> None:
    one, two = new_id(), new_id()
    vectors.put(FP, [(one, b"k1", unit(1)), (two, b"k2", unit(2))])
    found = vectors.get(FP, [(one, b"k1"), (two, b"changed"), (new_id(), b"k1")])
    assert list(found) == [one]
    assert np.allclose(found[one], unit(1), atol=1e-3)
    assert vectors.get(OTHER, [(one, b"k1")]) == {}
    assert vectors.count(FP) == 2


def test_the_vector_of_an_earlier_text_is_kept_until_the_memory_is_forgotten(vectors: VectorStore) -> None:
    one, two = new_id(), new_id()
    vectors.put(FP, [(one, b"k1", unit(1)), (two, b"k1", unit(2))])
    vectors.put(FP, [(one, b"k3", unit(3))])
    assert np.allclose(vectors.get(FP, [(one, b"k1")])[one], unit(1), atol=1e-3)
    assert np.allclose(vectors.get(FP, [(one, b"k3")])[one], unit(3), atol=1e-3)
    vectors.put_earlier(FP, [(two, b"k0", unit(4))])
    assert np.allclose(vectors.get(FP, [(two, b"k0")])[two], unit(4), atol=1e-3)
    assert vectors.count(FP) == 2
    vectors.forget([one])
    assert vectors.get(FP, [(one, b"k1"), (two, b"k0")]).keys() == {two}
    vectors.prune(set(), FP)
    assert vectors.get(FP, [(two, b"k0")]) == {}


def test_many_at_once(vectors: VectorStore) -> None:
    ids = [new_id() for _ in range(1201)]
    vectors.put(FP, [(id, id.encode(), unit(i)) for i, id in enumerate(ids)])
    assert len(vectors.get(FP, [(id, id.encode()) for id in ids])) == 1201


def test_forgetting_reaches_the_bytes_on_disk(tmp_path: Path, vectors: VectorStore) -> None:
    gone, kept = new_id(), new_id()
    vectors.put(FP, [(gone, b"k", unit(5)), (kept, b"k", unit(6))])
    vectors.put(OTHER, [(gone, b"k", unit(7, 8))])
    assert vectors.forget([gone]) == 2
    files = b"".join(path.read_bytes() for path in tmp_path.glob(DATABASE + "*"))
    assert unit(5).astype(np.float16).tobytes() not in files
    assert unit(6).astype(np.float16).tobytes() in files


def test_prune_keeps_the_living_of_one_embedder(vectors: VectorStore) -> None:
    live, dead = new_id(), new_id()
    vectors.put(FP, [(live, b"k", unit(1)), (dead, b"k", unit(2))])
    vectors.put(OTHER, [(live, b"k", unit(3, 8))])
    assert vectors.prune({live}, FP) == 2
    assert vectors.count(FP) == 1
    assert vectors.count(OTHER) == 0
    vectors.clear(FP)
    assert vectors.count(FP) == 0


@pytest.mark.parametrize("harm", ["delete", "delete while open", "garbage", "other version"])
def test_the_file_may_be_lost_or_damaged_at_any_time(tmp_path: Path, vectors: VectorStore, harm: str) -> None:
    id = new_id()
    vectors.put(FP, [(id, b"k", unit(1))])
    path = tmp_path / DATABASE
    if harm != "delete while open":
        vectors.close()
    if harm.startswith("delete"):
        path.unlink()
    elif harm == "garbage":
        path.write_bytes(b"not a database" * 1000)
    else:
        import sqlite3

        conn = sqlite3.connect(path)
        conn.execute("PRAGMA user_version = 99")
        conn.close()
    if harm != "delete while open":
        vectors = VectorStore(tmp_path)
    assert vectors.get(FP, [(id, b"k")]) == {}
    vectors.put(FP, [(id, b"k", unit(1))])
    assert vectors.count(FP) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    vectors.close()
