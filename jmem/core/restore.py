"""Restoring a backup: the copy is proved in a place of its own before it takes the store's place.

    source ──copy──▶ .restoring-*/memories.db ──prove, migrate, purge again──▶ rename ──▶ memories.db

Until the rename the old store stands untouched; from it on the new one does; rename is atomic. The store
that is replaced is itself backed up first, and what was forgotten for ever stays forgotten.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jmem.core import backup, merge, outbox, purge
from jmem.core.errors import Invalid, NotFound, StorageFailed
from jmem.core.model import Op
from jmem.core.store import Store, memory_of
from jmem.core.store.failures import disk_failed, is_damage, storage_failed
from jmem.core.store.migrate import sync_file
from jmem.core.store.store import DATABASE


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place, and where the store it replaced is kept."""

    source: Path
    memories: int
    ops: int
    purged_again: int
    replaced: Path | None

    def as_dict(self) -> dict[str, Any]:
        """The shape of POST /backup/restore."""
        return {"path": str(self.source), "memories": self.memories, "ops": self.ops,
                "purged_again": self.purged_again, "replaced": str(self.replaced) if self.replaced else None}  # fmt: skip


def find_backup(folder: Path, name: str, *, anywhere: bool = True) -> Path:
    """The file a caller means: a path, or the name of one of the user's backups; raises NotFound, Invalid.

    Without `anywhere` it has to lie among the user's own backups: another file may hold what others remember.
    """
    own = folder / backup.FOLDER
    with suppress(OSError, ValueError, RuntimeError):  # a name no file can have, a home nobody has
        for path in (own / name, Path(name).expanduser()):
            if path.is_file() and (anywhere or path.resolve().parent == own.resolve()):
                if path.resolve() == (folder / DATABASE).resolve():
                    raise Invalid("this is the store itself, not a copy of it", code="not_a_backup", field="path")
                return path
    raise NotFound(f"there is no backup {name}", code="no_backup", fix="jmem backup list   names them")


class Alone(Protocol):
    """Runs `work` while nobody has the store open and whoever wants to write waits; returns what it returns."""

    def __call__(self, work: Callable[[], Path | None]) -> Path | None: ...


def restore(folder: Path, source: Path, alone: Alone) -> Restored:
    """Put a copy in the place of a user's store; `alone` is asked for once the copy is proved.

    Raises StorageFailed (`damaged`, `newer_store`, `not_a_backup`, disk full); the store is unchanged then.
    """
    with backup.busy:
        backup.clean(folder)
        place = Path(tempfile.mkdtemp(prefix=".restoring-", dir=folder))
        try:
            _copy(source, place / DATABASE)
            ops = prove(place / DATABASE)
            memories, again = _make_ready(folder, place)
            replaced = alone(lambda: _exchange(folder, place / DATABASE))
        except sqlite3.Error as error:
            raise storage_failed(error, folder / DATABASE) from error
        except OSError as error:
            raise disk_failed(error, f"{source} could not be restored") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return Restored(source, memories, ops, again, replaced)


# ---- before -----------------------------------------------------------------------------------


def _copy(source: Path, target: Path) -> None:
    """Copy through SQLite, so that a copy with a write-ahead log beside it is whole too."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        with backup.reading(source) as conn:
            conn.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise backup.bad_copy(str(error)) from error
    finally:
        copy.close()


def prove(path: Path) -> int:
    """Check everything there is to check in a copy nobody has open, and return the number of its ops.

    SQLite's integrity, a schema this jmem knows, every op's digest, and that each row is what its ops add up to.
    Raises StorageFailed `damaged` or `newer_store`.
    """
    try:
        with backup.reading(path, still=True) as conn:
            backup.check_database(conn)
            return _prove_rows(conn)
    except sqlite3.Error as error:
        raise backup.bad_copy(str(error)) from error


def _prove_rows(conn: sqlite3.Connection) -> int:
    count, current, ops = 0, None, list[Op]()
    for id, text, digest in conn.execute("SELECT memory_id, payload, digest FROM ops ORDER BY memory_id, stamp"):
        if id != current:
            _prove_row(conn, current, ops)
            current, ops = id, []
        op = backup.check_op(text, digest)
        if op.id != id:
            raise backup.bad_copy("an operation in it belongs to another memory")
        ops.append(op)
        count += 1
    _prove_row(conn, current, ops)
    stray = conn.execute("SELECT COUNT(*) FROM memories WHERE id NOT IN (SELECT memory_id FROM ops)").fetchone()[0]
    if stray:
        raise backup.bad_copy(f"{stray} memories in it have no operations")
    return count


def _prove_row(conn: sqlite3.Connection, id: str | None, ops: list[Op]) -> None:
    if id is None:
        return
    if memory_of(conn, id) != merge.memory(id, merge.fold(ops).registers):
        raise backup.bad_copy(f"memory {id} is not what its operations add up to")


def _make_ready(folder: Path, place: Path) -> tuple[int, int]:
    """Give the copy an identity of its own, bring it to today's schema and forget again what was forgotten.

    The new store_id tells the index and every cursor that this is another store. Returns (memories, purged again).
    """
    with suppress(FileNotFoundError):
        shutil.copyfile(folder / purge.PURGED_FILE, place / purge.PURGED_FILE)
    path = place / DATABASE
    conn = sqlite3.connect(path, isolation_level=None)
    try:
        conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('store_id', ?)", (str(uuid.uuid4()),))
        conn.execute("DELETE FROM meta WHERE key = ?", (outbox.DEVICE,))
    finally:
        conn.close()
    with Store.open(place) as store:
        back = purge.replay(store)
        if back:
            store.outside(purge.scrub)
        with store.reader() as reader:
            memories = int(reader.execute("SELECT COUNT(*) FROM memories WHERE deleted = 0").fetchone()[0])
    _settle(path)
    return memories, len(back)


# ---- while the store is closed ----------------------------------------------------------------


def _exchange(folder: Path, ready: Path) -> Path | None:
    replaced = _keep_present(folder)
    _swap(folder, ready)
    return replaced


def _keep_present(folder: Path) -> Path | None:
    """Back up the store that is about to be replaced; a damaged one is kept byte by byte."""
    present = folder / DATABASE
    if not present.exists():
        return None
    try:
        return backup.copy_now(folder, "restore").path
    except StorageFailed as error:
        if error.code != "damaged":
            raise
    kept = backup.free_name(folder / backup.FOLDER, "damaged")
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{present}{suffix}", f"{kept}{suffix}")
            Path(f"{kept}{suffix}").chmod(0o600)
            sync_file(Path(f"{kept}{suffix}"))
    sync_file(kept.parent)
    return kept


def _settle(path: Path) -> None:
    """Move all that is in the write-ahead log into the file and remove the log.

    A log left behind would be taken for the log of the file that replaces this one. Raises StorageFailed
    `store_busy` when another program reads the store.
    """
    conn = sqlite3.connect(path, isolation_level=None, timeout=5)
    try:
        if conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise StorageFailed(f"{path} is in use by another program", code="store_busy", fix="stop it and repeat")
    except sqlite3.DatabaseError as error:
        if not is_damage(error):  # a damaged one is kept elsewhere, log and all
            raise
    finally:
        conn.close()
    _remove_log(path)
    sync_file(path)


def _remove_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _swap(folder: Path, ready: Path) -> None:
    present = folder / DATABASE
    if present.exists():
        _settle(present)
    else:  # lost, but not the log of the process that had it open
        _remove_log(present)
    sync_file(folder)
    ready.replace(present)
    sync_file(folder)
