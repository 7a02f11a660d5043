"""The lexical leg: FTS5's bm25 over a memory's text and the text around it."""

from __future__ import annotations

import sqlite3

from jmem.core.filter import Filter
from jmem.core.terms import Weighed, match_any

CONTEXT_WEIGHT = 0.4
_RANK = f"bm25(1.0, {CONTEXT_WEIGHT})"
_ALL = (
    "SELECT rowid, -rank FROM memory_fts WHERE memory_fts MATCH ? AND rank MATCH ?"
    " ORDER BY rank LIMIT ?"
)  # fmt: skip
_SOME = (
    "SELECT f.rowid, -f.rank FROM memory_fts f JOIN memories m ON m.rowid = f.rowid"
    " WHERE memory_fts MATCH ? AND f.rank MATCH ? AND {condition} ORDER BY f.rank LIMIT ?"
)


def search(
    conn: sqlite3.Connection, weighed: Weighed, filter: Filter, now: str, limit: int, *, inside: bool
) -> list[tuple[int, float]]:
    """(rowid, score) of the best rows, best first. `inside` applies the filter here; otherwise the caller does."""
    if not weighed.terms:
        return []
    match = match_any(weighed.terms)
    if not inside:
        return conn.execute(_ALL, (match, _RANK, limit)).fetchall()
    condition, params = filter.sql(now)
    return conn.execute(_SOME.format(condition=condition), (match, _RANK, *params, limit)).fetchall()
