"""The full-text index: one row a live memory, its own text and the text around it in its thread.

`context` holds the 2 previous and the next memory of the thread. Only memories that everyone may go on
seeing (active, not deleted, never expiring) give context and get it, so that hidden text never answers.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

from jmem.core.texts import CONTEXT_AFTER, CONTEXT_BEFORE, CONTEXT_CHARS, search_text, spoken

Spot = tuple[str, str, str]
"""(thread, at, id): the place of a memory in its thread"""
_CHUNK = 500
_ROWS = (
    "SELECT value, m.content, m.speaker, m.occurred_at, m.tags"
    " FROM json_each(?) LEFT JOIN memories m ON m.rowid = value AND m.deleted = 0"
)
_GIVES = "state = 'active' AND deleted = 0 AND expires_at IS NULL"
_SPOTS = (
    "SELECT thread, at, id FROM memories"
    f" WHERE rowid IN (SELECT value FROM json_each(?)) AND thread IS NOT NULL AND {_GIVES}"
)
_NEAR = "SELECT at, id, rowid, content, speaker, occurred_at FROM memories"
_BEFORE = f"{_NEAR} WHERE thread = ? AND {_GIVES} AND (at, id) < (?, ?) ORDER BY at DESC, id DESC LIMIT ?"
_ONWARD = f"{_NEAR} WHERE thread = ? AND {_GIVES} AND (at, id) >= (?, ?) ORDER BY at, id"


def gives_context(state: str, deleted: int, expires_at: str | None) -> bool:
    """Whether a memory's text may stand in its neighbours' context columns."""
    return state == "active" and not deleted and expires_at is None


def _contexts(conn: sqlite3.Connection, spots: Iterable[Spot]) -> dict[int, str]:
    """The context of each row that stands at one of the spots or whose context reaches there, by its rowid."""
    found: dict[int, str] = {}
    for thread, group in groupby(sorted(set(spots)), key=lambda spot: spot[0]):
        places = [(at, id) for _, at, id in group]
        done = 0
        while done < len(places):
            done += _stretch(conn, thread, places[done:], found)
    return found


def _stretch(conn: sqlite3.Connection, thread: str, places: Sequence[tuple[str, str]], found: dict[int, str]) -> int:
    """Add the contexts around the first of the places and around those that follow it closely; how many places that were."""
    before = conn.execute(_BEFORE, (thread, *places[0], CONTEXT_BEFORE + CONTEXT_AFTER)).fetchall()
    rowids = [row[2] for row in reversed(before)]
    texts = [spoken(*row[3:])[:CONTEXT_CHARS] for row in reversed(before)]
    reached: set[int] = set()
    passed, last = 0, -1
    for at, id, rowid, *text in conn.execute(_ONWARD, (thread, *places[0])):
        n = len(rowids)
        while passed < len(places) and places[passed] <= (at, id):
            last = n + CONTEXT_BEFORE - (places[passed] < (at, id))
            reached.update(range(n - CONTEXT_AFTER, last + 1))
            passed += 1
        if n > last + CONTEXT_AFTER:
            break
        rowids.append(rowid)
        texts.append(spoken(*text)[:CONTEXT_CHARS])
    else:  # whatever place is left is behind the end of the thread
        reached.update(range(len(rowids) - CONTEXT_AFTER, len(rowids)) if passed < len(places) else ())
        passed = len(places)
    for n in reached:
        if 0 <= n < len(rowids):
            near = (*texts[max(0, n - CONTEXT_BEFORE) : n], *texts[n + 1 : n + 1 + CONTEXT_AFTER])
            found[rowids[n]] = "\n".join(near)
    return passed


def _entries(
    conn: sqlite3.Connection, rowids: Collection[int], spots: Iterable[Spot]
) -> Iterator[tuple[int, tuple[str, str] | None]]:
    """(text, context) that the index should hold for the rows and for those around the spots, ascending; None when it should
    hold nothing. A row that gives context needs its spot among them."""
    contexts = _contexts(conn, spots)
    wanted = json.dumps(sorted({*rowids, *contexts}))
    for rowid, content, speaker, occurred_at, tags in conn.execute(_ROWS, (wanted,)):
        if content is None:
            yield rowid, None
            continue
        text = search_text(content, speaker, occurred_at, json.loads(tags) if tags != "[]" else ())
        yield rowid, (text, contexts.get(rowid, ""))


def refresh(conn: sqlite3.Connection, touched: set[int], fresh: set[int], spots: Iterable[Spot]) -> None:
    """Bring the index up to date with the rows in `touched` and with the neighbours of every place in `spots`.

    `fresh` are the touched rows that have no entry yet. Runs once a group of writes: FTS5 flushes a segment
    at every savepoint, so writing to it job by job would cost a segment a job.
    """
    for rowid, entry in _entries(conn, touched, spots):
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
    fill(conn, rowids)
    return len(rowids)


def fill(conn: sqlite3.Connection, rowids: Iterable[int]) -> None:
    """Write the entries of live rows that have none. Call inside a transaction."""
    for rowid, entry in _each(conn, sorted(rowids)):
        conn.execute("INSERT INTO memory_fts (rowid, text, context) VALUES (?, ?, ?)", (rowid, *entry))


def _each(conn: sqlite3.Connection, rowids: Sequence[int]) -> Iterator[tuple[int, tuple[str, str]]]:
    """The rowids of live rows with what the index should hold for them."""
    for start in range(0, len(rowids), _CHUNK):
        chunk = frozenset(rowids[start : start + _CHUNK])
        spots = conn.execute(_SPOTS, (json.dumps(list(chunk)),)).fetchall()
        for rowid, entry in _entries(conn, chunk, spots):
            if rowid in chunk and entry is not None:
                yield rowid, entry


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
    for rowid, entry in _each(conn, sorted(live & held)):
        row = conn.execute("SELECT text, context FROM memory_fts WHERE rowid = ?", (rowid,)).fetchone()
        stale += row != entry
    if stale:
        problems.append(f"full-text index: {stale} entries are out of date")
    return problems
