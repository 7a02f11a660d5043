"""One thread that owns the writing connection and groups what is waiting into one durable commit.

Every job runs in a savepoint of its own, so that a failing one takes back only what it did. A caller is
answered after the commit that holds its job is on disk (WAL, synchronous=FULL), never before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from jmem.core.clock import Clock
from jmem.core.errors import JmemError, StorageFailed
from jmem.core.store.failures import of_statement, primary_code, storage_failed

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_GROUP = 128
"""Jobs in one commit."""
TEND_EVERY = 16
"""Commits between turns of tending the full-text index, after the answers have gone out. A large one counts as many."""
JOBS_A_COMMIT = 50
"""Rows that make a commit count once more."""
CHECKPOINT_EVERY = 64
"""The same for checkpoints."""
HEAD_START = 0.0001
"""Seconds. `sqlite3` lets go of the GIL once before it commits: who computes then holds the commit up as long."""


class Tx:
    """What a job may use while it runs: the connection, the clock, and marks for the end of the group."""

    __slots__ = ("actions", "clock", "conn", "fresh", "last_seq", "spots", "touched")

    def __init__(self, conn: sqlite3.Connection, clock: Clock, last_seq: int) -> None:
        self.conn = conn
        self.clock = clock
        self.touched: set[int] = set()
        """rowids whose full-text row must be brought up to date"""
        self.fresh: set[int] = set()
        """those of them that have no full-text row yet"""
        self.spots: set[tuple[str, str, str]] = set()
        """(thread, at, id) places whose neighbours' context changed"""
        self.last_seq = last_seq
        """of the newest op"""
        self.actions: dict[int, tuple[Any, ...]] = {}
        """actions begun here that have no op yet: id -> row"""

    def set_meta(self, key: str, value: str | None) -> None:
        """Keep a value in the store, or (None) forget it."""
        if value is None:
            self.conn.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self.conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Take back what the body wrote when it raises JmemError, which goes on to the caller."""
        seq, begun = self.last_seq, dict(self.actions)
        self.conn.execute("SAVEPOINT part")
        try:
            yield
        except JmemError:
            self.conn.execute("ROLLBACK TO part")
            self.conn.execute("RELEASE part")
            self.last_seq, self.actions = seq, begun
            raise
        self.conn.execute("RELEASE part")


class Pending(Generic[T]):
    """The result of a job to come."""

    __slots__ = ("_committing", "_done", "_error", "_started", "_value", "fn", "outside")

    def __init__(self, fn: Callable[[Any], T] | None, outside: bool = False) -> None:
        self.fn = fn
        self.outside = outside
        self._started = False
        self._committing, self._done = threading.Lock(), threading.Lock()
        self._committing.acquire()
        self._done.acquire()
        self._value: T | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Say that the disk is at work from here on; called by the writer, more than once where a commit is tried again."""
        if not self._started:
            self._started = True
            self._committing.release()

    def settle(self, value: T | None, error: BaseException | None) -> None:
        """Hand over the outcome; called once, by the writer."""
        self._value, self._error, self.fn = value, error, None
        self.start()
        self._done.release()

    def committing(self) -> None:
        """Wait until the job has run and the disk is at work: what the caller has to do now costs the write nothing."""
        with self._committing:
            pass
        if self._done.acquire(timeout=HEAD_START):
            self._done.release()

    def result(self) -> T:
        """Wait for the durable commit and return what the job returned, or raise what it raised."""
        with self._done:
            pass
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


Outcome = tuple[Any, BaseException | None]


