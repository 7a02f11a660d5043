"""Which files of this machine a memory came from. They are kept apart from the memory's fields, since they go nowhere else: the
owner's rules about folders go by them (`jmem.core.rules`).
"""

from __future__ import annotations

import sqlite3

from jmem.core.store import Tx


def note(tx: Tx, id: str, file: str) -> None:
    """A memory came from a file: its whole path, links followed. None that was noted before is forgotten for it."""
    tx.conn.execute("INSERT OR IGNORE INTO origins (id, file) VALUES (?, ?)", (id, file))


def carry(tx: Tx, old: str, new: str) -> None:
    """What a memory holds goes on under another id, or in another memory."""
    tx.conn.execute("INSERT OR IGNORE INTO origins (id, file) SELECT ?, file FROM origins WHERE id = ?", (new, old))


def of(conn: sqlite3.Connection, id: str) -> list[str]:
    """The paths of the files."""
    return [file for (file,) in conn.execute("SELECT file FROM origins WHERE id = ?", (id,))]
