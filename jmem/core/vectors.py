"""Vectors by memory and embedder, in SQLite: a lost index costs no embedding.

Derived data: `vectors.db` may be deleted at any time and is made anew. Vectors are float16, which changes
no cosine by more than 0.001 and halves what is stored and read.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jmem.core.errors import StorageFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float16] | NDArray[np.float32]

log = logging.getLogger(__name__)

VERSION = 1
DATABASE = "vectors.db"
_SCHEMA = """
CREATE TABLE embedders (id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE);
CREATE TABLE vectors (
    memory BLOB NOT NULL,
    embedder INTEGER NOT NULL,
    text_key BLOB NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (memory, embedder)
) WITHOUT ROWID;
"""
_EARLIER = """
CREATE TABLE IF NOT EXISTS earlier (
    memory BLOB NOT NULL,
    embedder INTEGER NOT NULL,
    text_key BLOB NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (memory, embedder, text_key)
) WITHOUT ROWID
"""
"""Vectors of the texts that memories had before: a search as of then, or an undo, need not embed them again."""
_KEEP = (
    "INSERT OR IGNORE INTO earlier SELECT memory, embedder, text_key, vector FROM vectors"
    " WHERE memory = ? AND embedder = ? AND text_key != ?"
)
_OF_TEXT = "SELECT vector FROM earlier WHERE memory = ? AND embedder = ? AND text_key = ?"
_CHUNK = 500


class VectorStore:
    """Thread-safe. Raises StorageFailed when the disk is full or read-only; a damaged file is replaced."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DATABASE
        self._lock = threading.RLock()
        self._embedders: dict[str, int] = {}
        self._conn: sqlite3.Connection | None = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "disk" in str(error).lower():
                raise StorageFailed(f"{self._path}: {error}") from error
            log.warning("%s is damaged and is made anew: %s", self._path.name, error)
            self._remove()
            try:
                return _connect(self._path)
            except sqlite3.Error as again:
                raise StorageFailed(f"{self._path} can't be opened: {again}") from again

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """The one connection, under the lock; opened anew when the file was deleted or is damaged."""
        with self._lock:
            if self._conn is None or not self._path.exists():
                self.close()
                self._conn = self._open()
            try:
                yield self._conn
            except sqlite3.OperationalError as error:
                raise StorageFailed(f"{self._path.name}: {error}") from error
            except sqlite3.DatabaseError as error:
                self.close()
                self._remove()
                raise StorageFailed(f"{self._path.name} was damaged and is made anew: {error}") from error

    def _remove(self) -> None:
        self._embedders.clear()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _embedder(self, conn: sqlite3.Connection, fingerprint: str) -> int:
        if fingerprint not in self._embedders:
            conn.execute("INSERT OR IGNORE INTO embedders (fingerprint) VALUES (?)", (fingerprint,))
            row = conn.execute("SELECT id FROM embedders WHERE fingerprint = ?", (fingerprint,)).fetchone()
            self._embedders[fingerprint] = row[0]
        return self._embedders[fingerprint]

    def get(self, fingerprint: str, wanted: Sequence[tuple[str, bytes]]) -> dict[str, NDArray[np.float16]]:
        """Vectors by memory id of the (id, text_key) pairs that are stored with that very text."""
        import numpy as np

        found: dict[str, NDArray[np.float16]] = {}
        keys = {_key(id): (id, text_key) for id, text_key in wanted}
        with self._connection() as conn:
            embedder = self._embedder(conn, fingerprint)
            for chunk in _chunks(list(keys)):
                rows = conn.execute(
                    "SELECT memory, text_key, vector FROM vectors WHERE embedder = ?"
                    f" AND memory IN ({','.join('?' * len(chunk))})",
                    (embedder, *chunk),
                )
                for memory, text_key, vector in rows:
                    id, wanted_key = keys[memory]
                    if text_key == wanted_key:
                        found[id] = np.frombuffer(vector, np.float16)
            if len(found) < len(keys) and conn.execute("SELECT 1 FROM earlier LIMIT 1").fetchone():
                for memory, (id, wanted_key) in keys.items():
                    if id not in found and (row := conn.execute(_OF_TEXT, (memory, embedder, wanted_key)).fetchone()):
                        found[id] = np.frombuffer(row[0], np.float16)
        return found

    def every(self, fingerprint: str, number: int) -> Iterator[tuple[list[bytes], list[bytes], NDArray[np.float16]]]:
        """All vectors in portions of at most `number`: ids as 16 bytes, text_keys, and a row each.

        Others get their turn between two portions.
        """
        import numpy as np

        after = b""
        while True:
            with self._connection() as conn:
                rows = conn.execute(
                    "SELECT memory, text_key, vector FROM vectors WHERE embedder = ? AND memory > ? ORDER BY memory LIMIT ?",
                    (self._embedder(conn, fingerprint), after, number),
                ).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            width = len(rows[0][2])
            rows = [row for row in rows if len(row[2]) == width]
            vectors = np.frombuffer(b"".join(row[2] for row in rows), np.float16).reshape(len(rows), -1)
            yield [row[0] for row in rows], [row[1] for row in rows], vectors

    def put(self, fingerprint: str, vectors: Iterable[tuple[str, bytes, Vector]]) -> None:
        """Store (memory id, text_key, vector) as what the memory has now; what it had for another text is kept."""
        import numpy as np

        vectors = list(vectors)
        with self._connection() as conn:
            embedder = self._embedder(conn, fingerprint)
            with conn:
                conn.executemany(_KEEP, [(_key(id), embedder, text_key) for id, text_key, _ in vectors])
                conn.executemany(
                    "INSERT OR REPLACE INTO vectors (memory, embedder, text_key, vector) VALUES (?, ?, ?, ?)",
                    [
                        (_key(id), embedder, text_key, vector.astype(np.float16).tobytes())
                        for id, text_key, vector in vectors
                    ],
                )

    def put_earlier(self, fingerprint: str, vectors: Iterable[tuple[str, bytes, Vector]]) -> None:
        """Store (memory id, text_key, vector) of texts that memories had before."""
        import numpy as np

        with self._connection() as conn:
            embedder = self._embedder(conn, fingerprint)
            with conn:
                conn.executemany(
                    "INSERT OR REPLACE INTO earlier (memory, embedder, text_key, vector) VALUES (?, ?, ?, ?)",
                    [(_key(id), embedder, key, vector.astype(np.float16).tobytes()) for id, key, vector in vectors],
                )

    def forget(self, ids: Iterable[str]) -> int:
        """Erase the vectors of purged memories from the file, for every embedder; how many there were."""
        with self._connection() as conn:
            with conn:
                before = conn.total_changes
                keys = [(_key(id),) for id in ids]
                conn.executemany("DELETE FROM vectors WHERE memory = ?", keys)
                conn.executemany("DELETE FROM earlier WHERE memory = ?", keys)
                gone = conn.total_changes - before
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def prune(self, live: set[str], fingerprint: str) -> int:
        """Drop other embedders' vectors and those of memories that are not `live` any more; how many."""
        with self._connection() as conn:
            embedder = self._embedder(conn, fingerprint)
            keep = {_key(id) for id in live}
            dead = [
                row
                for row in conn.execute("SELECT memory FROM vectors WHERE embedder = ?", (embedder,))
                if row[0] not in keep
            ]
            with conn:
                before = conn.total_changes
                conn.executemany("DELETE FROM vectors WHERE memory = ?", dead)
                conn.execute("DELETE FROM vectors WHERE embedder != ?", (embedder,))
                conn.executemany("DELETE FROM earlier WHERE memory = ?", dead)
                conn.execute("DELETE FROM earlier WHERE embedder != ?", (embedder,))
                gone = conn.total_changes - before
                conn.execute("DELETE FROM embedders WHERE id != ?", (embedder,))
            self._embedders = {fingerprint: embedder}
        return gone

    def clear(self, fingerprint: str) -> None:
        """Drop all vectors of one embedder, to have every text embedded again."""
        with self._connection() as conn, conn:
            embedder = self._embedder(conn, fingerprint)
            conn.execute("DELETE FROM vectors WHERE embedder = ?", (embedder,))
            conn.execute("DELETE FROM earlier WHERE embedder = ?", (embedder,))

    def count(self, fingerprint: str) -> int:
        """How many memories have a vector of this embedder."""
        with self._connection() as conn:
            embedder = self._embedder(conn, fingerprint)
            return int(conn.execute("SELECT COUNT(*) FROM vectors WHERE embedder = ?", (embedder,)).fetchone()[0])

    def close(self) -> None:
        """Checkpoint and close. Safe to call twice."""
        with self._lock:
            conn, self._conn = self._conn, None
            self._embedders.clear()
            if conn is not None:
                conn.close()


def _connect(path: Path) -> sqlite3.Connection:
    conn = sqlite3.connect(path, check_same_thread=False)
    try:
        conn.execute("PRAGMA busy_timeout = 5000")
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = NORMAL")  # derived: a power cut may cost the last vectors
        conn.execute("PRAGMA secure_delete = ON")
        conn.execute("PRAGMA cache_size = -2000")
        if conn.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            dropped = "".join(f"DROP TABLE IF EXISTS {table};" for table in ("vectors", "embedders", "earlier"))
            conn.executescript(dropped + _SCHEMA)
            conn.execute(f"PRAGMA user_version = {VERSION}")
        conn.execute(_EARLIER)
    except BaseException:
        conn.close()
        raise
    path.chmod(0o600)
    return conn


def _key(id: str) -> bytes:
    return bytes.fromhex(id.replace("-", ""))


def _chunks(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
