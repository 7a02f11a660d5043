"""Forgetting for ever: every place a memory's text can be in, and what became of it there."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from jmem.core.errors import StorageFailed
from jmem.core.model import is_id, now_iso
from jmem.core.receipts import PlaceReceipt, erased, unreached
from jmem.core.store import Store, Tx, oplog
from jmem.core.store.migrate import sync_file

PURGED_FILE = "purged.jsonl"
"""ids forgotten for ever, kept apart from what backups restore"""
_FILES = "old full-text segments, free pages and write-ahead log"
log = logging.getLogger(__name__)


PurgeHook = Callable[[list[str]], PlaceReceipt | tuple[PlaceReceipt, ...]]


def due(conn: sqlite3.Connection) -> list[str]:
    """Purged ids that some place may still hold: just purged, or left over from a crash or a full disk."""
    return [id for (id,) in conn.execute("SELECT id FROM purged WHERE reached = 0 ORDER BY id")]


def finish(store: Store, hooks: Iterable[PurgeHook]) -> tuple[PlaceReceipt, ...]:
    """After a purge is committed: reach the other places for every id that is due, then scrub the files.

    A place that fails says so in its receipt; all of it is repeated at the next start.
    """
    with store.reader() as conn:
        ids = due(conn)
    places = [erased("memory and tags"), erased("operations"), erased("full-text index"), erased("neighbours' context")]
    steps: list[tuple[str, Callable[[], PlaceReceipt | tuple[PlaceReceipt, ...]]]] = [
        *(("derived data", partial(hook, ids)) for hook in hooks),
        ("backups", partial(_remember, store.folder, ids)),
        (_FILES, partial(_scrub, store)),
    ]
    for place, step in steps:
        try:
            receipt = step()
            places += receipt if isinstance(receipt, tuple) else (receipt,)
        except Exception as error:  # the memory is gone from the store: whatever fails here must come up again
            log.exception("a purge is to be repeated")
            places.append(unreached(place, error))
    if all(place.done for place in places):
        marks = [(id,) for id in ids]
        store.write(lambda tx: tx.conn.executemany("UPDATE purged SET reached = 1 WHERE id = ?", marks) and None)
    return tuple(places)


def _scrub(store: Store) -> PlaceReceipt:
    store.outside(scrub)
    return erased(_FILES)


def scrub(conn: sqlite3.Connection) -> None:
    """Rewrite everything that could still hold deleted text. Takes seconds at 100,000 memories.

    FTS5 keeps deleted terms in older segments until they are merged (its secure-delete option needs a newer
    SQLite than many systems have), so all segments are merged into one.
    """
    conn.execute("INSERT INTO memory_fts (memory_fts) VALUES ('optimize')")
    conn.execute("VACUUM")
    busy, _, _ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StorageFailed("a reader holds the write-ahead log", code="store_busy")


def _remember(folder: Path, ids: Iterable[str]) -> PlaceReceipt:
    append_purged(folder, ids)
    return erased("backups", "forgotten again whenever one is restored")


def append_purged(folder: Path, ids: Iterable[str]) -> None:
    """Add ids to `purged.jsonl`, on disk when this returns."""
    lines = "".join(json.dumps({"id": id, "at": now_iso()}) + "\n" for id in ids).encode()
    with open(folder / PURGED_FILE, "ab+", opener=_private) as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a line that a crash or a full disk cut off must not take the next one with it
                lines = b"\n" + lines
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    sync_file(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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

        store.write(run)
    return back
