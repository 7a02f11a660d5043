"""Brings the vector index up to the rows, account by account, by what differs.

How far the index is stands in `index_heads`, what it has of each memory in `index_state`; both are written after the
index was, so that a crash at any moment leaves work that is done again, which changes nothing. One worker at a time has
an account, by a lease that also is the pause after a failure; the index is written while the account's row is locked,
so that a worker whose lease ran out can't write an old text over a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import text

from hosted.db.engine import DATABASE_FAILURES, Database, driver
from hosted.vectors.client import Entry, Vectors, VectorsUnavailable, without_vector
from hosted.vectors.embed import Embeddings
from jmem.core.embed import EmbedderUnavailable, embed_text

log = logging.getLogger(__name__)

BATCH = 64
WORKERS = 2
LEASE_S = 120.0
POLL_S = 30.0
"""How often accounts are looked for that nobody told of."""
LOOKED_FOR = 200
"""Accounts that are looked for at once."""
HOLD_S = 5.0
"""For which a batch may hold the account's row, and a connection, while the index is written."""
CLOSE_S = 5.0
"""For which an end waits for a batch that is under way."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0

Forget = Callable[[], Awaitable[None]]

_CLAIM = """
    WITH head AS (SELECT seq FROM jmem.sync_heads WHERE user_id = $1),
    made AS (INSERT INTO jmem.index_heads (user_id, model) SELECT $1, $2 FROM head ON CONFLICT DO NOTHING)
    UPDATE jmem.index_heads i SET worker = $3, busy_until = now() + $4 * interval '1 second' FROM head
    WHERE i.user_id = $1 AND i.model = $2 AND i.seq < head.seq
        AND (i.busy_until IS NULL OR i.busy_until < now() OR i.worker = $3)
    RETURNING i.seq, head.seq AS wanted"""
_CHANGED = """
    SELECT m.id, m.seq, m.content, m.speaker, m.tags, m.client, m.state, m.at, m.thread, m.source, m.expires_at, m.deleted,
        m.purged, m.text_key, m.stamps ->> 'content' AS content_stamp, s.text_key AS held
    FROM jmem.memories m LEFT JOIN jmem.index_state s ON s.user_id = m.user_id AND s.id = m.id AND s.model = $2
    WHERE m.user_id = $1 AND m.seq > $3 ORDER BY m.seq LIMIT $4"""
_IS_BEHIND = """
    SELECT h.seq > coalesce(i.seq, 0) FROM jmem.sync_heads h
    LEFT JOIN jmem.index_heads i ON i.user_id = h.user_id AND i.model = $2 WHERE h.user_id = $1"""
_STRAY = """
    SELECT u.id FROM unnest($2::text[]) AS u (id) WHERE NOT EXISTS (
        SELECT FROM jmem.memories m
        WHERE m.user_id = $1 AND m.id = u.id AND m.content IS NOT NULL AND NOT m.deleted)"""
_HOLD = "SELECT FROM jmem.index_heads WHERE user_id = $1 AND model = $2 AND worker = $3 AND seq = $4 FOR UPDATE"
"""A write that changes a row behind the feed's end moves `seq` back: what was read before it is not written."""
_KEEP = """
    INSERT INTO jmem.index_state (user_id, id, model, content_stamp, text_key)
    SELECT $1, u.id, $2, u.stamp, u.key FROM unnest($3::text[], $4::text[], $5::bytea[]) AS u (id, stamp, key)
    ON CONFLICT (user_id, id, model) DO UPDATE SET content_stamp = excluded.content_stamp, text_key = excluded.text_key"""
_DROP = "DELETE FROM jmem.index_state WHERE user_id = $1 AND model = $2 AND id = ANY ($3::text[])"
_AHEAD = "UPDATE jmem.index_heads SET seq = $3, failures = 0, busy_until = $4 WHERE user_id = $1 AND model = $2"
_RELEASE = "UPDATE jmem.index_heads SET busy_until = NULL WHERE user_id = $1 AND model = $2 AND worker = $3"
_PAUSE = """
    UPDATE jmem.index_heads SET failures = failures + 1, worker = NULL, busy_until = now()
        + least($4::float8, $5::float8 * 2 ^ least(failures, 20)) * $6::float8 * interval '1 second'
    WHERE user_id = $1 AND model = $2 AND worker = $3
    RETURNING extract(epoch FROM busy_until - now())::float8"""
_BEHIND = text("SELECT jmem.index_behind(:model, :most)")
_DEPTH = text("SELECT accounts, changes, empty, worst FROM jmem.index_depth(:model)")


