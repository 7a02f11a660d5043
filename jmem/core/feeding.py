"""From rows to points: what the indexer does with one chunk of changed memories."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from jmem.core.embed import Embedder, EmbedderUnavailable, embed_text
from jmem.core.shard import IndexPoint, Shard, payload
from jmem.core.store import Store
from jmem.core.vectors import VectorStore

if TYPE_CHECKING:
    from jmem.core.shard import Vector

log = logging.getLogger(__name__)

CHUNK = 200
"""Rows in one step. An upsert holds the GIL for 0.1 ms a point: every other thread waits that long."""
EMBED_STEP = 32
"""Texts embedded before their vectors are written; commands and a stop are heeded in between."""
LOCAL_BATCH = 8
"""Texts in one call of a local model: as fast as more of them, and a query waits less."""
LOCAL_CHARS = 8_000
"""Text in one call of a local model: a command and a stop wait for no more than that."""

_COLUMNS = "id, seq, deleted, content, speaker, tags, client, state, privacy, at, expires_at, thread, source, text_key"


@dataclass(frozen=True, slots=True)
class Row:
    """A memory as the index needs it."""

    id: str
    seq: int
    deleted: int
    content: str
    speaker: str | None
    tags: str
    client: str
    state: str
    privacy: str
    at: str
    expires_at: str | None
    thread: str | None
    source: str | None
    text_key: bytes

    def point(self, vector: Vector) -> IndexPoint:
        """The memory as a point of the index."""
        values = payload(tags=json.loads(self.tags), client=self.client, state=self.state, privacy=self.privacy, at=self.at,
                         expires_at=self.expires_at, thread=self.thread, source=self.source)  # fmt: skip
        return IndexPoint(self.id, vector, values)


class Feeder:
    """Writes rows to a shard, with vectors from the vector store or fresh from the embedder."""

    def __init__(self, store: Store, vectors: VectorStore, embedder: Embedder, allow_remote_for_local: bool) -> None:
        self._store, self._vectors, self._embedder = store, vectors, embedder
        self._private_stays = embedder.remote and not allow_remote_for_local

    # ---- rows ---------------------------------------------------------------------------------

    def changed(self, after: int, up_to: int) -> list[Row]:
        """The next chunk of rows changed by ops in (after, up_to], in their order."""
        sql = f"SELECT {_COLUMNS} FROM memories WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        with self._store.reader() as conn:
            return [Row(*row) for row in conn.execute(sql, (after, up_to, CHUNK))]

    def by_id(self, ids: Sequence[str]) -> list[Row]:
        """These rows as they are now; purged ones are absent."""
        sql = f"SELECT {_COLUMNS} FROM memories WHERE id IN ({','.join('?' * len(ids))})"
        with self._store.reader() as conn:
            return [Row(*row) for row in conn.execute(sql, list(ids))]

    def purged(self, after: int, up_to: int) -> list[str]:
        """Ids purged by ops in (after, up_to]."""
        with self._store.reader() as conn:
            rows = conn.execute("SELECT id FROM purged WHERE seq > ? AND seq <= ?", (after, up_to))
            return [id for (id,) in rows]

    def every_id(self) -> set[str]:
        """All memories, deleted ones included: a restore then costs no embedding."""
        with self._store.reader() as conn:
            return {id for (id,) in conn.execute("SELECT id FROM memories")}

    def expected(self) -> int:
        """How many points a shard should have that has caught up."""
        where = " AND privacy != 'local'" if self._private_stays else ""
        with self._store.reader() as conn:
            return int(conn.execute(f"SELECT COUNT(*) FROM memories WHERE deleted = 0{where}").fetchone()[0])

    def count_after(self, seq: int) -> int:
        """Live memories changed after an op."""
        sql = "SELECT COUNT(*) FROM memories WHERE seq > ? AND deleted = 0"
        with self._store.reader() as conn:
            return int(conn.execute(sql, (seq,)).fetchone()[0])

    # ---- points -------------------------------------------------------------------------------

    def feed(self, shard: Shard, rows: Sequence[Row]) -> list[Row]:
        """Apply what needs no embedding; returns the rows that do. Raises IndexDamaged, StorageFailed."""
        gone = [row.id for row in rows if row.deleted or not self._embeddable(row)]
        live = [row for row in rows if not row.deleted and self._embeddable(row)]
        known = self._vectors.get(shard.mark.fingerprint, [(row.id, row.text_key) for row in live])
        fits = {id: vector for id, vector in known.items() if len(vector) == shard.mark.dimension}
        shard.upsert([row.point(fits[row.id]) for row in live if row.id in fits])
        if gone:
            shard.delete(gone)
        return [row for row in live if row.id not in fits]

    def embed(self, shard: Shard, rows: Sequence[Row], go_on: Callable[[], bool]) -> Iterable[list[Row]]:
        """Embed rows and apply them in steps, yielding each step once it is applied, until `go_on` says no.

        Raises EmbedderUnavailable, also when the model has changed under the shard; IndexDamaged, StorageFailed.
        """
        order = sorted(rows, key=lambda row: len(row.content))  # little padding within a batch
        for start in range(0, len(order), EMBED_STEP):
            if not go_on():
                return
            step = order[start : start + EMBED_STEP]
            step_vectors = self._embed_step(step, go_on)
            if not step_vectors:
                return
            step = step[: len(step_vectors)]
            if self._embedder.fingerprint != shard.mark.fingerprint:
                raise EmbedderUnavailable("the embedding model has changed its dimension")
            self._vectors.put(
                shard.mark.fingerprint,
                [(row.id, row.text_key, vector) for row, vector in zip(step, step_vectors, strict=True)],
            )
            shard.upsert([row.point(vector) for row, vector in zip(step, step_vectors, strict=True)])
            yield step

    def _embed_step(self, rows: Sequence[Row], go_on: Callable[[], bool]) -> list[Vector]:
        """In small batches, each of which gives way to queries; those of the first rows when `go_on` says no."""
        vectors: list[Vector] = []
        texts = [embed_text(row.content, row.speaker) for row in rows]
        while len(vectors) < len(rows) and go_on():
            batch = texts[len(vectors) :][: self._batch_size(texts[len(vectors) :])]
            with self._embedder.gate.bulk():
                vectors.extend(self._embedder.embed(batch))
        return vectors

    def _batch_size(self, texts: Sequence[str]) -> int:
        if self._embedder.remote:
            return EMBED_STEP
        chars = accumulate(len(text) for text in texts[:LOCAL_BATCH])
        return max(1, sum(total <= LOCAL_CHARS for total in chars))

    def _embeddable(self, row: Row) -> bool:
        return not (self._private_stays and row.privacy == "local")
