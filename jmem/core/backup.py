"""Backups: consistent, verified copies of a user's `memories.db`, made while work goes on.

`backups/memories-<UTC>-<kind>.db`, each a whole database that `restore` (jmem/core/restore.py) can prove and
put in place. A copy takes its name only when it is whole, on disk and verified. The index, the vectors and
the access log are not in it: they are derived, or not worth bringing back.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jmem.core.clock import stamp_ms, wall_ms
from jmem.core.errors import JmemError, StorageFailed
from jmem.core.model import Op, iso
from jmem.core.opcheck import is_blank
from jmem.core.store.failures import disk_failed, storage_failed
from jmem.core.store.migrate import copy_database, schema_version, sync_file
from jmem.core.store.schema import MIGRATIONS
from jmem.core.store.store import DATABASE

FOLDER = "backups"
DAY_MS = 86_400_000
SAMPLE = 200
"""Ops whose digest is computed again in each new copy; a restore looks at every one."""
KINDS = ("daily", "manual", "restore", "damaged", "migration")
"""restore, damaged: the store that a restored copy replaced. Only daily ones are ever removed."""

_NAME = re.compile(r"memories-(\d{8}T\d{6}Z)-(daily|manual|restore|damaged)(?:-\d+)?\.db")
_MIGRATION = re.compile(r"before-schema-\d+\.db")
busy = threading.Lock()
"""Held by whoever copies or replaces a database: one at a time in this process."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy: its file, when and why it was made, its size and how many memories are in it (deleted ones not)."""

    path: Path
    created_at: str
    kind: str
    bytes: int
    memories: int

    def as_dict(self) -> dict[str, Any]:
        """The shape of GET /backups; times are ISO 8601."""
        return {"path": str(self.path), "name": self.path.name, "kind": self.kind, "created_at": self.created_at,
                "bytes": self.bytes, "memories": self.memories}  # fmt: skip


# ---- making -----------------------------------------------------------------------------------


def write_backup(folder: Path, kind: str) -> Backup:
    """Copy the store of a user's folder, from its own connection and one snapshot, so that no writer waits for it.

    Raises StorageFailed (disk full, damaged, unreadable); nothing is left behind then.
    """
    with busy:
        clean(folder)
        return copy_now(folder, kind)


def copy_now(folder: Path, kind: str) -> Backup:
    """As write_backup, for a caller that holds `busy`."""
    target = free_name(folder / FOLDER, kind)
    hidden = target.with_name("." + target.name)
    try:
        with reading(folder / DATABASE) as conn:
            copy_database(conn, hidden)
        verify(hidden)
        hidden.replace(target)
        sync_file(target.parent)
    except sqlite3.Error as error:
        raise storage_failed(error, folder / DATABASE) from error
    except OSError as error:
        raise disk_failed(error, f"no backup could be written to {target.parent}") from error
    finally:
        with suppress(OSError):
            hidden.unlink(missing_ok=True)
    return describe(target)


def free_name(folder: Path, kind: str) -> Path:
    """The path of a new backup of now; two in one second get a number."""
    stem = f"memories-{datetime.fromtimestamp(wall_ms() // 1000, UTC):%Y%m%dT%H%M%SZ}-{kind}"
    names = (f"{stem}{'' if n == 1 else f'-{n}'}.db" for n in range(1, 10_000))
    return next(folder / name for name in names if not (folder / name).exists())


def clean(folder: Path) -> None:
    """Remove what a crash left of unfinished copies; call while holding `busy`, or before anything else runs."""
    for left in (folder / FOLDER).glob(".memories-*.db*"):
        left.unlink(missing_ok=True)
    for left in folder.glob(".restoring-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def reading(path: Path, *, still: bool = False) -> Iterator[sqlite3.Connection]:
    """A read-only connection; `still` promises that nobody writes the file and leaves no file beside it."""
    conn = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}", uri=True,
                           isolation_level=None)  # fmt: skip
    try:
        conn.execute("PRAGMA busy_timeout = 5000")
        yield conn
    finally:
        conn.close()


# ---- verifying --------------------------------------------------------------------------------


def verify(path: Path, sample: int | None = SAMPLE) -> int:
    """Check a copy and return the number of its ops: pages and indexes, schema, digests (None: of every op).

    Raises StorageFailed `damaged` or `newer_store`.
    """
    try:
        with reading(path, still=True) as conn:
            check_database(conn)
            count = 0
            for text, digest in _some_ops(conn, sample):
                check_op(text, digest)
                count += 1
            return count if sample is None else int(conn.execute("SELECT COUNT(*) FROM ops").fetchone()[0])
    except sqlite3.Error as error:
        raise bad_copy(str(error)) from error