@dataclass(slots=True)
class Counts:
    """What a drain did since it began."""

    embedded: int = 0
    described: int = 0
    removed: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """How many accounts the index is behind for, and by how many changes; how many of them it has nothing of yet, and by
    how many changes it is behind for the worst."""

    accounts: int = 0
    changes: int = 0
    empty: int = 0
    worst: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A collection, and what makes its vectors."""

    collection: str
    embeddings: Embeddings

    @property
    def model(self) -> str:
        """The key of the model."""
        return self.embeddings.model.key


class Drain:
    """Fills one collection. Lives on one event loop; other replicas may have one too."""

    def __init__(
        self,
        database: Database,
        vectors: Vectors,
        target: Target,
        *,
        poll: float = POLL_S,
        forget: Forget | None = None,
    ) -> None:
        """`forget` drops what is remembered of purged texts, wherever it is; None: what the target's embeddings do."""
        self.target, self.counts = target, Counts()
        self._forget = forget
        self._database, self._vectors, self._poll = database, vectors, poll
        self._queue: dict[UUID, None] = {}
        self._filled, self._closing = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._broken: dict[UUID, UUID] = {}

    # ---- in the background --------------------------------------------------------------------

    def start(self) -> None:
        """Begin, with the accounts that are behind already."""
        self._tasks = [asyncio.create_task(self._look())]
        self._tasks += [asyncio.create_task(self._work()) for _ in range(WORKERS)]

    async def close(self) -> None:
        """End after the batch that is under way; what is left is done by whoever comes next."""
        for timer in self._timers:
            timer.cancel()
        self._closing.set()
        self._filled.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._tasks = []

    def hear(self, user_id: UUID, seq: int = 0) -> None:
        """An account changed: what `Bus.on_change` calls."""
        self._queue[user_id] = None
        self._filled.set()

    async def depth(self) -> Depth:
        """How far behind the index is, over all accounts."""
        async with self._database.engine.connect() as conn:
            row = (await conn.execute(_DEPTH, {"model": self.target.model})).one()
        return Depth(*row)

    @property
    def waiting(self) -> int:
        """Accounts in this replica's queue."""
        return len(self._queue)

    async def behind(self, most: int = LOOKED_FOR) -> list[UUID]:
        """Accounts that the index is behind for and nobody is at."""
        async with self._database.engine.connect() as conn:
            return list((await conn.execute(_BEHIND, {"model": self.target.model, "most": most})).scalars())

    async def _look(self) -> None:
        while not self._closing.is_set():
            pause = self._poll
            try:
                found = await self.behind(LOOKED_FOR)
                for user_id in found:
                    self.hear(user_id)
                if len(found) == LOOKED_FOR:  # there are more, as while a new model is filled
                    pause = min(pause, 0.5)
            except DATABASE_FAILURES as error:
                log.warning("accounts to index can't be looked for: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)

    async def _work(self) -> None:
        while not self._closing.is_set():
            if not self._queue:
                self._filled.clear()
                await self._filled.wait()
                continue
            user_id = next(iter(self._queue))
            del self._queue[user_id]
            try:
                await self.drain(user_id)
            except DATABASE_FAILURES as error:
                self.counts.failures += 1
                log.warning("an account can't be indexed now: %s", type(error).__name__)
                self._again(user_id, LONGEST_PAUSE_S / 30)
            except Exception:  # whatever is wrong with one account, the others are indexed
                self.counts.failures += 1
                log.exception("an account can't be indexed")
                self._again(user_id, LONGEST_PAUSE_S)

    def _again(self, user_id: UUID, pause: float) -> None:
        def hear() -> None:
            self._timers.discard(timer)
            self.hear(user_id)

        if self._closing.is_set():
            return
        timer = asyncio.get_running_loop().call_later(pause, hear)
        self._timers.add(timer)

    # ---- one account --------------------------------------------------------------------------

    async def drain(self, user_id: UUID) -> bool:
        """Bring one account up to date; False when that failed, and will be tried again, or another worker is at it."""
        known = self._broken.pop(user_id, None)  # the lease of a try that the database broke is ours still
        worker, held = known or uuid4(), known is not None
        try:
            while (claimed := await self._claim(user_id, worker)) is not None:
                held = True
                if not await self._try(user_id, worker, *claimed):
                    return False
            return await self._is_done(user_id)
        except DATABASE_FAILURES:
            if held:
                self._broken[user_id] = worker
            raise

    async def _try(self, user_id: UUID, worker: UUID, seq: int, wanted: int) -> bool:
        """One batch; False when it failed, or the end has come."""
        try:
            await self._step(user_id, worker, seq, wanted)
        except (EmbedderUnavailable, VectorsUnavailable) as error:
            self.counts.failures += 1
            log.warning("the vector index is behind: %s", error.message)
            await self._fail(user_id, worker)
            return False
        if self._closing.is_set():
            await self._release(user_id, worker)
            return False
        return True

    async def _is_done(self, user_id: UUID) -> bool:
        async with self._database.tenant(user_id) as conn:
            behind = await driver(conn).fetchval(_IS_BEHIND, user_id, self.target.model)
        return not behind

    async def _claim(self, user_id: UUID, worker: UUID) -> tuple[int, int] | None:
        async with self._database.tenant(user_id) as conn:
            raw = driver(conn)
            asked = (user_id, self.target.model, worker, LEASE_S)
            row = await raw.fetchrow(_CLAIM, *asked)
            if row is None:  # the row that was made a moment ago is seen by the next statement only
                row = await raw.fetchrow(_CLAIM, *asked)
        return None if row is None else (row["seq"], row["wanted"])

    async def _step(self, user_id: UUID, worker: UUID, seq: int, wanted: int) -> None:
        """One batch. Every change up to `wanted` was committed before the rows are read."""
        async with self._database.tenant(user_id) as conn:
            rows = await driver(conn).fetch(_CHANGED, user_id, self.target.model, seq, BATCH)
        reached = rows[-1]["seq"] if len(rows) == BATCH else max([wanted, *(row["seq"] for row in rows)])
        if any(row["purged"] for row in rows):
            await (self._forget or self._forget_here)()
        live = [row for row in rows if row["content"] is not None and not row["deleted"]]
        fresh = [row for row in live if row["held"] != row["text_key"]]
        texts = [embed_text(row["content"], row["speaker"]) for row in fresh]
        vectors = await self.target.embeddings.texts(user_id, texts)
        made = {row["id"]: vector.tolist() for row, vector in zip(fresh, vectors, strict=True) if vector is not None}
        refused = {row["id"] for row in fresh} - made.keys()
        kept = [row for row in live if row["id"] not in refused]
        entries = [_entry(row, self.target.model, made.get(row["id"])) for row in kept]
        gone = {row["id"] for row in rows} - {row["id"] for row in kept}
        if seq == 0:
            gone |= await self._stray(user_id)
        await self._write(user_id, worker, entries, list(gone), kept, (seq, reached, wanted))

    async def _forget_here(self) -> None:
        self.target.embeddings.forget()

    async def _stray(self, user_id: UUID) -> set[str]:
        """What the collection has of an account that nothing is known to be indexed of, and no row: a restored backup
        may be older than the collection."""
        held = await self._vectors.ids(user_id, self.target.collection)
        if not held:
            return held
        async with self._database.tenant(user_id) as conn:
            return {row["id"] for row in await driver(conn).fetch(_STRAY, user_id, list(held))}

    async def _write(
        self, user_id: UUID, worker: UUID, entries: Sequence[Entry], gone: Sequence[str], kept: Sequence[asyncpg.Record],
        span: tuple[int, int, int],
    ) -> None:  # fmt: skip
        model, collection, (seq, reached, wanted) = self.target.model, self.target.collection, span
        put = [entry for entry in entries if entry.vector is not None]
        told = [without_vector(entry) for entry in entries if entry.vector is None]
        async with self._database.tenant(user_id) as conn:
            raw = driver(conn)
            if await raw.fetchrow(_HOLD, user_id, model, worker, seq) is None:
                return  # the lease ran out, or the account is deleted
            try:
                async with asyncio.timeout(HOLD_S):
                    await self._vectors.upsert(user_id, collection, put)
                    await self._vectors.describe(user_id, collection, told)
                    await self._vectors.delete(user_id, collection, gone)
            except TimeoutError:
                raise VectorsUnavailable("the vector index takes too long") from None
            columns = zip(*((row["id"], row["content_stamp"], row["text_key"]) for row in kept), strict=True)
            if kept:
                await raw.execute(_KEEP, user_id, model, *map(list, columns))
            await raw.execute(_DROP, user_id, model, gone)
            lease = (
                None if reached >= wanted else await raw.fetchval("SELECT now() + $1 * interval '1 second'", LEASE_S)
            )
            await raw.execute(_AHEAD, user_id, model, reached, lease)
        self.counts.embedded += len(put)
        self.counts.described += len(told)
        self.counts.removed += len(gone)

    async def _release(self, user_id: UUID, worker: UUID) -> None:
        async with self._database.tenant(user_id) as conn:
            await driver(conn).execute(_RELEASE, user_id, self.target.model, worker)

    async def _fail(self, user_id: UUID, worker: UUID) -> None:
        """Give the account back, not to be tried before a pause that grows with every failure."""
        spread = random.uniform(0.5, 1.0)
        async with self._database.tenant(user_id) as conn:
            pause = await driver(conn).fetchval(
                _PAUSE, user_id, self.target.model, worker, LONGEST_PAUSE_S, SHORTEST_PAUSE_S, spread
            )
        if pause is not None:
            self._again(user_id, pause)


def _entry(row: asyncpg.Record, model: str, vector: Sequence[float] | None) -> Entry:
    return Entry(
        row["id"], model, row["at"], row["state"], row["client"], tuple(row["tags"]), row["thread"], row["source"],
        row["expires_at"], vector,
    )  # fmt: skip
