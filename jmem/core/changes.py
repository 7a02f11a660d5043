"""What changed between two moments: each memory's state then against its state later, both folded from its ops."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from jmem.core import paging
from jmem.core.spans import OPEN, Change, Span, change_of, closed, cursor_of, going_on
from jmem.core.store import oplog


def page(
    conn: sqlite3.Connection, wanted: Span, *, limit: int = 100, cursor: str | None = None, id: str | None = None,
    client: str | None = None,
) -> tuple[list[Change], str | None]:  # fmt: skip
    """The next `limit` changes, newest first, and the next cursor, which carries the span."""
    paging.check_limit(limit)
    below = OPEN
    if cursor is not None:
        wanted, below = going_on(cursor)
    else:
        (newest,) = conn.execute("SELECT MAX(stamp) FROM ops").fetchone()
        wanted = closed(wanted, newest)
    found: list[tuple[str, Change]] = []
    for touched, stamp in _touched(conn, wanted, below, id):
        change = change_of(touched, oplog.ops_of(conn, touched), wanted)
        if change is not None and (client is None or client in change.clients):
            found.append((stamp, change))
            if len(found) > limit:
                break
    more = len(found) > limit
    shown = found[:limit]
    next_cursor = cursor_of(wanted, shown[-1][0]) if more else None
    return [change for _, change in shown], next_cursor


def _touched(conn: sqlite3.Connection, wanted: Span, below: str, id: str | None) -> Iterator[tuple[str, str]]:
    """(id, stamp of its last op in the span) of memories that still have their ops, newest first."""
    only = "" if id is None else " AND memory_id = ?"
    yield from conn.execute(
        "SELECT memory_id, MAX(stamp) AS last FROM ops WHERE stamp >= ? AND stamp < ?" + only + " AND memory_id NOT IN"
        " (SELECT id FROM purged) GROUP BY memory_id HAVING last < ? ORDER BY last DESC",
        (wanted.first, wanted.end, *(() if id is None else (id,)), below),
    ).fetchall()