class Writer:
    """The writer thread. `connect` opens the writing connection, `finish` runs once before each commit."""

    def __init__(
        self,
        path: Path,
        conn: sqlite3.Connection,
        connect: Callable[[], sqlite3.Connection],
        clock: Clock,
        finish: Callable[[Tx], None],
        committed: Callable[[int], None],
        tend: Callable[[sqlite3.Connection], bool],
        last_seq: int,
    ) -> None:
        self._path, self._conn, self._connect = path, conn, connect
        self._files = _files(path)
        self._clock, self._finish, self._committed, self._tend = clock, finish, committed, tend
        self._queue: SimpleQueue[Pending[Any]] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._commits = self._tended = 0
        self.last_seq = last_seq
        """of the last op that is on disk"""
        self._thread = threading.Thread(target=self._run, name=f"jmem-writer-{path.parent.name[:8]}", daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[[Tx], T]) -> Pending[T]:
        """Queue a job; raises StorageFailed once the store is closed."""
        return self._put(Pending(fn))

    def submit_outside(self, fn: Callable[[sqlite3.Connection], T]) -> Pending[T]:
        """Queue work that can't run inside a transaction (VACUUM, checkpoints); it runs alone, in its turn."""
        return self._put(Pending(fn, outside=True))

    def _put(self, job: Pending[T]) -> Pending[T]:
        with self._lock:
            if self._closed:
                raise StorageFailed("the store is closed", code="closed", fix="jmem daemon start")
            self._queue.put(job)
        return job

    def close(self) -> None:
        """Finish what is queued, checkpoint and close the connection. Safe to call twice."""
        with self._lock:
            first, self._closed = not self._closed, True
            if first:
                self._queue.put(Pending(None, outside=True))
        self._thread.join()

    # ---- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            group, last = self._next_group()
            try:
                if group:
                    self._serve(group)
                if last is not None:
                    if last.fn is None:
                        break
                    self._serve_outside(last)
                if self._queue.empty():
                    self._look_after()
            except Exception as error:  # the thread goes on: without it every write would wait for ever
                log.exception("the writer failed")
                for job in (*group, *([last] if last is not None else [])):
                    if job.fn is not None:
                        job.settle(None, error)
        self._checkpoint("TRUNCATE")
        self._conn.close()

    def _next_group(self) -> tuple[list[Pending[Any]], Pending[Any] | None]:
        """What waits now: jobs for one transaction, and the outside job that ends them, if there is one."""
        group: list[Pending[Any]] = []
        job = self._queue.get()
        while not job.outside:
            group.append(job)
            if len(group) == MAX_GROUP:
                return group, None
            try:
                job = self._queue.get_nowait()
            except Empty:
                return group, None
        return group, job

    def _serve(self, group: list[Pending[Any]]) -> None:
        seq = self.last_seq
        try:
            outcomes = self._transaction(group)
        except Exception as error:  # noqa: BLE001  the thread's edge: each job learns its own outcome below
            if len(group) > 1:
                log.warning("a group of %d writes failed and is tried one by one: %r", len(group), error)
                for job in group:
                    self._serve([job])
                return
            outcomes = self._second_try(group, error)
        for job, outcome in zip(group, outcomes, strict=True):
            job.settle(*outcome)
        if self.last_seq > seq:
            try:
                self._committed(self.last_seq)
            except Exception:
                log.exception("a listener to commits failed")

    def _second_try(self, group: list[Pending[Any]], error: Exception) -> list[Outcome]:
        """A connection opened while the file was read-only stays so: try once more with a new one."""
        if isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_READONLY and self._reopen():
            try:
                return self._transaction(group)
            except Exception as again:  # noqa: BLE001  as above
                error = again
        failure = storage_failed(error, self._path) if isinstance(error, sqlite3.Error) else error
        return [(None, failure)]

    def _transaction(self, group: list[Pending[Any]]) -> list[Outcome]:
        """Run the jobs and commit; an exception means that nothing of the group is stored."""
        conn = self._conn
        tx = Tx(conn, self._clock, self.last_seq)
        last, offset_ms = tx.clock.last, tx.clock.offset_ms
        try:
            conn.execute("BEGIN IMMEDIATE")
            outcomes = [self._run_job(tx, job) for job in group]
            self._finish(tx)
            self._check_files()
            for job in group:
                job.start()
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            tx.clock.last, tx.clock.offset_ms = last, offset_ms
            raise
        self._commits += 1 + len(tx.touched) // JOBS_A_COMMIT
        self.last_seq = tx.last_seq
        return outcomes

    def _run_job(self, tx: Tx, job: Pending[Any]) -> Outcome:
        conn, seq, last, offset_ms = tx.conn, tx.last_seq, tx.clock.last, tx.clock.offset_ms
        conn.execute("SAVEPOINT job")
        try:
            assert job.fn is not None
            value = job.fn(tx)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not (of_statement(error) and conn.in_transaction):
                raise  # disk full, I/O error and the like: the group is lost and is tried one by one
            conn.execute("ROLLBACK TO job")
            conn.execute("RELEASE job")
            tx.last_seq, tx.clock.last, tx.clock.offset_ms = seq, last, offset_ms
            return None, error
        conn.execute("RELEASE job")
        return value, None

    def _check_files(self) -> None:
        """What is written to a file that was removed or replaced is gone with this process: refuse to acknowledge it."""
        now = _files(self._path)
        for name, held in self._files.items():
            if held is not None and now[name] != held:
                raise StorageFailed(f"{name} was removed or replaced while it was open; nothing was stored",
                                    code="store_gone", fix="put it back, or jmem daemon restart")  # fmt: skip

    def _serve_outside(self, job: Pending[Any]) -> None:
        try:
            assert job.fn is not None
            job.settle(job.fn(self._conn), None)
        except sqlite3.Error as error:
            job.settle(None, storage_failed(error, self._path))
        except Exception as error:  # noqa: BLE001  the caller gets it, with its traceback
            job.settle(None, error)

    def _reopen(self) -> bool:
        try:
            fresh = self._connect()
        except (sqlite3.Error, OSError):
            return False
        self._conn.close()
        self._conn = fresh
        self._files = _files(self._path)
        return True

    def _look_after(self) -> None:
        if self._commits - self._tended >= TEND_EVERY:
            self._tended = self._commits
            try:
                while self._tend(self._conn) and self._queue.empty():
                    pass  # there is more to do, and nobody waits
            except sqlite3.Error as error:  # more segments to look into, until the next turn
                log.warning("tending %s: %s", self._path, error)
        if self._commits >= CHECKPOINT_EVERY:
            self._checkpoint("PASSIVE")

    def _checkpoint(self, kind: str) -> None:
        self._commits = self._tended = 0
        try:
            self._conn.execute(f"PRAGMA wal_checkpoint({kind})")
        except sqlite3.Error as error:  # the log keeps growing until the next one: nothing is lost
            log.warning("checkpoint of %s: %s", self._path, error)


def _files(path: Path) -> dict[str, tuple[int, int] | None]:
    """What the database's names lead to: device and inode, None where nothing is."""
    found: dict[str, tuple[int, int] | None] = {}
    for name in (str(path), f"{path}-wal", f"{path}-shm"):
        try:
            there = os.stat(name)  # noqa: PTH116  in every commit: a Path costs three times the call
        except OSError:
            found[name] = None
        else:
            found[name] = there.st_dev, there.st_ino
    return found
