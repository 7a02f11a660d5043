"""Who asked for what and what they were answered: `access.db`, written behind the answers.

A record is lost only if the process dies within a moment of it. The log is bounded, and holds no memory's
text; a query is forgotten with the memories it found.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jmem.core.accesses import MAX_ACCESSES, Access, Answer, Wanted
from jmem.core.errors import StorageFailed
from jmem.core.store.failures import primary_code, storage_failed

__all__ = ["Access", "AccessLog", "Answer", "Wanted"]

DATABASE = "access.db"
MAX_WAITING = 10_000
GATHER_SECONDS = 0.25
"""How long the first waiting record waits for company."""
log = logging.getLogger(__name__)

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS accesses (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, client TEXT NOT NULL, what TEXT NOT NULL,
        query TEXT, detail TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS answers (
        access INTEGER NOT NULL, rank INTEGER NOT NULL, memory_id TEXT NOT NULL, score REAL, legs TEXT,
        PRIMARY KEY (access, rank)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS answers_memory ON answers (memory_id, access)",
    "CREATE INDEX IF NOT EXISTS accesses_client ON accesses (client, id)",
)


def _condition(wanted: Wanted) -> tuple[str, list[Any]]:
    """A condition on table `accesses`."""
    conditions, params = ["1"], list[Any]()
    if wanted.client is not None:
        conditions.append("client = ?")
        params.append(wanted.client)
    if wanted.what:
        conditions.append("what IN (SELECT value FROM json_each(?))")
        params.append(json.dumps(list(wanted.what)))
    if wanted.memory is not None:
        conditions.append("id IN (SELECT access FROM answers WHERE memory_id = ?)")
        params.append(wanted.memory)
    if wanted.after is not None:
        conditions.append("id > ?")
        params.append(wanted.after)
    if wanted.before is not None:
        conditions.append("id < ?")
        params.append(wanted.before)
    return " AND ".join(conditions), params


class AccessLog:
    """The log of one user. `record` only queues; one thread writes what has gathered, and sleeps while none has."""

    def __init__(self, folder: Path, *, keep: int = MAX_ACCESSES) -> None:
        self.path = folder / DATABASE
        self._keep = keep
        self._conn = _open(self.path)
        self._db = threading.Lock()
        self._waiting: deque[Access] = deque()
        self._changed = threading.Condition()
        self._hurry = False
        self._closed = False
        self.dropped = 0
        """records that could not be written (disk full)"""
        self.on_written: Callable[[], None] = lambda: None
        """called, from any thread, after records were written"""
        self._thread = threading.Thread(target=self._run, name="jmem-access", daemon=True)
        self._thread.start()

    def record(self, access: Access) -> None:
        """Queue a record; never blocks on the disk."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(access)
            if len(self._waiting) == 1:
                self._changed.notify_all()

    def flush(self) -> None:
        """Write what is queued, now."""
        with self._db:
            self._write_waiting()

    def recent(self, client: str | None = None, limit: int = 100) -> list[Access]:
        """The newest accesses, newest first."""
        return self.find(Wanted(client), limit)

    def find(self, wanted: Wanted, limit: int = 100) -> list[Access]:
        """The newest accesses, newest first; of those with `wanted.memory`, only that answer."""
        where, params = _condition(wanted)
        sql = f"SELECT * FROM accesses WHERE {where} ORDER BY id DESC LIMIT ?"
        return self._read(sql, (*params, limit), only=wanted.memory)

    def following(self, after: int, limit: int) -> list[Access]:
        """The accesses that came right after a number, oldest first, without their answers but with their count."""
        sql = (
            "SELECT id, at, client, what, query,"
            " json_object('count', coalesce(json_extract(detail, '$.count'),"
            " (SELECT count(*) FROM answers WHERE access = id)),"
            " 'refused', json_extract(detail, '$.refused'), 'review', json_extract(detail, '$.review'))"
            " FROM accesses WHERE id > ? ORDER BY id LIMIT ?"
        )
        return self._read(sql, (after, limit), answers=False)

    def last_id(self) -> int:
        """The number of the newest access; 0 while there is none."""
        with self._db, self._failures():
            self._write_waiting()
            return int(self._conn.execute("SELECT COALESCE(MAX(id), 0) FROM accesses").fetchone()[0])

    def forget(self, ids: Sequence[str]) -> int:
        """Erase memories from the log, with the queries that found them, from the file's bytes too; how many records."""
        with self._db, self._failures():
            self._write_waiting()
            touched = 0
            with _transaction(self._conn):
                for id in ids:
                    found = self._conn.execute(
                        "SELECT DISTINCT access FROM answers WHERE memory_id = ?", (id,)
                    ).fetchall()
                    self._conn.executemany("UPDATE accesses SET query = NULL, detail = '{}' WHERE id = ?", found)
                    self._conn.execute("DELETE FROM answers WHERE memory_id = ?", (id,))
                    touched += len(found)
            self._conn.execute("VACUUM")
            self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return touched

    def close(self) -> None:
        """Write what is queued and close. Safe to call twice."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._conn.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if self._closed:
                raise StorageFailed("the access log is closed", code="closed", fix="jmem daemon start") from error
            raise storage_failed(error, self.path) from error

    # ---- inside -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                # gathering costs one commit for many records and keeps out of the way of the answer itself
                self._changed.wait_for(lambda: self._closed, timeout=GATHER_SECONDS)
                closed = self._closed
            with self._db:
                self._write_waiting()
            if closed:
                return

    def _write_waiting(self) -> None:
        with self._changed:
            batch = list(self._waiting)
            self._waiting.clear()
        if not batch:
            return
        try:
            with _transaction(self._conn):
                for access in batch:
                    self._insert(access)
                self._prune()
        except sqlite3.Error as error:
            self.dropped += len(batch)
            log.warning("the access log lost %d records: %s", len(batch), error)
        else:
            self.on_written()

    def _insert(self, access: Access) -> None:
        row = self._conn.execute(
            "INSERT INTO accesses (at, client, what, query, detail) VALUES (?, ?, ?, ?, ?)",
            (access.at, access.client, access.what, access.query, json.dumps(access.detail, ensure_ascii=False)),
        )
        self._conn.executemany(
            "INSERT INTO answers (access, rank, memory_id, score, legs) VALUES (?, ?, ?, ?, ?)",
            [(row.lastrowid, rank, a.id, a.score, json.dumps(a.legs) if a.legs else None)
             for rank, a in enumerate(access.answers, 1)],
        )  # fmt: skip

    def _prune(self) -> None:
        (last,) = self._conn.execute("SELECT COALESCE(MAX(id), 0) FROM accesses").fetchone()
        self._conn.execute("DELETE FROM answers WHERE access <= ?", (last - self._keep,))
        self._conn.execute("DELETE FROM accesses WHERE id <= ?", (last - self._keep,))

    def _read(
        self, sql: str, params: Sequence[Any], only: str | None = None, answers: bool = True
    ) -> list[Access]:  # fmt: skip
        with self._db, self._failures():
            self._write_waiting()
            return [
                Access(client, what, self._answers(id, only) if answers else (), query, json.loads(detail), at, id)
                for id, at, client, what, query, detail in self._conn.execute(sql, params).fetchall()
            ]

    def _answers(self, access: int, only: str | None) -> list[Answer]:
        rows = self._conn.execute(
            "SELECT memory_id, score, legs, rank FROM answers WHERE access = ? AND (?2 IS NULL OR memory_id = ?2)"
            " ORDER BY rank",
            (access, only),
        )
        return [Answer(id, score, json.loads(legs) if legs else None, rank) for id, score, legs, rank in rows]


@contextlib.contextmanager
def _transaction(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def _open(path: Path) -> sqlite3.Connection:
    """The log's connection. It must not keep anyone from their memories, so there is always one.

    A damaged file is put aside and begun anew; where none can be written the log lives in memory for now.
    """
    try:
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            log.warning("%s is damaged and put aside: %s", path, error)
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{path}{suffix}.damaged")
        return _connect(path)
    except (sqlite3.Error, OSError) as error:
        log.warning("the access log is kept in memory only: %s", error)
    return _prepare(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    return _prepare(sqlite3.connect(path, isolation_level=None, check_same_thread=False))


def _prepare(conn: sqlite3.Connection) -> sqlite3.Connection:
    try:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON", "temp_store = MEMORY"):
            conn.execute(f"PRAGMA {pragma}")
        for statement in _SCHEMA:
            conn.execute(statement)
    except BaseException:
        conn.close()
        raise
    return conn
