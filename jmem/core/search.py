"""Search: two legs, one ranking, and nothing in the answer that the rows do not confirm.

The query is embedded in a thread of its own while this one asks the full-text index; then the vector index
is asked, candidates are checked against their rows (existence, filter, expiry), fused, and the best ones
read. Without a usable embedder or index it goes on with words alone and says so (`degraded`).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jmem.core import lexical
from jmem.core.confidence import is_confident
from jmem.core.embed import Embedder, EmbedderUnavailable, embed_text, local_embedder
from jmem.core.embed.base import MAX_EMBED_CHARS
from jmem.core.errors import Invalid, StorageFailed
from jmem.core.filter import Filter
from jmem.core.fusion import Candidate, demote_superseded, fuse, relevance
from jmem.core.index import VectorIndex
from jmem.core.model import Memory, now_iso
from jmem.core.purge import PlaceReceipt, erased
from jmem.core.store import MEMORY_COLUMNS, MEMORY_WIDTH, Store, row_memory
from jmem.core.terms import Frequencies, Weighed, query_terms
from jmem.core.vectors import VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

log = logging.getLogger(__name__)

MODES = ("hybrid", "text", "vector")
LEXICAL_POOL, VECTOR_POOL = 100, 60
"""Candidates of each leg, more for a higher limit. Measured: more of the vector leg's helps nothing."""
LEXICAL_DEPTH = 300
"""Rows whose bm25 is read: a candidate of the vector leg below them counts as matching nothing (measured: no loss)."""
EMBED_PATIENCE = 3.0
"""Seconds a search waits for the vector of its query, a model that is still loading included."""
REMOTE_PAUSE = 10.0
"""Seconds for which a remote embedder that failed is not asked again by searches."""
FRESH_EMBEDDED = 4
"""Texts without a vector yet that one search embeds by itself."""
CACHED_QUERIES = 512
_CANDIDATE = "m.rowid, m.id, m.at, m.speaker, m.thread IS NOT NULL"
"""The first fields of Candidate."""
_AMONG = "IN (SELECT value FROM json_each(?))"
"""One statement for any number of keys, so that it stays prepared."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is searched for. `mode`: hybrid, text (words alone) or vector (meaning alone)."""

    query: str
    limit: int = 10
    filter: Filter = field(default_factory=Filter)
    mode: str = "hybrid"
    fold: bool = True
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that answers. `score` (0 to 1) compares within one answer; `also` are ids of equal texts."""

    memory: Memory
    score: float
    also: tuple[str, ...] = ()
    explain: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """`confident` is False when jmem thinks it knows nothing about this; `degraded` says why vectors were not used."""

    query: str
    took_ms: float
    confident: bool
    mode: str
    hits: list[Hit]
    degraded: str | None = None


class Searcher:
    """Searches one user's memories. Thread-safe."""

    def __init__(self, store: Store, index: VectorIndex, vectors: VectorStore, embedder: Embedder) -> None:
        self._store, self._index, self._vectors, self._embedder = store, index, vectors, embedder
        self._frequencies = Frequencies()
        self._queries = VectorCache(CACHED_QUERIES)
        self._fresh = VectorCache(CACHED_QUERIES)
        self._previous: Embedder | None = None
        self._resting_until = 0.0
        self._pool = ThreadPoolExecutor(4, f"jmem-search-{store.folder.name[:8]}")

    def close(self) -> None:
        """Let the threads go; a search after this fails."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def forget(self, ids: Iterable[str]) -> PlaceReceipt:
        """Purge hook: drop cached vectors and terms, which may come from what was purged."""
        self._queries.clear()
        self._fresh.clear()
        self._frequencies.clear()
        return erased("query vectors")

    def search(self, query: SearchQuery) -> SearchOutcome:
        """The best memories for a query; raises Invalid for an empty query, an unknown mode or a limit below 1."""
        began = time.perf_counter()
        text = _clean(query.query)
        if not text:
            raise Invalid("the query is empty", field="query")
        if query.mode not in MODES:
            raise Invalid(f"mode is one of {', '.join(MODES)}", field="mode")
        if query.limit < 1:
            raise Invalid("limit is 1 or more", field="limit")
        search = _Search(text, query, now_iso(), max(LEXICAL_POOL, query.limit))
        asked = self._ask_vector(text) if query.mode != "text" else None
        with self._store.reader() as conn:
            self._lexical_leg(conn, search)
            if asked is not None:
                self._vector_leg(conn, search, asked)
            elif query.mode != "text":
                search.degraded = "the embedder failed a moment ago"
            self._complete(conn, search)
            ordered = fuse(search.candidates(), text, search.now)
            ordered = self._supersede(conn, search, ordered)
            hits = self._read(conn, search, ordered)
        took = round((time.perf_counter() - began) * 1000, 2)
        mode = "text" if search.degraded else query.mode
        confident = bool(hits) and is_confident(search.weighed, search.best_lexical(), search.best_vector())
        return SearchOutcome(query.query, took, confident, mode, hits, search.degraded)

    # ---- the legs -----------------------------------------------------------------------------

    def _lexical_leg(self, conn: sqlite3.Connection, search: _Search) -> None:
        search.weighed = self._frequencies.weigh(conn, query_terms(search.text))
        search.newest = _newest(conn, search.query.filter, search.now)
        if search.query.mode == "vector":
            return
        depth = max(LEXICAL_DEPTH, search.pool)
        inside = not _is_plain(search.query.filter)
        rows = lexical.search(conn, search.weighed, search.query.filter, search.now, depth, inside=inside)
        search.found_lexical(conn, rows)
        if not inside and len(rows) == depth and search.lexical_count < search.pool:
            # too many of the best were archived or have expired: ask again with the filter inside
            rows = lexical.search(conn, search.weighed, search.query.filter, search.now, depth, inside=True)
            search.found_lexical(conn, rows)

    def _vector_leg(self, conn: sqlite3.Connection, search: _Search, asked: Future[Vector]) -> None:
        try:
            vector = asked.result(EMBED_PATIENCE)
        except EmbedderUnavailable as error:
            if self._embedder.remote:
                self._resting_until = time.monotonic() + REMOTE_PAUSE
            search.degraded = error.message
            return
        except FutureTimeout:
            search.degraded = "the embedding model is not ready yet"
            return
        try:
            found = self._index.search(vector, search.query.filter, search.now, max(VECTOR_POOL, search.query.limit))
        except StorageFailed as error:
            search.degraded = error.message
            return
        search.vector = vector
        search.found_vector(conn, found)

    def _ask_vector(self, text: str) -> Future[Vector] | None:
        """The query's vector to come; None while a remote embedder rests."""
        embedder = self._serving()
        text = text[:MAX_EMBED_CHARS]
        if embedder is None:
            return _failed("the index is being filled for another embedder")
        key = (embedder.name, text)
        if (held := self._queries.get(key)) is not None:
            return _done(held)
        if time.monotonic() < self._resting_until:
            return None

        def embed() -> Vector:
            with embedder.gate.query():
                vector: Vector = embedder.embed([text], query=True)[0]
            self._queries.put(key, vector)
            return vector

        return self._pool.submit(embed)

    def _serving(self) -> Embedder | None:
        """The embedder of the index that answers: after a change of embedder the one before, if it is local."""
        serving = self._index.fingerprint
        try:
            if serving is None or serving == self._embedder.fingerprint:
                return self._embedder
        except EmbedderUnavailable:
            return self._embedder  # it will say itself why
        if self._previous is None or self._previous.fingerprint != serving:
            self._previous = local_embedder(serving)
        return self._previous

    # ---- candidates ---------------------------------------------------------------------------

    def _complete(self, conn: sqlite3.Connection, search: _Search) -> None:
        """Vector scores for the candidates that words alone found, and for the newest memories: a few that have
        no vector yet are embedded here, so that what was just written is found by its meaning too."""
        if search.vector is None:
            return
        missing = {c.id: c for c in search.candidates() if c.vector is None}
        newest = {c.id: c for c in search.newest if c.rowid not in search.found}
        try:
            scores = self._index.scores(search.vector, [*missing, *newest])
        except StorageFailed:  # the disk has become full since the first question: those stay without a score
            return
        for id, score in scores.items():
            newest.pop(id, None)
            if id in missing:
                missing.pop(id).vector = score
        embedder = self._serving()
        waiting = sorted(missing.values(), key=lambda c: c.lexical_rank or 0) + list(newest.values())
        if not waiting or embedder is None or embedder.remote:
            return
        for candidate, vector in self._embed_fresh(conn, embedder, waiting[:FRESH_EMBEDDED]):
            candidate.vector = float(vector @ search.vector)
            search.add(candidate)

    def _embed_fresh(
        self, conn: sqlite3.Connection, embedder: Embedder, candidates: Sequence[Candidate]
    ) -> list[tuple[Candidate, Vector]]:
        sql = f"SELECT rowid, content, speaker FROM memories WHERE rowid {_AMONG}"
        rows = conn.execute(sql, [json.dumps([c.rowid for c in candidates])]).fetchall()
        texts = {rowid: embed_text(content, speaker) for rowid, content, speaker in rows}
        unknown = [text for text in dict.fromkeys(texts.values()) if self._fresh.get((embedder.name, text)) is None]
        if unknown:
            try:
                with embedder.gate.query():
                    for text, vector in zip(unknown, embedder.embed(unknown), strict=True):
                        self._fresh.put((embedder.name, text), vector)
            except EmbedderUnavailable:
                return []
        found = [(c, self._fresh.get((embedder.name, texts[c.rowid]))) for c in candidates if c.rowid in texts]
        return [(candidate, vector) for candidate, vector in found if vector is not None]

    def _supersede(self, conn: sqlite3.Connection, search: _Search, ordered: list[Candidate]) -> list[Candidate]:
        """Put what supersedes a candidate above it, fetching it where neither leg found it."""
        if conn.execute("SELECT 1 FROM memories WHERE supersedes IS NOT NULL LIMIT 1").fetchone() is None:
            return ordered
        successors: dict[str, str] = {}
        asked = [candidate.id for candidate in ordered]
        condition, params = search.query.filter.sql(search.now)
        for _ in range(8):  # links of a chain that are followed
            if not asked:
                break
            sql = (
                f"SELECT m.supersedes, {_CANDIDATE} FROM memories m"
                f" WHERE m.supersedes {_AMONG} AND {condition} ORDER BY m.at, m.id"
            )
            rows = conn.execute(sql, [json.dumps(asked), *params]).fetchall()
            asked = []
            for older, *found in rows:
                candidate = Candidate(*found)
                candidate.total = float("-inf")
                successors[older] = candidate.id
                if search.add(candidate):
                    asked.append(candidate.id)
        return demote_superseded(search.candidates(), successors) if successors else ordered

    def _read(self, conn: sqlite3.Connection, search: _Search, ordered: Sequence[Candidate]) -> list[Hit]:
        """The best rows as they are now, equal texts folded into the first of them."""
        limit, condition_params = search.query.limit, search.query.filter.sql(search.now)
        best: dict[str, tuple[Candidate, Memory, list[str]]] = {}
        for start in range(0, len(ordered), max(limit, 16)):
            chunk = ordered[start : start + max(limit, 16)]
            memories = _memories(conn, chunk, condition_params)
            for candidate in chunk:
                memory = memories.get(candidate.rowid)
                if memory is None:
                    continue
                key = " ".join(memory.content.split()).casefold() if search.query.fold else memory.id
                if key in best:
                    best[key][2].append(memory.id)
                elif len(best) < limit:
                    best[key] = (candidate, memory, [])
            if len(best) == limit:
                break
        return [
            Hit(memory, relevance(c.total), tuple(also), search.explain(c) if search.query.explain else None)
            for c, memory, also in best.values()
        ]


