"""The thread that keeps the vector index equal to the rows.

It sleeps until a commit wakes it, drains what changed by diff (`seq` past the shard's mark) and sleeps
again; a timeout runs only while there is work that failed. Everything it does is repeatable, so a crash
at any point costs at most doing the last steps again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core.embed import Embedder, EmbedderUnavailable
from jmem.core.embed.memory import giving_back, release_memory
from jmem.core.errors import JmemError, StorageFailed
from jmem.core.feeding import CHUNK, Feeder, Row
from jmem.core.index import IndexDamaged, VectorIndex
from jmem.core.postponed import Postponed
from jmem.core.receipts import PlaceReceipt, erased, unreached
from jmem.core.shard import Shard
from jmem.core.store import Store
from jmem.core.vectors import VectorStore

log = logging.getLogger(__name__)

FLUSH_EVERY = 1_000
"""Operations: edge's write-ahead log grows by 3 KB each until a flush."""
FLUSH_AT_REST = 200
"""A flush costs 10 to 150 ms, so a few single writes wait for the next one: they are repeated after a power cut."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds between tries while the embedder or the disk fails."""
FORGET_TIMEOUT = 60.0
MEMORY_AFTER = 64
"""Texts embedded in a row after which freed memory is given back."""


@dataclass
class _Command:
    kind: str
    ids: list[str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    error: str | None = None


class _Interrupted(Exception):
    """A command or the end is due; what is left is done in the next round."""


class Indexer:
    """One thread. `start`, `stop`, `wake`; `rebuild`, `forget` and `release` are carried out by it."""

    def __init__(
        self,
        store: Store,
        vectors: VectorStore,
        index: VectorIndex,
        embedder: Embedder,
        *,
        allow_remote_for_local: bool = False,
    ) -> None:
        self._store, self._vectors, self._index, self._embedder = store, vectors, index, embedder
        self._feeder = Feeder(store, vectors, embedder, allow_remote_for_local)
        self._changed = threading.Condition()
        self._woken = False
        self._stopping = False
        self._busy = False
        self._commands: list[_Command] = []
        self._shard: Shard | None = None
        self._position = 0
        """every op up to this one is applied to `_shard`, but for what is postponed"""
        self._ahead = 0
        """live rows past the position that are applied already"""
        self._postponed = Postponed()
        self._verified = False
        self._embedded = 0
        self._rebuilds = 0
        self._pause = 0.0
        self._retry_at = 0.0
        """`time.monotonic()` of the next try while something fails"""
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"jmem-indexer-{store.folder.name[:8]}", daemon=True)

    # ---- from other threads -------------------------------------------------------------------

    def start(self) -> None:
        """Begin; drains what is pending first. Call once, after the process has forked for the last time."""
        self._store.on_commit(lambda seq: self.wake())
        self._index.on_damage = self.wake
        self._woken = True
        self._thread.start()

    def stop(self) -> None:
        """Finish the step under way, flush, and end. Safe to call twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        for command in self._take_commands():
            command.error = "the indexer has stopped"
            command.done.set()

    def wake(self) -> None:
        """Look for changes; costs nothing when there are none."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def pending(self) -> int:
        """Live memories whose vector is not in the index yet."""
        waiting = self._feeder.count_after(self._position) - self._ahead
        return max(0, waiting) + len(self._postponed)

    def course(self) -> tuple[str, int]:
        """ "ready", "indexing" or "waiting", and how many memories are not in the index yet; looks at no file."""
        pending = self.pending()
        if self._error or self._postponed.reason:
            return "waiting", pending
        return "indexing" if pending or self._busy or self._index.filling else "ready", pending

    def state(self) -> dict[str, Any]:
        """For people: `state` as in `course`, what it waits for (`error`), and the numbers beside it."""
        (state, pending), error = self.course(), self._error or self._postponed.reason
        try:
            wanted: str | None = self._embedder.fingerprint
        except EmbedderUnavailable:
            wanted = None
        points = self._index.points()
        return {"state": state, "embedder": self._embedder.name, "fingerprint": wanted, "serving": self._index.fingerprint,
                "indexed": points, "points": points, "pending": pending,
                "expected": self._feeder.expected(), "bytes": self._index.size(), "error": error}  # fmt: skip

    def wait_idle(self, timeout: float) -> bool:
        """Wait until everything committed so far is in the index; False when it took longer."""

        def idle() -> bool:
            busy = self._woken or self._busy or self._commands or self._postponed
            return not busy and self._position >= self._store.last_seq

        with self._changed:
            return self._changed.wait_for(idle, timeout)

    def rebuild(self, *, embed: bool = False) -> None:
        """Make the index anew in the background, from the stored vectors or (`embed`) from the texts."""
        self._order(_Command("embed" if embed else "rebuild"))

    def release(self) -> None:
        """Close the index until it is needed again, to give its memory back."""
        self._order(_Command("release"))

    def forget(self, ids: list[str]) -> tuple[PlaceReceipt, ...]:
        """Purge hook: erase the vectors of these memories and rewrite the index without them, files and all."""
        command = self._order(_Command("forget", ids))
        if not self._thread.is_alive():
            for each in self._take_commands():
                self._carry_out(each)
        if not command.done.wait(FORGET_TIMEOUT):
            command.error = "it is still at work"
        if command.error is not None:
            return unreached("vectors", command.error), unreached("vector index", command.error)
        return erased("vectors"), erased("vector index")

    def _order(self, command: _Command) -> _Command:
        with self._changed:
            self._commands.append(command)
            self._changed.notify_all()
        return command

    def _take_commands(self) -> list[_Command]:
        with self._changed:
            commands, self._commands = self._commands, []
            return commands

    # ---- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._woken or self._commands or self._stopping, timeout=self._patience()
                )
                if self._stopping:
                    break
                woken, self._busy, self._woken = self._woken, True, False
            self._turn(woken)
        try:
            if self._shard is not None:
                self._flush_if(self._shard, 1)
        except (IndexDamaged, StorageFailed) as error:  # what is past the mark is applied again at the next start
            log.warning("%s", error)

    def _patience(self) -> float | None:
        """Seconds until the next try; None while nothing fails."""
        if self._pause:
            return max(0.0, self._retry_at - time.monotonic())
        return self._postponed.patience()

    def _turn(self, woken: bool) -> None:
        """One round of work; whatever fails is tried again later. `woken`: there may be changes."""
        try:
            commands = self._take_commands()
            for command in commands:
                self._carry_out(command)
            if woken or not commands or any(command.kind != "release" for command in commands):
                self._drain()
                self._error, self._pause, self._retry_at, self._rebuilds = None, 0.0, 0.0, 0
        except _Interrupted:
            self._woken = True
        except IndexDamaged as error:
            self._give_up_shard(error)
        except JmemError as error:
            self._fail(error.message)
        except Exception as error:
            log.exception("the indexer failed")
            self._fail(repr(error))
        if self._embedded >= MEMORY_AFTER and not self._woken:
            self._embedded = 0
            release_memory()

    def _fail(self, reason: str) -> None:
        if reason != self._error:
            log.warning("the index waits: %s", reason)
        self._error = reason
        now = time.monotonic()
        if now >= self._retry_at:  # a write that fails in between is no reason to wait longer
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
            self._retry_at = now + self._pause

    def _give_up_shard(self, error: IndexDamaged) -> None:
        """Start anew at once; with a pause when that did not help (full or read-only disk)."""
        for shard in (self._shard, self._index.damaged):
            if shard is not None:
                self._index.drop(shard)
        self._shard = self._index.damaged = None
        self._rebuilds += 1
        if self._rebuilds > 1:
            self._fail(str(error))
        else:
            log.warning("rebuilding: %s", error)
            self._woken = True

    # ---- draining -----------------------------------------------------------------------------

    def _drain(self) -> None:
        """Apply everything committed so far; raises the embedder's failure once all else is applied."""
        if self._index.damaged is not None:
            raise IndexDamaged(f"index {self._index.damaged.folder.name} failed a search")
        shard = self._target()
        failure = self._embed(shard, self._live(self._postponed.due()), None)
        while True:
            last = self._store.last_seq
            rows = self._feeder.changed(self._position, last)
            self._purge(shard, self._position, last)
            todo = self._feeder.feed(shard, rows)
            self._postponed.drop({row.id for row in rows} - {row.id for row in todo})
            self._ahead = sum(1 for row in rows if not row.deleted) - len(todo)
            failure = self._embed(shard, todo, failure)
            self._ahead = 0
            self._position = rows[-1].seq if len(rows) == CHUNK else last
            self._flush_if(shard, FLUSH_EVERY)
            if len(rows) < CHUNK and self._store.last_seq == last:
                break
            if self._interrupted():
                raise _Interrupted
        self._at_rest(shard)
        if failure:
            raise failure

    def _interrupted(self) -> bool:
        return self._stopping or bool(self._commands)

    def _target(self) -> Shard:
        """The shard to feed; starts at its mark when it is another than before."""
        try:
            fingerprint = self._embedder.fingerprint
        except EmbedderUnavailable:  # a remote model's dimension is known after its first answer only
            self._embedder.load()
            fingerprint = self._embedder.fingerprint
        shard = self._index.target(fingerprint, self._embedder.dimension)
        if shard is not self._shard:
            try:
                shard.load()
            except IndexDamaged:
                self._index.drop(shard)
                raise
            self._use(shard)
        return shard

    def _use(self, shard: Shard) -> None:
        self._shard, self._position, self._ahead = shard, shard.mark.seq, 0
        self._postponed, self._verified = Postponed(), False

    def _embed(
        self, shard: Shard, rows: Sequence[Row], failure: EmbedderUnavailable | None
    ) -> EmbedderUnavailable | None:
        """Embed and apply; rows that an unavailable embedder leaves are postponed, and its reason is returned.
        Those whose text it refuses are postponed too, but are no reason to leave others.

        With a `failure` all are postponed unasked. Raises _Interrupted: what is left comes up again, since the
        position has not moved.
        """
        left, refused = {row.id: row for row in rows}, dict[str, str]()
        try:
            if failure is None:
                for step in self._feeder.embed(shard, rows, lambda: not self._interrupted(), refused):
                    for row in step:
                        left.pop(row.id)
                    self._postponed.drop(row.id for row in step)
                    self._ahead += len(step)
                    self._embedded += len(step)
                    self._flush_if(shard, FLUSH_EVERY)
        except EmbedderUnavailable as error:
            failure = error
        shard.delete(list(refused))  # the points there may be of an older text
        for id, reason in refused.items():
            self._postponed.refuse(id, left.pop(id).seq, reason)
        if left and failure is None:
            raise _Interrupted
        shard.delete(list(left))
        for row in left.values():
            self._postponed.add(row.id, row.seq)
        return failure

    def _live(self, ids: Sequence[str]) -> list[Row]:
        """Postponed rows as they are now; forgets those that are gone."""
        rows: list[Row] = []
        for start in range(0, len(ids), CHUNK):
            rows += self._feeder.by_id(ids[start : start + CHUNK])
        live = [row for row in rows if not row.deleted]
        self._postponed.drop(set(ids) - {row.id for row in live})
        return live

    def _purge(self, shard: Shard, after: int, up_to: int) -> None:
        ids = self._feeder.purged(after, up_to)
        if ids:
            shard.delete(ids)
            self._vectors.forget(ids)
            self._postponed.drop(ids)

    def _at_rest(self, shard: Shard) -> None:
        """Everything is applied: verify a shard that was found on disk, hand over a filled one, flush."""
        if not self._verified and self._store.last_seq == self._position:
            expected, points = self._feeder.expected() - len(self._postponed), shard.count()
            if points != expected and self._store.last_seq == self._position:
                raise IndexDamaged(f"index {shard.folder.name} has {points} points instead of {expected}")
            self._verified = True
        if self._index.filling is shard and self._postponed.only_refused:
            self._index.finish(self._postponed.settled(self._position))
            self._vectors.prune(self._feeder.every_id(), shard.mark.fingerprint)
        else:
            self._flush_if(shard, FLUSH_AT_REST)

    def _flush_if(self, shard: Shard, operations: int) -> None:
        """Flush after that many operations; the mark stops before the first row that still waits."""
        if shard.unflushed >= operations:
            shard.flush(self._postponed.settled(self._position))

    # ---- commands -----------------------------------------------------------------------------

    def _carry_out(self, command: _Command) -> None:
        try:
            match command.kind:
                case "release":
                    if self._shard is not None:
                        self._flush_if(self._shard, 1)
                    with giving_back():
                        self._index.release()
                case "forget":
                    self._forget(command.ids)
                case _:
                    if command.kind == "embed":
                        self._vectors.clear(self._embedder.fingerprint)
                    self._use(self._index.target(self._embedder.fingerprint, self._embedder.dimension, fresh=True))
        except (IndexDamaged, JmemError) as error:
            command.error = str(error)
            log.warning("%s of the index failed: %s", command.kind, error)
        except Exception as error:  # the others that wait in this turn are carried out all the same
            command.error = repr(error)
            log.exception("%s of the index failed", command.kind)
        finally:
            command.done.set()

    def _forget(self, ids: list[str]) -> None:
        """Points leave at once; then the shard is written anew, since edge keeps deleted bytes in its files."""
        self._vectors.forget(ids)
        self._postponed.drop(ids)
        old = self._index.current
        if old is None:
            return
        old.delete(ids)
        if self._index.filling is not None and self._index.filling is not old:
            self._index.drop(self._index.filling)  # the next drain begins it anew, without these
        position, caught_up = old.mark.seq, old.mark.complete
        if old is self._shard:
            position = self._position
        new = self._index.target(old.mark.fingerprint, old.mark.dimension, fresh=True)
        after = 0
        while rows := self._feeder.changed(after, position):
            for row in self._feeder.feed(new, rows):  # their vectors are lost: the next drain embeds them again
                self._postponed.add(row.id, row.seq)
            after = rows[-1].seq
        settled = self._postponed.settled(position)
        if caught_up:
            self._index.finish(settled)
        else:
            new.flush(settled)
        postponed, verified = self._postponed, self._verified
        self._use(new)
        self._position, self._postponed, self._verified = position, postponed, verified
