"""Memories that say nearly the same: the nearest of one, and all pairs of a store, looked for in steps.

Two texts are near by meaning (the cosine of their vectors), or by their words where a vector is missing. To compare
everything with everything, vectors are turned so that a quarter of their numbers holds nearly all that they say: the
short form and the length of the rest bound the cosine from above, and only pairs that pass are computed whole.
"""

from __future__ import annotations

import bisect
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jmem.core import distinctions, duplicates
from jmem.core.actor import Actor
from jmem.core.chain import as_seen
from jmem.core.errors import StorageFailed
from jmem.core.filter import Filter
from jmem.core.model import Memory, now_iso
from jmem.core.pairs import WORDS, Pair, Place, Step, of_one, pair_of
from jmem.core.store import MEMORY_COLUMNS, Store, row_memory
from jmem.core.texts import text_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from jmem.core.index import VectorIndex
    from jmem.core.vectors import VectorStore

    Matrix = NDArray[np.float32]

SHORT = 96
"""Numbers of the short form of a vector; of 3.8 million pairs of sentences it leaves 0.007 % to be computed whole."""
SECONDS = 0.7
"""For one step."""
FRESH_S = 300.0
"""For which the steps of one scan go on with what the first one read."""
LOOKED_AT = 48
BLOCK, TILE = 128, 8_192
"""Memories that are compared at once, and with how many others: 4 MB of products."""
_SAMPLE = 4_000
_ROUNDING = 0.003
_AMONG = "IN (SELECT value FROM json_each(?))"


@dataclass(slots=True)
class _Snapshot:
    """The memories to compare, newest first, and the short form of their vectors (zeros where there is none)."""

    keys: list[tuple[str, str]]
    matrix: Matrix
    fingerprint: str | None
    state: tuple[int, int]
    made: float = field(default_factory=time.monotonic)