@dataclass(slots=True)
class _Search:
    """One search under way."""

    text: str
    query: SearchQuery
    now: str
    pool: int
    weighed: Weighed = field(default_factory=lambda: Weighed((), (), (), {}, 0))
    vector: Vector | None = None
    degraded: str | None = None
    lexical_count: int = 0
    newest: list[Candidate] = field(default_factory=list)
    """the memories written last"""
    found: dict[int, Candidate] = field(default_factory=dict)
    _scores: dict[int, float] = field(default_factory=dict)

    def candidates(self) -> list[Candidate]:
        return list(self.found.values())

    def add(self, candidate: Candidate) -> bool:
        """Take one more candidate; False when it is known."""
        if candidate.rowid in self.found:
            return False
        self.found[candidate.rowid] = candidate
        return True

    def found_lexical(self, conn: sqlite3.Connection, rows: Sequence[tuple[int, float]]) -> None:
        """Take the best `pool` rows that pass the filter as candidates, and remember the scores of all."""
        self._scores = dict(rows)
        self.lexical_count = 0
        for start in range(0, len(rows), self.pool):
            chunk = [rowid for rowid, _ in rows[start : start + self.pool]]
            passing = _passing(conn, "rowid", chunk, self.query.filter, self.now)
            for rowid in chunk:
                candidate = passing.get(rowid)
                if candidate is not None and self.lexical_count < self.pool:
                    self.lexical_count += 1
                    candidate.lexical, candidate.lexical_rank = self._scores[rowid], self.lexical_count
                    self.found[rowid] = candidate
            if self.lexical_count == self.pool:
                break

    def found_vector(self, conn: sqlite3.Connection, found: Sequence[tuple[str, float]]) -> None:
        """Take what the vector index found and the rows confirm."""
        known = {candidate.id: candidate for candidate in self.found.values()}
        unknown = [id for id, _ in found if id not in known]
        for candidate in _passing(conn, "id", unknown, self.query.filter, self.now).values():
            candidate.lexical = self._scores.get(candidate.rowid)
            known[candidate.id] = self.found[candidate.rowid] = candidate
        for rank, (id, score) in enumerate(found, 1):
            if id in known:
                known[id].vector, known[id].vector_rank = score, rank

    def best_lexical(self) -> float:
        return max((c.lexical or 0.0 for c in self.found.values()), default=0.0)

    def best_vector(self) -> float | None:
        """None when there was no vector leg."""
        scores = [c.vector for c in self.found.values() if c.vector is not None]
        return max(scores, default=0.0) if self.vector is not None else None

    def explain(self, c: Candidate) -> dict[str, Any]:
        """Why a candidate stands where it stands."""
        return {
            "text": {"rank": c.lexical_rank, "score": _short(c.lexical), "z": _short(c.lexical_z)},
            "vector": {"rank": c.vector_rank, "score": _short(c.vector), "z": _short(c.vector_z)},
            "speaker": _short(c.boost),
            "recency": _short(c.recency),
            "superseded_by": c.superseded_by,
            "total": _short(c.total),
            "terms": [*self.weighed.scored, *self.weighed.counted],
            "terms_dropped": list(self.weighed.dropped),
        }


