"""The lexical leg: FTS5's bm25 over a memory's text and the text around it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
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

SCOPE_ROWS = 5_000
"""Rows of one word, the newest, that are looked at for a client with a scope."""
_SCOPE = (
    "SELECT memory_fts.rowid, LENGTH(m.content) FROM memory_fts JOIN memories m ON m.rowid = memory_fts.rowid"
    " WHERE memory_fts MATCH ? AND {condition} ORDER BY memory_fts.rowid DESC LIMIT ?"
)


def search(
    conn: sqlite3.Connection, weighed: Weighed, filter: Filter, now: str, limit: int, *, inside: bool
) -> list[tuple[int, float]]:
    """(rowid, score) of the best rows, best first. `inside` applies the filter here; otherwise the caller does."""
    if not weighed.scored:
        return []
    match = f"({match_any(weighed.scored)})"
    if inside:
        condition, params = filter.sql(now)
        rows = conn.execute(_SOME.format(condition=condition), (match, *params, limit)).fetchall()
    else:
        rows = conn.execute(_ALL, (match, limit)).fetchall()
    return _count(conn, weighed, match, rows) if weighed.counted and rows else rows


def search_scope(
    conn: sqlite3.Connection, terms: Sequence[str], filter: Filter, now: str, limit: int
) -> list[tuple[int, float]]:
    """As `search`, for a client that may see a part of the store: bm25 with how frequent the words are in that part.

    FTS5's own bm25 takes the whole store, so that scores and order would tell which words the hidden part has. Each
    word counts once in a row, which for short texts is nearly the same, and no context counts at all.
    """
    condition, params = filter.sql(now)
    (rows,) = conn.execute(f"SELECT COUNT(*) FROM memories m WHERE {condition}", params).fetchone()
    sql = _SCOPE.format(condition=condition)
    weights: dict[int, float] = {}
    lengths: dict[int, int] = {}
    for term in terms:
        found = conn.execute(sql, (f'{{text}} : "{term}"', *params, SCOPE_ROWS)).fetchall()
        lengths.update(found)
        weight = log(1 + (rows - len(found) + 0.5) / (len(found) + 0.5)) if found else 0.0
        for rowid, _ in found:
            weights[rowid] = weights.get(rowid, 0.0) + weight
    mean = max(1.0, sum(lengths.values()) / max(1, len(lengths)))
    scores = [(rowid, weight * 2.2 / (1.3 + 0.9 * lengths[rowid] / mean)) for rowid, weight in weights.items()]
    return sorted(scores, key=lambda row: (-row[1], row[0]))[:limit]


def _count(
    conn: sqlite3.Connection, weighed: Weighed, match: str, rows: list[tuple[int, float]]
) -> list[tuple[int, float]]:
    """Add the weight of the frequent terms that rows have as well: matching costs a fifth of scoring."""
    scores = dict(rows)
    for term in weighed.counted:
        gain = COUNTED_SHARE * weighed.weight(term)
        sql = "SELECT rowid FROM memory_fts WHERE memory_fts MATCH ?"
        for (rowid,) in conn.execute(sql, (f'("{term}") AND {match}',)):
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