class Nearness:
    """Thread-safe. Without vectors it compares words."""

    def __init__(self, store: Store, vectors: VectorStore | None = None, index: VectorIndex | None = None) -> None:
        self._store, self._vectors, self._index = store, vectors, index
        self._lock = threading.Lock()
        self._held: _Snapshot | None = None

    def release(self) -> None:
        """Give back the memory of a scan that nobody goes on with."""
        self._held = None

    # ---- one memory ---------------------------------------------------------------------------

    def similar(self, memory: Memory, actor: Actor, limit: int, least: float) -> list[Pair]:
        """The nearest active memories that the actor sees, nearest first; `memory` is the `a` of each pair.

        What was noted as no duplicate of it is not among them.
        """
        found = self._by_meaning(memory, actor, limit, least)
        with self._store.reader() as conn:
            if found is None:
                near = duplicates.near_memories(conn, memory.content, actor, now_iso(), without=memory.id)
                found = {one.id: one.score for one in near if one.score >= least * WORDS}
                by = "words"
            else:
                by = "meaning"
            others = _memories(conn, list(found), actor)
            distinct = distinctions.among(conn, {memory.id, *found})
        place = Place(memory.created_at, memory.id)
        pairs = [
            pair_of(found[other.id], by, memory, other, place)
            for other in others.values()
            if frozenset((memory.id, other.id)) not in distinct
        ]
        return sorted(pairs, key=lambda pair: (-pair.score, pair.b.id))[:limit]

    def _by_meaning(self, memory: Memory, actor: Actor, limit: int, least: float) -> dict[str, float] | None:
        """id -> cosine; None where the memory has no vector."""
        fingerprint = self._index.fingerprint if self._index is not None else None
        if self._vectors is None or self._index is None or fingerprint is None:
            return None
        try:
            key = text_key(memory.content, memory.speaker)
            vector = self._vectors.get(fingerprint, [(memory.id, key)]).get(memory.id)
            if vector is None:
                return None
            filter = actor.narrow(Filter())
            hits = self._index.search(vector.astype("float32"), filter, now_iso(), limit + 1, [memory.id])
        except StorageFailed:
            return None
        near = {id: round(min(score, 1.0), 4) for id, score in hits if id != memory.id}
        return {id: score for id, score in near.items() if score >= least}

    # ---- all of them --------------------------------------------------------------------------

    def step(self, actor: Actor, limit: int, least: float, at: Place | None = None) -> Step:
        """Pairs of memories that are at least so near, the newest memories first, for about `SECONDS`."""
        deadline = time.monotonic() + SECONDS
        with self._lock:
            snapshot = self._snapshot(actor, going_on=at is not None)
        total, pairs = len(snapshot.keys), list[Pair]()
        start = 0 if at is None else _position(snapshot, at)
        skip = at.given if at is not None and snapshot.keys[start : start + 1] == [(at.created_at, at.id)] else 0
        while start < total and len(pairs) <= limit:
            end = min(total, start + BLOCK)
            found = self._block(snapshot, start, end, least, actor)
            given = min(skip, sum(pair.a.id == snapshot.keys[start][1] for pair in found))
            pairs += found[given:]
            start, skip = end, 0
            if time.monotonic() > deadline:
                break
        if len(pairs) > limit:
            place = pairs[limit].place
            return Step(pairs[:limit], _position(snapshot, place), total, place)
        if start < total:
            return Step(pairs, start, total, Place(*snapshot.keys[start]))
        self.release()
        return Step(pairs, total, total, None)

    def _block(self, snapshot: _Snapshot, start: int, end: int, least: float, actor: Actor) -> list[Pair]:
        """The pairs of the memories from `start` to `end` with older ones, in their order."""
        near = _candidates(snapshot.matrix, start, end, least)
        with self._store.reader() as conn:
            scores = self._exact(conn, snapshot, near, least)
            # a memory without a vector has nothing in its row, the length of the rest included
            for row in range(start, end):
                if not snapshot.matrix[row, -1]:
                    scores[row] = _by_words(conn, snapshot, row, least, actor)
            chosen = {row: found for row, found in sorted(scores.items()) if found}
            wanted = {snapshot.keys[row][1] for row in chosen} | {id for found in chosen.values() for id in found}
            memories = _memories(conn, list(wanted), actor) if wanted else {}
            distinct = distinctions.among(conn, wanted) if wanted else frozenset()
        pairs: list[Pair] = []
        for row, found in chosen.items():
            a = memories.get(snapshot.keys[row][1])
            if a is not None:
                pairs += of_one(a, found, memories, distinct)
        return pairs

    def _exact(
        self, conn: Any, snapshot: _Snapshot, near: Mapping[int, Sequence[int]], least: float
    ) -> dict[int, dict[str, tuple[float, str]]]:
        """row -> id -> (cosine, "meaning"), by the whole vectors of the texts as they are now."""
        if not near or self._vectors is None or snapshot.fingerprint is None:
            return {}
        ids = {snapshot.keys[n][1] for row, columns in near.items() for n in (row, *columns)}
        rows = conn.execute(f"SELECT id, text_key FROM memories WHERE id {_AMONG}", (json.dumps(list(ids)),))
        try:
            vectors = self._vectors.get(snapshot.fingerprint, rows.fetchall())
        except StorageFailed:
            return {}
        whole = {id: _unit(vector) for id, vector in vectors.items()}
        scores: dict[int, dict[str, tuple[float, str]]] = {}
        for row, columns in near.items():
            mine = whole.get(snapshot.keys[row][1])
            theirs = [(id, whole[id]) for id in (snapshot.keys[n][1] for n in columns) if id in whole]
            if mine is None:
                continue
            found = {id: (round(min(float(mine @ vector), 1.0), 4), "meaning") for id, vector in theirs}
            scores[row] = {id: score for id, score in found.items() if score[0] >= least}
        return scores

    # ---- what is compared ---------------------------------------------------------------------

    def _snapshot(self, actor: Actor, *, going_on: bool) -> _Snapshot:
        held = self._held
        if held is not None and going_on and time.monotonic() - held.made < FRESH_S:
            return held
        fingerprint = self._index.fingerprint if self._index is not None else None
        counted = self._vectors.count(fingerprint) if self._vectors is not None and fingerprint else 0
        state = (self._store.last_seq, counted)
        if held is None or held.state != state or held.fingerprint != fingerprint:
            where, params = actor.narrow(Filter()).sql(now_iso())
            sql = f"SELECT m.created_at, m.id, m.text_key FROM memories m WHERE {where} ORDER BY 1 DESC, 2 DESC"
            with self._store.reader() as conn:
                rows = conn.execute(sql, params).fetchall()
            keys = [(created_at, id) for created_at, id, _ in rows]
            held = _Snapshot(keys, self._matrix(rows, fingerprint), fingerprint, state)
        self._held = held
        return held

    def _matrix(self, rows: Sequence[tuple[str, str, bytes]], fingerprint: str | None) -> Matrix:
        import numpy as np

        empty: Matrix = np.zeros((len(rows), 1), np.float32)
        if self._vectors is None or fingerprint is None:
            return empty
        places = {bytes.fromhex(id.replace("-", "")): (place, key) for place, (_, id, key) in enumerate(rows)}
        matrix, turn = empty, None
        try:
            for ids, keys, vectors in self._vectors.every(fingerprint, _SAMPLE):
                if turn is None:
                    turn = _turn(vectors.astype(np.float32))
                    matrix = np.zeros((len(rows), turn.shape[1] + 1), np.float32)
                spots = [places.get(id) for id in ids]
                kept = [n for n, spot in enumerate(spots) if spot is not None and spot[1] == keys[n]]
                if kept:
                    short = vectors[kept].astype(np.float32) @ turn
                    rest = np.sqrt(np.maximum(1e-4, 1 - np.square(short).sum(1)))
                    matrix[[spots[n][0] for n in kept]] = np.column_stack((short, rest))  # type: ignore[index]
        except StorageFailed:
            return empty
        return matrix


