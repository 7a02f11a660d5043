"""From rows to points: what the indexer does with one chunk of changed memories."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from jmem.core.embed import Embedder, EmbedderUnavailable, EmbeddingRefused, embed_text
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

PROBE = "a sentence to try it with"
"""What every embedder takes: one that refuses this too is not at odds with a memory, but does not work."""

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


def wanted(remote: bool, allow_remote_for_local: bool) -> str:
    """The condition, as SQL, on the memories that have a point in an index that has caught up."""
    return "deleted = 0" + (" AND privacy != 'local'" if remote and not allow_remote_for_local else "")


class Feeder:
    """Writes rows to a shard, with vectors from the vector store or fresh from the embedder."""

    def __init__(self, store: Store, vectors: VectorStore, embedder: Embedder, allow_remote_for_local: bool) -> None:
        self._store, self._vectors, self._embedder = store, vectors, embedder
        self._private_stays = embedder.remote and not allow_remote_for_local
        self._wanted = wanted(embedder.remote, allow_remote_for_local)

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
        with self._store.reader() as conn:
            return int(conn.execute(f"SELECT COUNT(*) FROM memories WHERE {self._wanted}").fetchone()[0])

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

    def embed(
        self, shard: Shard, rows: Sequence[Row], go_on: Callable[[], bool], refused: dict[str, str]
    ) -> Iterable[list[Row]]:
        """Embed rows and apply them in steps, yielding what was applied after each, until `go_on` says no.

        Rows whose text the embedder refuses are left out and noted in `refused`: id -> reason. Raises
        EmbedderUnavailable, also when the model has changed under the shard; IndexDamaged, StorageFailed.
        """
        order = sorted(rows, key=lambda row: len(row.content))  # little padding within a batch
        for start in range(0, len(order), EMBED_STEP):
            if not go_on():
                return
            step = self._embed_step(order[start : start + EMBED_STEP], go_on, refused)
            if not step:
                continue
            if self._embedder.fingerprint != shard.mark.fingerprint:
                raise EmbedderUnavailable("the embedding model has changed its dimension")
            self._vectors.put(
                shard.mark.fingerprint,
                [(row.id, row.text_key, vector) for row, vector in step],
            )
            shard.upsert([row.point(vector) for row, vector in step])
            yield [row for row, _ in step]

    def _embed_step(
        self, rows: Sequence[Row], go_on: Callable[[], bool], refused: dict[str, str]
    ) -> list[tuple[Row, Vector]]:
        """In small batches, each of which gives way to queries; those of the first rows when `go_on` says no."""
        done: list[tuple[Row, Vector]] = []
        start = 0
        while start < len(rows) and go_on():
            batch = rows[start : start + self._batch_size(rows[start:])]
            start += len(batch)
            try:
                done += self._ask(batch)
            except EmbeddingRefused as error:
                with self._embedder.gate.bulk():
                    self._embedder.embed([PROBE])
                done += self._apart(batch, error, refused)
        return done

    def _ask(self, rows: Sequence[Row]) -> list[tuple[Row, Vector]]:
        with self._embedder.gate.bulk():
            vectors = self._embedder.embed([embed_text(row.content, row.speaker) for row in rows])
        return list(zip(rows, vectors, strict=True))

    def _apart(self, rows: Sequence[Row], error: EmbeddingRefused, refused: dict[str, str]) -> list[tuple[Row, Vector]]:
        """By halves, what an embedder that works takes of rows it refused together."""
        if len(rows) == 1:
            refused[rows[0].id] = error.message
            return []
        done: list[tuple[Row, Vector]] = []
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            try:
                done += self._ask(half)
            except EmbeddingRefused as again:
                done += self._apart(half, again, refused)
        return done

    def _batch_size(self, rows: Sequence[Row]) -> int:
        if self._embedder.remote:
            return EMBED_STEP
        chars = accumulate(len(embed_text(row.content, row.speaker)) for row in rows[:LOCAL_BATCH])
        return max(1, sum(total <= LOCAL_CHARS for total in chars))

    def _embeddable(self, row: Row) -> bool:
        return not (self._private_stays and row.privacy == "local")