class VectorCache:
    """The most recently used vectors by (embedder, text). Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], Vector] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Vector | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: tuple[str, str], vector: Vector) -> None:
        with self._lock:
            self._held[key] = vector
            while len(self._held) > self._size:
                self._held.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._held.clear()


def _clean(query: str) -> str:
    """The query without NULs, lone surrogates and outer white space."""
    return query.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").strip()


def _is_plain(filter: Filter) -> bool:
    """Whether it lets nearly everything pass, so that it is cheaper to apply it to the best rows alone."""
    return filter == Filter() or filter == Filter(expired=True)


def _passing(
    conn: sqlite3.Connection, column: str, keys: Sequence[Any], filter: Filter, now: str
) -> dict[int, Candidate]:
    """The rows with these keys that exist and pass the filter, as candidates by rowid."""
    if not keys:
        return {}
    condition, params = filter.sql(now)
    sql = f"SELECT {_CANDIDATE} FROM memories m WHERE m.{column} {_AMONG} AND {condition}"
    return {row[0]: Candidate(*row) for row in conn.execute(sql, [json.dumps(keys), *params])}


def _newest(conn: sqlite3.Connection, filter: Filter, now: str) -> list[Candidate]:
    """Those of the memories written last that pass the filter."""
    condition, params = filter.sql(now)
    last = "SELECT rowid FROM memories ORDER BY rowid DESC LIMIT ?"
    sql = f"SELECT {_CANDIDATE} FROM memories m WHERE m.rowid IN ({last}) AND {condition}"
    return [Candidate(*row) for row in conn.execute(sql, [FRESH_EMBEDDED, *params])]


def _memories(
    conn: sqlite3.Connection, candidates: Sequence[Candidate], condition: tuple[str, list[Any]]
) -> dict[int, Memory]:
    sql = f"SELECT {MEMORY_COLUMNS}, m.rowid FROM memories m WHERE m.rowid {_AMONG} AND {condition[0]}"
    rows = conn.execute(sql, [json.dumps([c.rowid for c in candidates]), *condition[1]])
    return {row[MEMORY_WIDTH]: row_memory(row) for row in rows}


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _done(vector: Vector) -> Future[Vector]:
    future: Future[Vector] = Future()
    future.set_result(vector)
    return future


def _failed(reason: str) -> Future[Vector]:
    future: Future[Vector] = Future()
    future.set_exception(EmbedderUnavailable(reason))
    return future