def _turn(sample: Matrix) -> Matrix:
    """The directions that hold most of what vectors like these say."""
    import numpy as np

    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(directions[:, ::-1][:, :SHORT], np.float32)


def _unit(vector: Any) -> Any:
    """Of length 1 again, which rounding to 16 bits is not quite."""
    import numpy as np

    wide = vector.astype(np.float32)
    return wide / np.linalg.norm(wide)


def _candidates(matrix: Matrix, start: int, end: int, least: float) -> dict[int, list[int]]:
    """row -> older rows whose cosine may reach `least`, the likeliest first."""
    import numpy as np

    mine, room = matrix[start:end], np.empty((end - start) * TILE, np.float32)
    found: list[tuple[Any, Any, Any]] = []
    for left in range(start, len(matrix), TILE):
        theirs = matrix[left : left + TILE]
        bounds = np.matmul(mine, theirs.T, out=room[: len(mine) * len(theirs)].reshape(len(mine), len(theirs)))
        if left < end:
            bounds[np.arange(left, left + len(theirs)) <= np.arange(start, end)[:, None]] = 0
        if bounds.max(initial=0) >= least - _ROUNDING:
            rows, columns = np.nonzero(bounds >= least - _ROUNDING)
            found.append((rows, columns + left, bounds[rows, columns]))
    if not found:
        return {}
    rows, columns, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    near: dict[int, list[int]] = {}
    for row in np.unique(rows):
        chosen = np.flatnonzero(rows == row)
        best = chosen[np.argsort(-scores[chosen], kind="stable")[:LOOKED_AT]]
        near[start + int(row)] = columns[best].tolist()
    return near


def _by_words(conn: Any, snapshot: _Snapshot, row: int, least: float, actor: Actor) -> dict[str, tuple[float, str]]:
    """Older memories, and newer ones that have a vector, which share enough words with one that has none."""
    key = snapshot.keys[row]
    text = conn.execute("SELECT content FROM memories WHERE id = ?", (key[1],)).fetchone()
    if text is None:
        return {}
    found: dict[str, tuple[float, str]] = {}
    for near in duplicates.near_memories(conn, text[0], actor, now_iso(), without=key[1]):
        if near.score >= least * WORDS:
            (created_at,) = conn.execute("SELECT created_at FROM memories WHERE id = ?", (near.id,)).fetchone()
            place = _position(snapshot, Place(created_at, near.id))
            here = snapshot.keys[place : place + 1] == [(created_at, near.id)]
            if here and (place > row or snapshot.matrix[place, -1]):
                found[near.id] = (near.score, "words")
    return found


def _position(snapshot: _Snapshot, place: Place) -> int:
    """Of the first memory that is not newer."""
    wanted = (place.created_at, place.id)
    return bisect.bisect_left(snapshot.keys, True, key=lambda key: key <= wanted)


def _memories(conn: Any, ids: Sequence[str], actor: Actor) -> dict[str, Memory]:
    """Those of `ids` that are active and may be seen."""
    visible = actor.narrow(Filter())
    where, params = visible.sql(now_iso())
    sql = f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE m.id {_AMONG} AND {where}"
    found = [row_memory(row) for row in conn.execute(sql, (json.dumps(list(ids)), *params))]
    return {memory.id: memory for memory in as_seen([(conn, visible)], found)}
