"""Tells a store that is new from one that was lost: then other files of the user still know of memories.

A missing `memories.db` is made anew, as at the first start, so somebody has to say that it had been there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jmem.core import access, vectors
from jmem.core.backup import FOLDER, copies, reading
from jmem.core.purge import PURGED_FILE
from jmem.core.store import Store
from jmem.core.store.store import DATABASE

_KINDS = ("daily", "manual", "migration")
"""Copies of the store that was in use; the others are of one that a restore replaced."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What makes believe that there were other memories, and the command that brings them back."""

    reason: str
    fix: str
    copy: Path | None = None
    """the backup that holds them"""

    @property
    def warning(self) -> str:
        """Both in one line."""
        return f"{self.reason} (fix: {self.fix})"


class Watch:
    """Looks whether an open store stands in the place of a lost one. Thread-safe; a `stat` while nothing changes."""

    def __init__(self, store: Store) -> None:
        """Call it before what is derived from the store is opened: the indexer removes what it does not know."""
        self._store = store
        self._known: tuple[object, Lost | None] = (None, None)
        self.look()

    def look(self) -> Lost | None:
        """What was lost, or None; looked for again when the backups change and after the first memory."""
        try:
            backed_up = (self._store.folder / FOLDER).stat().st_mtime_ns
        except OSError:
            backed_up = 0
        key = (backed_up, self._store.last_seq > 0)
        if self._known[0] != key:
            with self._store.reader() as conn:
                self._known = (key, lost(self._store.folder, conn))
        return self._known[1]


def lost(folder: Path, conn: sqlite3.Connection | None) -> Lost | None:
    """Whether the store of a user's folder, read by `conn` (None: there is no file), follows one that was lost.

    No backup holds an older operation than the store, of a memory that the store has no operation of: its first one outlives
    undo, purge and restore, though it may get another stamp when a clock is set right. Without a
    backup, a store that never held anything is judged by the files beside it.
    """
    oldest = conn.execute("SELECT MIN(stamp) FROM ops").fetchone()[0] if conn else None
    for path in copies(folder, _KINDS):
        first = _first(path)
        if first is not None and (conn is None or oldest is None or (first[0] < oldest and not _knows(conn, first[1]))):
            return Lost(f"the memories that the backup {path.name} holds are not here: {folder / DATABASE} was lost "
                        "or replaced", f"jmem backup restore {path.name}", path)  # fmt: skip
    left = ", ".join(_leftovers(folder)) if oldest is None else ""
    if not left:
        return None
    return Lost(f"there is no memory, but traces of some in {left}: {folder / DATABASE} was lost and there "
                "is no backup", "stop the daemon and put the file back from a copy of your own")  # fmt: skip


def _leftovers(folder: Path) -> Iterator[str]:
    """The files of a user's folder, beside the database and its backups, that know of memories."""
    for name, table in ((vectors.DATABASE, "vectors"), (access.DATABASE, "answers")):
        with suppress(sqlite3.Error), reading(folder / name) as conn:
            if conn.execute(f"SELECT 1 FROM {table}").fetchone():
                yield name
    with suppress(OSError):
        if (folder / PURGED_FILE).stat().st_size:
            yield PURGED_FILE


def _knows(conn: sqlite3.Connection, id: str) -> bool:
    return conn.execute("SELECT 1 FROM ops WHERE memory_id = ? LIMIT 1", (id,)).fetchone() is not None


def _first(path: Path) -> tuple[str, str] | None:
    """The oldest stamp of a copy and the memory of its first operation; None for one that holds none or can't be read."""
    with suppress(sqlite3.Error), reading(path, still=True) as conn:
        stamp, id = conn.execute(
            "SELECT MIN(stamp), (SELECT memory_id FROM ops ORDER BY seq LIMIT 1) FROM ops"
        ).fetchone()
        return None if stamp is None else (stamp, id)
    return None
