"""Which file of this machine a memory came from. It is kept apart from the memory's fields, since it goes nowhere else: the
owner's rules about folders go by it (`jmem.core.rules`).
"""

from __future__ import annotations

import sqlite3

from jmem.core.store import Tx


def note(tx: Tx, id: str, file: str) -> None:
    """A memory came from a file, or its newest text did: the file's whole path, links followed."""
    tx.conn.execute("INSERT OR REPLACE INTO origins (id, file) VALUES (?, ?)", (id, file))


def carry(tx: Tx, old: str, new: str) -> None:
    """What a memory holds goes on under another id."""
    if (file := of(tx.conn, old)) is not None:
        note(tx, new, file)


def of(conn: sqlite3.Connection, id: str) -> str | None:
    """The path of the file; None where it came from none."""
    found = conn.execute("SELECT file FROM origins WHERE id = ?", (id,)).fetchone()
    return None if found is None else str(found[0])
