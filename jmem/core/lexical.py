"""The lexical leg: FTS5's bm25 over a memory's text and the text around it."""

from __future__ import annotations

import sqlite3
from math import log

from jmem.core.asof import Past
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


# ---- as of a moment ---------------------------------------------------------------------------


def search_past(past: Past, weighed: Weighed, filter: Filter, limit: int) -> list[tuple[int, float]]:
    """As `search`, over the texts of a moment: the store's for what was not changed since, those in memory for the rest."""
    (store, unchanged), *_ = past.tables(filter)
    aside = past.neighbours  # their texts in the store have the wrong neighbours
    found = search(store, weighed, unchanged, past.moment, limit + len(aside), inside=True)
    rows = [row for row in found if row[0] not in aside]
    if past.rows or aside:
        rows += _in_memory(past, weighed, filter)
    return sorted(rows, key=lambda row: -row[1])[:limit]


def _in_memory(past: Past, weighed: Weighed, filter: Filter) -> list[tuple[int, float]]:
    """bm25 with the weights that the terms have in the store, so that the scores compare: those in a table of a few
    rows would say little. How long a text is still counts against the average of these rows."""
    condition, params = filter.sql(past.moment)
    passing = {rowid for (rowid,) in past.conn.execute(f"SELECT m.rowid FROM memories m WHERE {condition}", params)}
    (rows,) = past.conn.execute("SELECT COUNT(*) FROM memory_fts").fetchone()
    scores: dict[int, float] = {}
    for term in weighed.scored:
        matches = past.conn.execute(_ALL, (f'"{term}"', -1)).fetchall()
        own = max(1e-6, log((rows - len(matches) + 0.5) / (len(matches) + 0.5)))  # what FTS5 has taken it times
        for rowid, score in matches:
            if rowid in passing:
                scores[rowid] = scores.get(rowid, 0.0) + score / own * weighed.weight(term)
    for term in weighed.counted:
        for (rowid,) in past.conn.execute("SELECT rowid FROM memory_fts WHERE memory_fts MATCH ?", (f'"{term}"',)):
            if rowid in scores:
                scores[rowid] += COUNTED_SHARE * weighed.weight(term)
    return list(scores.items())