def check_database(conn: sqlite3.Connection) -> None:
    """SQLite's own full check, and that this jmem knows the schema."""
    verdict = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise bad_copy(verdict)
    version = schema_version(conn)
    if version > len(MIGRATIONS):
        raise StorageFailed("the copy was written by a newer jmem", code="newer_store",
                            fix="./install.sh   upgrades jmem to the newest version")  # fmt: skip
    if version == 0:
        raise bad_copy("it holds no memories of jmem")


def check_op(text: str, digest: str) -> Op:
    """The op of a stored text, whose digest is right (a purge leaves an op blank, with the digest it had)."""
    try:
        op = Op.parse(text)
        if op.digest == digest and (is_blank(op) or op.sealed().digest == digest):
            return op
    except (JmemError, ValueError, TypeError, AttributeError):
        pass
    raise bad_copy("an operation in it was changed since it was written")


def bad_copy(reason: str) -> StorageFailed:
    """The error for a copy that can't be trusted."""
    return StorageFailed(f"the copy is damaged: {reason}", code="damaged", fix="jmem backup list   names the others")


def _some_ops(conn: sqlite3.Connection, sample: int | None) -> Iterator[tuple[str, str]]:
    if sample is None:
        yield from conn.execute("SELECT payload, digest FROM ops ORDER BY seq")
        return
    last = conn.execute("SELECT COALESCE(MAX(seq), 0) FROM ops").fetchone()[0]
    for seq in {random.randint(1, last) for _ in range(sample)} if last else ():
        yield from conn.execute("SELECT payload, digest FROM ops WHERE seq >= ? ORDER BY seq LIMIT 1", (seq,))


# ---- what there is ----------------------------------------------------------------------------


def backups(folder: Path) -> list[Backup]:
    """The backups of a user's folder, newest first; one that can't be read has -1 memories."""
    return [describe(path) for path in copies(folder, KINDS)]


def copies(folder: Path, kinds: Container[str]) -> list[Path]:
    """The files of a user's backups of these kinds, newest first."""
    found = [path for path in (folder / FOLDER).glob("*.db") if kind_of(path) in kinds]
    return sorted(found, key=lambda path: (created_ms(path), path.stat().st_mtime_ns), reverse=True)


def kind_of(path: Path) -> str | None:
    """Why a backup was made, by its name; None for another file."""
    if match := _NAME.fullmatch(path.name):
        return match[2]
    return "migration" if _MIGRATION.fullmatch(path.name) else None


def created_ms(path: Path) -> int:
    """When a backup was made, by its name, else by the file's time."""
    if match := _NAME.fullmatch(path.name):
        with suppress(ValueError):
            return int(datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()) * 1000
    return path.stat().st_mtime_ns // 1_000_000


def describe(path: Path) -> Backup:
    """A backup with its size and the number of its memories."""
    try:
        with reading(path, still=True) as conn:
            memories = int(conn.execute("SELECT COUNT(*) FROM memories WHERE deleted = 0").fetchone()[0])
    except sqlite3.Error:
        memories = -1
    return Backup(path, iso(created_ms(path)), kind_of(path) or "manual", path.stat().st_size, memories)


def prune(folder: Path, keep: int, spare: Path | None = None) -> list[Path]:
    """Remove the oldest daily backups but `keep`, and never `spare`; the removed ones."""
    surplus = [path for path in copies(folder, ("daily",))[keep:] if path != spare]
    for path in surplus:
        path.unlink(missing_ok=True)
    return surplus


# ---- daily ------------------------------------------------------------------------------------


def daily_due(folder: Path, now_ms: int) -> int | None:
    """When the next daily backup is due, in ms: a day after the newest one, or after the first memory.

    Should that time lie ahead by more, because the clock was set back, the wait is a day. None for an empty store.
    """
    path = folder / DATABASE
    if not path.exists():
        return None
    newest = _newest_daily(folder)
    try:
        with reading(path) as conn:
            first = conn.execute("SELECT MIN(stamp) FROM ops").fetchone()[0]
    except sqlite3.Error as error:
        raise storage_failed(error, path) from error
    if first is None:
        return None
    return min(stamp_ms(first) if newest is None else created_ms(newest), now_ms) + DAY_MS


def is_backed_up(folder: Path) -> bool:
    """Whether the newest daily backup holds all that the store does."""
    newest = _newest_daily(folder)
    try:
        with reading(folder / DATABASE) as conn:
            state = _state(conn)
        if newest is None:
            return False
        with reading(newest, still=True) as conn:
            return _state(conn) == state
    except sqlite3.Error:
        return False


def _newest_daily(folder: Path) -> Path | None:
    return next(iter(copies(folder, ("daily",))), None)


def _state(conn: sqlite3.Connection) -> tuple[Any, ...]:
    """Two stores with the same state hold the same ops."""
    last, purged = conn.execute("SELECT (SELECT MAX(seq) FROM ops), (SELECT COUNT(*) FROM purged)").fetchone()
    return conn.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone(), last, purged
