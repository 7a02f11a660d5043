"""Search: two legs, one ranking, and nothing in the answer that the rows do not confirm.

The query is embedded in a thread of its own while this one asks the full-text index; then the vector index
is asked, candidates are checked against their rows (existence, filter, expiry), fused, and the best ones
read. Without a usable embedder or index it goes on with words alone and says so (`degraded`).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jmem.core import asof, lexical
from jmem.core.asof import Past
from jmem.core.candidates import Candidates, newest
from jmem.core.chain import with_successors
from jmem.core.confidence import is_confident
from jmem.core.embed import Embedder, EmbedderUnavailable, embed_text, local_embedder
from jmem.core.embed.base import MAX_EMBED_CHARS
from jmem.core.errors import Invalid, StorageFailed
from jmem.core.filter import Filter
from jmem.core.folding import Folded, explained
from jmem.core.fusion import Candidate, demote_superseded, fuse
from jmem.core.index import VectorIndex
from jmem.core.model import now_iso
from jmem.core.query import MODES, Hit, SearchOutcome, SearchQuery
from jmem.core.receipts import PlaceReceipt, erased
from jmem.core.store import Store
from jmem.core.terms import Frequencies, Weighed, query_terms
from jmem.core.texts import text_key
from jmem.core.vectorcache import VectorCache
from jmem.core.vectors import VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]

log = logging.getLogger(__name__)

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


class Searcher:
    """Searches one user's memories. Thread-safe."""

    def __init__(self, store: Store, index: VectorIndex, vectors: VectorStore, embedder: Embedder) -> None:
        self._store, self._index, self._vectors, self._embedder = store, index, vectors, embedder
        self._frequencies = Frequencies()
        self._queries = VectorCache(CACHED_QUERIES)
        self._fresh = VectorCache(CACHED_QUERIES)
        self._previous: Embedder | None = None
        self._resting_until = 0.0
        self._past = asof.Kept()
        self._pool = ThreadPoolExecutor(4, f"jmem-search-{store.folder.name[:8]}")

    @property
    def remote(self) -> bool:
        """Whether the words of a query go to another process for their vector."""
        return self._embedder.remote

    def close(self) -> None:
        """Let the threads go; a search after this fails."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._past.clear()

    def forget(self, ids: Iterable[str]) -> PlaceReceipt:
        """Purge hook: drop cached vectors and terms, which may come from what was purged."""
        self._queries.clear()
        self._fresh.clear()
        self._frequencies.clear()
        self._past.clear()
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
        asked = self._ask_vector(text) if query.mode != "text" else None
        now = query.as_of or now_iso()
        with self._reading(query.as_of) as (conn, past):
            search = _Search(text, query, now, Candidates(query.filter, now, max(LEXICAL_POOL, query.limit), past))
            self._lexical_leg(conn, search)
            if asked is not None:
                self._vector_leg(conn, search, asked)
            elif query.mode != "text":
                search.degraded = "the embedder failed a moment ago"
            self._complete(conn, search)
            ordered = fuse(search.pool.all(), text, search.now)
            ordered = self._supersede(conn, search, ordered)
            hits = self._read(conn, search, ordered)
        took = round((time.perf_counter() - began) * 1000, 2)
        mode = "text" if search.degraded else query.mode
        confident = bool(hits) and _confident(search)
        return SearchOutcome(query.query, took, confident, mode, hits, search.degraded)

    @contextlib.contextmanager
    def _reading(self, as_of: str | None) -> Iterator[tuple[sqlite3.Connection, Past | None]]:
        if as_of is None:
            with self._store.reader() as conn:
                yield conn, None
        else:
            with asof.opened(self._store, as_of, self._past) as past:
                yield past.now, past

    # ---- the legs -----------------------------------------------------------------------------

    def _lexical_leg(self, conn: sqlite3.Connection, search: _Search) -> None:
        past, depth = search.pool.past, max(LEXICAL_DEPTH, search.pool.size)
        visible = search.query.filter.visible
        if past is None and visible is not None:  # nothing that hidden memories have a part in may be told
            search.newest = newest(*search.pool.tables(conn)[0], search.now, FRESH_EMBEDDED)
            if search.query.mode != "vector":
                terms = query_terms(search.text)
                rows = lexical.search_scope(conn, terms, search.query.filter, search.now, depth)
                search.pool.found_lexical(conn, rows)
            return
        more = past.conn if past is not None and (past.neighbours or past.rows) else None
        search.weighed = self._frequencies.weigh(conn, query_terms(search.text), more)
        search.newest = newest(*search.pool.tables(conn)[0], search.now, FRESH_EMBEDDED)
        if search.query.mode == "vector":
            return
        if past is not None:
            search.pool.found_lexical(conn, lexical.search_past(past, search.weighed, search.query.filter, depth))
            return
        inside = not _is_plain(search.query.filter)
        rows = lexical.search(conn, search.weighed, search.query.filter, search.now, depth, inside=inside)
        search.pool.found_lexical(conn, rows)
        if not inside and len(rows) == depth and search.pool.lexical_count < search.pool.size:
            # too many of the best were archived or have expired: ask again with the filter inside
            rows = lexical.search(conn, search.weighed, search.query.filter, search.now, depth, inside=True)
            search.pool.found_lexical(conn, rows)

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
        past, limit = search.pool.past, max(VECTOR_POOL, search.query.limit)
        without = () if past is None else past.changed
        try:
            found = self._index.search(vector, search.query.filter, search.now, limit, without)
        except StorageFailed as error:
            search.degraded = error.message
            return
        if past is not None and past.rows:
            found += self._past_vectors(past, search, vector)
            found = sorted(found, key=lambda hit: -hit[1])[:limit]
        search.vector = vector
        search.pool.found_vector(conn, found)

    def _past_vectors(self, past: Past, search: _Search, vector: Vector) -> list[tuple[str, float]]:
        """(id, cosine) of what was changed since, by the vectors of the texts of then as far as they are stored."""
        import numpy as np

        embedder = self._serving()
        if embedder is None:
            return []
        condition, params = search.query.filter.sql(search.now)
        rows = past.conn.execute(f"SELECT m.id, m.text_key FROM memories m WHERE {condition}", params).fetchall()
        among = {memory.id for memory in past.rows.values()}
        try:
            held = self._vectors.get(embedder.fingerprint, [row for row in rows if row[0] in among])
        except StorageFailed:
            return []
        if not held:
            return []
        scores = np.array(list(held.values()), np.float32) @ vector
        return list(zip(held, scores.tolist(), strict=True))

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
        then = {} if search.pool.past is None else search.pool.past.rows
        missing = {c.id: c for c in search.pool.all() if c.vector is None}
        recent = {c.id: c for c in search.newest if c.rowid not in search.pool.found}
        try:  # the index has the vector of another text of what was changed since
            unchanged = [c.id for c in missing.values() if c.rowid not in then]
            scores = self._index.scores(search.vector, [*unchanged, *recent])
        except StorageFailed:  # the disk has become full since the first question: those stay without a score
            return
        for id, score in scores.items():
            recent.pop(id, None)
            if id in missing:
                missing.pop(id).vector = score
        embedder = self._serving()
        waiting = sorted(missing.values(), key=lambda c: c.lexical_rank or 0) + list(recent.values())
        if not waiting or embedder is None or embedder.remote:
            return
        for candidate, vector in self._waiting_vectors(conn, embedder, waiting, search.pool):
            candidate.vector = float(vector @ search.vector)
            search.pool.add(candidate)

    def _waiting_vectors(
        self, conn: sqlite3.Connection, embedder: Embedder, candidates: Sequence[Candidate], pool: Candidates
    ) -> list[tuple[Candidate, Vector]]:
        """Vectors of memories that are not in the index: stored ones (it is being rebuilt), else a few fresh ones."""
        rows = pool.texts(conn, candidates)
        candidates = [c for c in candidates if c.rowid in rows]
        try:
            held = self._vectors.get(embedder.fingerprint, [(c.id, text_key(*rows[c.rowid])) for c in candidates])
        except StorageFailed:
            held = {}
        found = [(c, held[c.id].astype("float32")) for c in candidates if c.id in held]
        fresh = [c for c in candidates if c.id not in held][:FRESH_EMBEDDED]
        wanted = {c.id: embed_text(*rows[c.rowid]) for c in fresh}
        unknown = [text for text in dict.fromkeys(wanted.values()) if self._fresh.get((embedder.name, text)) is None]
        if unknown:
            try:
                with embedder.gate.query():
                    for text, vector in zip(unknown, embedder.embed(unknown), strict=True):
                        self._fresh.put((embedder.name, text), vector)
            except EmbedderUnavailable:
                return found
        pairs = [(c, self._fresh.get((embedder.name, wanted[c.id]))) for c in fresh]
        made = [(candidate, vector) for candidate, vector in pairs if vector is not None]
        if pool.past is not None:
            self._keep_earlier(
                embedder, [(c.id, text_key(*rows[c.rowid]), v) for c, v in made if c.rowid in pool.past.rows]
            )
        return found + made

    def _keep_earlier(self, embedder: Embedder, vectors: Sequence[tuple[str, bytes, Vector]]) -> None:
        try:
            if vectors:
                self._vectors.put_earlier(embedder.fingerprint, vectors)
        except StorageFailed:
            log.info("the vectors of earlier texts could not be kept")

    def _supersede(self, conn: sqlite3.Connection, search: _Search, ordered: list[Candidate]) -> list[Candidate]:
        """Put what supersedes a candidate above it, fetching it where neither leg found it."""
        linked = "SELECT 1 FROM memories WHERE supersedes IS NOT NULL LIMIT 1"
        if not any(each.execute(linked).fetchone() for each, _ in search.pool.tables(conn)):
            return ordered
        successors = search.pool.take_successors(conn, [candidate.id for candidate in ordered])
        return demote_superseded(search.pool.all(), successors) if successors else ordered

    def _read(self, conn: sqlite3.Connection, search: _Search, ordered: Sequence[Candidate]) -> list[Hit]:
        """The best rows as they are now, equal texts folded into the first of them."""
        folded = Folded(search.query)
        for chunk in folded.chunks(ordered):
            memories = search.pool.memories(conn, chunk)
            for candidate in chunk:
                folded.take(candidate, memories.get(candidate.rowid))
        asked = search.query.filter
        scope = Filter(visible=asked.visible, waiting_of=asked.waiting_of)
        tables = search.pool.tables(conn)
        scopes = [(each, replace(scope, before=filter.before)) for each, filter in tables]
        return folded.hits(with_successors(scopes, search.now, folded.memories), search.explain)


@dataclass(slots=True)
class _Search:
    """One search under way."""

    text: str
    query: SearchQuery
    now: str
    pool: Candidates
    weighed: Weighed = field(default_factory=lambda: Weighed((), (), (), {}, 0))
    newest: list[Candidate] = field(default_factory=list)
    """the memories written last"""
    vector: Vector | None = None
    degraded: str | None = None

    def explain(self, c: Candidate) -> dict[str, Any]:
        """Why a candidate stands where it stands."""
        return explained(c, [*self.weighed.scored, *self.weighed.counted], self.weighed.dropped)


def _confident(search: _Search) -> bool:
    vector = None if search.vector is None else search.pool.best_vector()
    scoped = search.query.filter.visible is not None
    return is_confident(search.weighed, search.pool.best_lexical(), vector, scoped=scoped)


def _clean(query: str) -> str:
    """The query without NULs, lone surrogates and outer white space."""
    return query.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").strip()


def _is_plain(filter: Filter) -> bool:
    """Whether it lets nearly everything pass, so that it is cheaper to apply it to the best rows alone."""
    return filter in (Filter(), Filter(expired=True))


def _done(vector: Vector) -> Future[Vector]:
    future: Future[Vector] = Future()
    future.set_result(vector)
    return future


def _failed(reason: str) -> Future[Vector]:
    future: Future[Vector] = Future()
    future.set_exception(EmbedderUnavailable(reason))
    return future
