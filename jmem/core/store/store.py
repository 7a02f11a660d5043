"""One user's memories on disk: the writer, pooled readers, and what opening a database takes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from jmem.core.clock import Clock
from jmem.core.errors import StorageFailed
from jmem.core.store import fts, oplog
from jmem.core.store.failures import is_damage, storage_failed
from jmem.core.store.migrate import copy_database, migrate
from jmem.core.store.writer import Pending, Tx, Writer

T = TypeVar("T")
DATABASE = "memories.db"
MAX_IDLE_READERS = 8
CLOCK_OFFSET = "sync.offset"
"""The key in `meta` of the clock that is followed less the wall clock, ms."""


class Store:
    """SQLite in WAL mode with one writer thread. Readers see every write that was acknowledged before they began."""

    def __init__(self, folder: Path, conn: sqlite3.Connection, migrated: list[int]) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        self.migrated = migrated
        """schema versions reached while opening"""
        self._callbacks: list[Callable[[int], None]] = []
        self._readers: list[sqlite3.Connection] = []
        self._open = True
        self.store_id = _store_id(conn)
        clock = Clock(conn.execute("SELECT COALESCE(MAX(stamp), '') FROM ops").fetchone()[0])
        offset = conn.execute("SELECT value FROM meta WHERE key = ?", (CLOCK_OFFSET,)).fetchone()
        clock.offset_ms = 0 if offset is None else int(offset[0])
        self._writer = Writer(
            self.path,
            conn,
            lambda: _connect(self.path),
            clock,
            self._finish_group,
            self._committed,
            fts.tend,
            oplog.newest_seq(conn),
        )

    @staticmethod
    def open(folder: Path) -> Store:
        """Open or create the store of a user's folder and bring it to the newest schema.

        Raises StorageFailed: `newer_store`, `damaged`, `read_only`, `disk_full`, `cannot_open`.
        A read-only file with the newest schema opens: it can be read, and a write says what is wrong.
        """
        path = folder / DATABASE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            conn = _connect(path)
        except sqlite3.Error as error:
            raise storage_failed(error, path) from error
        except OSError as error:
            raise StorageFailed(f"{folder} can't be used: {error.strerror}", code="cannot_open",
                                fix=f"check the owner and the permissions of {folder}") from error  # fmt: skip
        try:
            return Store(folder, conn, migrate(conn, folder / "backups"))
        except sqlite3.Error as error:
            conn.close()
            raise storage_failed(error, path) from error
        except BaseException:
            conn.close()
            raise

    @property
    def last_seq(self) -> int:
        """Of the last op on disk; 0 while there is none."""
        return self._writer.last_seq

    # ---- writing ------------------------------------------------------------------------------

    def write(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` in the writer thread, in a savepoint of its own; returns after the durable commit of its group.

        `fn` may be run a second time when the group it was in could not be committed. What it raises takes back
        only what it wrote. Raises StorageFailed when the disk or the file fails; nothing is stored then.
        """
        return self._writer.submit(fn).result()

    def submit(self, fn: Callable[[Tx], T]) -> Pending[T]:
        """As `write`, without waiting for it."""
        return self._writer.submit(fn)

    def outside(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in the writer thread outside any transaction, for VACUUM, checkpoints and the like."""
        return self._writer.submit_outside(fn).result()

    def on_commit(self, callback: Callable[[int], None]) -> None:
        """Have `callback(last_seq)` called from the writer thread after each commit that wrote an op."""
        self._callbacks.append(callback)

    def _finish_group(self, tx: Tx) -> None:
        if tx.touched or tx.spots:
            fts.refresh(tx.conn, tx.touched, tx.fresh, tx.spots)

    def _committed(self, seq: int) -> None:
        for callback in self._callbacks:
            callback(seq)

    # ---- reading ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of the pool; SQLite's failures come out as StorageFailed."""
        if not self._open:
            raise StorageFailed("the store is closed", code="closed", fix="jmem daemon start")
        conn = None
        try:
            try:
                conn = self._readers.pop()
            except IndexError:
                conn = _connect_reader(self.path)
            yield conn
        except sqlite3.DatabaseError as error:
            if not (isinstance(error, sqlite3.OperationalError) or is_damage(error)):
                raise
            raise storage_failed(error, self.path) from error
        finally:
            if conn is not None:
                if self._open and len(self._readers) < MAX_IDLE_READERS and not conn.in_transaction:
                    self._readers.append(conn)
                else:
                    conn.close()

    # ---- care ---------------------------------------------------------------------------------

    def backup(self, target: Path) -> int:
        """Write a consistent, checked copy to `target` while work goes on; its size in bytes."""
        with self.reader() as conn:
            return copy_database(conn, target)

    def rebuild_fts(self) -> int:
        """Write the full-text index anew from the rows; the number of its entries."""
        return self.write(lambda tx: fts.rebuild(tx.conn))

    def rebuild_rows(self) -> int:
        """Fold every memory anew from the op log, then rebuild the full-text index; the number of rows."""

        def run(tx: Tx) -> int:
            ids = [id for (id,) in tx.conn.execute("SELECT DISTINCT memory_id FROM ops")]
            tx.conn.execute("DELETE FROM memory_tags")
            tx.conn.execute(
                "DELETE FROM memories WHERE id NOT IN (SELECT memory_id FROM ops) OR id IN (SELECT id FROM purged)"
            )
            for id in ids:
                oplog.fold_anew(tx, id)
            tx.touched.clear()
            tx.spots.clear()
            fts.rebuild(tx.conn)
            return int(tx.conn.execute("SELECT COUNT(*) FROM memories").fetchone()[0])

        return self.write(run)

    def close(self) -> None:
        """Finish the queued writes, then close every connection. Safe to call twice."""
        self._open = False
        while self._readers:
            self._readers.pop().close()
        self._writer.close()  # last, so that SQLite tidies its log away

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: Path) -> sqlite3.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        conn.execute("PRAGMA busy_timeout = 5000")
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA secure_delete = ON")
        conn.execute("PRAGMA temp_store = MEMORY")
        conn.execute("PRAGMA cache_size = -16000")
        # the writer checkpoints by itself after answering; this is the safety net under a steady stream
        conn.execute("PRAGMA wal_autocheckpoint = 8000")
    except BaseException:
        conn.close()
        raise
    return conn


def _connect_reader(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
                           check_same_thread=False, cached_statements=256)  # fmt: skip
    conn.execute("PRAGMA busy_timeout = 5000")
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.execute("PRAGMA cache_size = -4000")
    return conn


def _store_id(conn: sqlite3.Connection) -> str:
    row = conn.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
    if row is None:
        row = (str(uuid.uuid4()),)
        conn.execute("INSERT INTO meta (key, value) VALUES ('store_id', ?)", row)
    return str(row[0])
