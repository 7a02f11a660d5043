"""The full-text index: one row a live memory, its own text and the text around it in its thread.

`context` holds the 2 previous and the next memory of the thread. Only memories that everyone may go on
seeing (active, not deleted, never expiring) give context and get it, so that hidden text never answers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from jmem.core.texts import CONTEXT_AFTER, CONTEXT_BEFORE, CONTEXT_CHARS, search_text, spoken

_ROW = (
    "SELECT content, speaker, tags, occurred_at, thread, at, id, state, deleted, expires_at"
    " FROM memories WHERE rowid = ?"
)
_NEIGHBOUR = (
    "SELECT {columns} FROM memories WHERE thread = ? AND state = 'active' AND deleted = 0"
    " AND expires_at IS NULL AND (at, id) {side} (?, ?) ORDER BY at {order}, id {order} LIMIT ?"
)
_TEXTS = "content, speaker, occurred_at"
_BEFORE = _NEIGHBOUR.format(columns=_TEXTS, side="<", order="DESC")
_AFTER = _NEIGHBOUR.format(columns=_TEXTS, side=">", order="ASC")
_ROWIDS_BEFORE = _NEIGHBOUR.format(columns="rowid", side="<", order="DESC")
_ROWIDS_AFTER = _NEIGHBOUR.format(columns="rowid", side=">", order="ASC")


def gives_context(state: str, deleted: int, expires_at: str | None) -> bool:
    """Whether a memory's text may stand in its neighbours' context columns."""
    return state == "active" and not deleted and expires_at is None


def _context(conn: sqlite3.Connection, thread: str, at: str, id: str) -> str:
    before = conn.execute(_BEFORE, (thread, at, id, CONTEXT_BEFORE)).fetchall()
    after = conn.execute(_AFTER, (thread, at, id, CONTEXT_AFTER)).fetchall()
    return "\n".join(spoken(*row)[:CONTEXT_CHARS] for row in (*reversed(before), *after))


def _entry(conn: sqlite3.Connection, rowid: int) -> tuple[str, str] | None:
    """(text, context) that the index should hold for a row; None when it should hold nothing."""
    row = conn.execute(_ROW, (rowid,)).fetchone()
    if row is None or row[8]:
        return None
    content, speaker, tags, occurred_at, thread, at, id, state, deleted, expires_at = row
    text = search_text(content, speaker, occurred_at, json.loads(tags) if tags != "[]" else ())
    near = thread is not None and gives_context(state, deleted, expires_at)
    return text, _context(conn, thread, at, id) if near else ""


def refresh(
    conn: sqlite3.Connection, touched: set[int], fresh: set[int], spots: Iterable[tuple[str, str, str]]
) -> None:
    """Bring the index up to date with the rows in `touched` and with the neighbours of every place in `spots`.

    `fresh` are the touched rows that have no entry yet. Runs once a group of writes: FTS5 flushes a segment
    at every savepoint, so writing to it job by job would cost a segment a job.
    """
    rows = set(touched)
    for thread, at, id in spots:
        # a change at a place shows in the context of the two rows after it and of the one before it
        rows.update(r for (r,) in conn.execute(_ROWIDS_AFTER, (thread, at, id, CONTEXT_BEFORE)))
        rows.update(r for (r,) in conn.execute(_ROWIDS_BEFORE, (thread, at, id, CONTEXT_AFTER)))
    for rowid in sorted(rows):
        entry = _entry(conn, rowid)
        held = None
        if rowid not in fresh:
            held = conn.execute("SELECT text, context FROM memory_fts WHERE rowid = ?", (rowid,)).fetchone()
            if held == entry:
                continue
        if entry is None:
            if held is not None:
                conn.execute("DELETE FROM memory_fts WHERE rowid = ?", (rowid,))
        elif held is None:
            conn.execute("INSERT INTO memory_fts (rowid, text, context) VALUES (?, ?, ?)", (rowid, *entry))
        else:
            conn.execute("UPDATE memory_fts SET text = ?, context = ? WHERE rowid = ?", (*entry, rowid))


def tend(conn: sqlite3.Connection) -> bool:
    """Merge small segments, some milliseconds of work; whether there may be more to do. Outside a transaction."""
    before = conn.total_changes
    conn.execute("INSERT INTO memory_fts (memory_fts, rank) VALUES ('merge', 200)")
    return conn.total_changes - before >= 2


def rebuild(conn: sqlite3.Connection) -> int:
    """Write the whole index anew from the rows; the number of entries. Call inside a transaction."""
    conn.execute("DELETE FROM memory_fts")
    rowids = [r for (r,) in conn.execute("SELECT rowid FROM memories WHERE deleted = 0 ORDER BY rowid")]
    refresh(conn, set(rowids), set(rowids), ())
    return len(rowids)


def check(conn: sqlite3.Connection) -> list[str]:
    """What is wrong with the index, in words; [] when nothing is. Compares every entry: seconds at 100,000 rows."""
    problems: list[str] = []
    try:
        conn.execute("INSERT INTO memory_fts (memory_fts) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        problems.append(f"full-text index: {error}")
    live = {r for (r,) in conn.execute("SELECT rowid FROM memories WHERE deleted = 0")}
    held = {r for (r,) in conn.execute("SELECT rowid FROM memory_fts")}
    if missing := len(live - held):
        problems.append(f"full-text index: {missing} memories are missing")
    if surplus := len(held - live):
        problems.append(f"full-text index: {surplus} entries without a memory")
    stale = 0
    for rowid in live & held:
        row = conn.execute("SELECT text, context FROM memory_fts WHERE rowid = ?", (rowid,)).fetchone()
        stale += row != _entry(conn, rowid)
    if stale:
        problems.append(f"full-text index: {stale} entries are out of date")
    return problems
