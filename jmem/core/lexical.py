"""The lexical leg: FTS5's bm25 over a memory's text and the text around it."""

from __future__ import annotations

import sqlite3

from jmem.core.filter import Filter
from jmem.core.terms import Weighed, match_any

CONTEXT_WEIGHT = 0.4
COUNTED_SHARE = 0.7
"""Of its weight that a frequent term adds to a row; bm25 gives about 1 for text and 0.5 for context (measured)."""
# bm25() in ORDER BY is a third faster than the hidden column `rank`, which is computed twice
_ALL = (
    f"SELECT rowid, -bm25(memory_fts, 1.0, {CONTEXT_WEIGHT}) AS score FROM memory_fts"
    " WHERE memory_fts MATCH ? ORDER BY score DESC LIMIT ?"
)
_SOME = (
    f"SELECT memory_fts.rowid, -bm25(memory_fts, 1.0, {CONTEXT_WEIGHT}) AS score"
    " FROM memory_fts JOIN memories m ON m.rowid = memory_fts.rowid"
    " WHERE memory_fts MATCH ? AND {condition} ORDER BY score DESC LIMIT ?"
)


def search(
    conn: sqlite3.Connection, weighed: Weighed, filter: Filter, now: str, limit: int, *, inside: bool
) -> list[tuple[int, float]]:
    """(rowid, score) of the best rows, best first. `inside` applies the filter here; otherwise the caller does."""
    if not weighed.scored:
        return []
    # a client with a scope must not learn from a memory's context what its hidden neighbours say
    column = "" if filter.visible is None else "{text} : "
    match = f"{column}({match_any(weighed.scored)})"
    if inside:
        condition, params = filter.sql(now)
        rows = conn.execute(_SOME.format(condition=condition), (match, *params, limit)).fetchall()
    else:
        rows = conn.execute(_ALL, (match, limit)).fetchall()
    return _count(conn, weighed, match, column, rows) if weighed.counted and rows else rows


def _count(
    conn: sqlite3.Connection, weighed: Weighed, match: str, column: str, rows: list[tuple[int, float]]
) -> list[tuple[int, float]]:
    """Add the weight of the frequent terms that rows have as well: matching costs a fifth of scoring."""
    scores = dict(rows)
    for term in weighed.counted:
        gain = COUNTED_SHARE * weighed.weight(term)
        sql = "SELECT rowid FROM memory_fts WHERE memory_fts MATCH ?"
        for (rowid,) in conn.execute(sql, (f'{column}("{term}") AND {match}',)):
            if rowid in scores:
                scores[rowid] += gain
    return sorted(scores.items(), key=lambda row: -row[1])
