"""Forgetting for ever: every place a memory's text can be in, and what became of it there."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmem.core.errors import JmemError
from jmem.core.model import is_id, now_iso
from jmem.core.store import Store, Tx, oplog
from jmem.core.store.migrate import sync_file

PURGED_FILE = "purged.jsonl"
"""ids forgotten for ever, kept apart from what backups restore"""
_SCRUB_DUE = "scrub_due"


@dataclass(frozen=True, slots=True)
class PlaceReceipt:
    """What became of a memory in one place: `result` is "erased", "nothing there" or why it is still to be done."""

    place: str
    result: str
    at: str

    def as_dict(self) -> dict[str, Any]:
        return {"place": self.place, "result": self.result, "at": self.at}


@dataclass(frozen=True, slots=True)
class Purged:
    """A memory that was forgotten, and the receipt of every place."""

    id: str
    receipt: tuple[PlaceReceipt, ...]


PurgeHook = Callable[[list[str]], PlaceReceipt]


def erased(place: str, result: str = "erased") -> PlaceReceipt:
    """A receipt of now."""
    return PlaceReceipt(place, result, now_iso())


def note_due(tx: Tx) -> None:
    """Remember, with the purge itself, that old segments, free pages and the log still have to be scrubbed."""
    tx.conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_SCRUB_DUE, now_iso()))


def scrub_due(conn: sqlite3.Connection) -> bool:
    """Whether a purge could not finish its scrubbing (crash, full disk)."""
    return conn.execute("SELECT 1 FROM meta WHERE key = ?", (_SCRUB_DUE,)).fetchone() is not None


def finish(store: Store, ids: Sequence[str], hooks: Iterable[PurgeHook]) -> tuple[PlaceReceipt, ...]:
    """After the purge is committed: reach the other places, then scrub the files of the database."""
    places = [erased("memory and tags"), erased("operations"), erased("full-text index"), erased("neighbours' context")]
    places += [hook(list(ids)) for hook in hooks]
    places.append(_remember(store.folder, ids))
    places.append(_scrub(store))
    return tuple(places)


def _scrub(store: Store) -> PlaceReceipt:
    place = "old full-text segments, free pages and write-ahead log"
    try:
        store.outside(scrub)
    except JmemError as error:
        return erased(place, f"to be repeated at the next start: {error.message}")
    return erased(place)


def scrub(conn: sqlite3.Connection) -> None:
    """Rewrite everything that could still hold deleted text. Takes seconds at 100,000 memories.

    FTS5 keeps deleted terms in older segments until they are merged (its secure-delete option needs a newer
    SQLite than many systems have), so all segments are merged into one.
    """
    conn.execute("INSERT INTO memory_fts (memory_fts) VALUES ('optimize')")
    conn.execute("DELETE FROM meta WHERE key = ?", (_SCRUB_DUE,))
    try:
        conn.execute("VACUUM")
        busy, _, _ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("a reader holds the write-ahead log")
    except sqlite3.Error:
        conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_SCRUB_DUE, now_iso()))
        raise


def _remember(folder: Path, ids: Iterable[str]) -> PlaceReceipt:
    place = "backups"
    try:
        append_purged(folder, ids)
    except OSError as error:
        return erased(place, f"to be repeated at the next start: {error.strerror}")
    return erased(place, "forgotten again whenever one is restored")


def append_purged(folder: Path, ids: Iterable[str]) -> None:
    """Add ids to `purged.jsonl`, on disk when this returns."""
    path = folder / PURGED_FILE
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(handle, "".join(json.dumps({"id": id, "at": now_iso()}) + "\n" for id in ids).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_file(folder)


def read_purged(folder: Path) -> set[str]:
    """The ids in `purged.jsonl`; a line cut by a crash is passed over."""
    try:
        lines = (folder / PURGED_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return set()
    found: set[str] = set()
    for line in lines:
        try:
            id = json.loads(line)["id"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(id, str) and is_id(id):
            found.add(id)
    return found


def replay(store: Store) -> list[str]:
    """Bring `purged.jsonl` and the database together; the ids that were purged again (a backup was restored)."""
    kept = read_purged(store.folder)
    with store.reader() as conn:
        known = {id for (id,) in conn.execute("SELECT id FROM purged")}
        back = [id for id in sorted(kept - known)
                if conn.execute("SELECT 1 FROM ops WHERE memory_id = ? LIMIT 1", (id,)).fetchone()]  # fmt: skip
    if missing := sorted(known - kept):
        append_purged(store.folder, missing)
    if back:

        def run(tx: Tx) -> None:
            action = oplog.begin_action(tx, "jmem", "purge")
            for id in back:
                oplog.write(tx, action, id, {}, "jmem", purge=True)
            note_due(tx)

        store.write(run)
    return back
