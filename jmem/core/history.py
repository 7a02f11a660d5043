"""What happened: the revisions of a memory, and the log of actions. Both are read from the op log."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from jmem.core import ids, paging
from jmem.core.accesses import Access, Told, told_of
from jmem.core.actor import Actor
from jmem.core.idparts import preview as preview_of
from jmem.core.revisions import FORGOTTEN, MAX_IDS, History, LogEntry, history_of
from jmem.core.store import oplog

_STEPS = """
SELECT o.stamp, a.kind FROM ops o JOIN actions a ON a.id = o.action
WHERE o.memory_id = ? AND a.kind IN ('privacy', 'undo', 'redo')"""
_STOOD = """
SELECT substr(json_extract(payload, '$.set.content'), 1, 400) FROM ops
WHERE memory_id = ?1 AND json_type(payload, '$.set.content') = 'text'
AND seq <= (SELECT MAX(seq) FROM ops WHERE action = ?2 AND memory_id = ?1) ORDER BY action = ?2 DESC, stamp DESC LIMIT 1"""


def history(conn: sqlite3.Connection, part: str, actor: Actor) -> History:
    """The history of a memory, deleted ones included; raises NotFound, Ambiguous."""
    id = ids.resolve(conn, part, actor, deleted=True)
    return history_of(id, oplog.ops_of(conn, id), dict(conn.execute(_STEPS, (id,)).fetchall()))


def log_page(
    conn: sqlite3.Connection, *, limit: int = 50, cursor: str | None = None, id: str | None = None,
    client: str | None = None, since: str | None = None,
) -> tuple[list[LogEntry], str | None]:  # fmt: skip
    """Actions that wrote something, newest first, and the cursor of the next page."""
    where: list[str] = ["1"]
    params: list[Any] = []
    if id is not None:
        where.append("a.id IN (SELECT action FROM ops WHERE memory_id = ?)")
        params.append(id)
    if client is not None:
        where.append("a.client = ?")
        params.append(client)
    if since is not None:
        where.append("a.at >= ?")
        params.append(since)
    if cursor is not None:
        where.append("a.id < ?")
        params.append(paging.decode_cursor(cursor, "log", 1)[0])
    rows = conn.execute(
        f"SELECT a.id, a.at, a.client, a.kind, a.undone_by FROM actions a WHERE {' AND '.join(where)}"
        " ORDER BY a.id DESC LIMIT ?",
        (*params, paging.check_limit(limit) + 1),
    ).fetchall()
    entries = [_entry(conn, *row) for row in rows[:limit]]
    return entries, paging.encode_cursor("log", entries[-1].action) if len(rows) > limit else None


def _entry(conn: sqlite3.Connection, action: int, at: str, client: str, kind: str, undone: int | None) -> LogEntry:
    touched = oplog.ids_of_action(conn, action)
    if oplog.is_purged(conn, touched[0]):
        preview = FORGOTTEN
    else:
        stood = conn.execute(_STOOD, (touched[0], action)).fetchone()
        preview = preview_of(stood[0]) if stood else ""
    return LogEntry(action, at, client, kind, touched[:MAX_IDS], len(touched), undone, preview)


_NOW = "SELECT content, deleted FROM memories WHERE id = ?"
_TEXTS = """
SELECT stamp, json_extract(payload, '$.set.content') FROM ops
WHERE memory_id = ? AND json_type(payload, '$.set.content') = 'text' ORDER BY stamp"""


def told(conn: sqlite3.Connection, accesses: Sequence[Access]) -> list[list[Told]]:
    """For each answer of each access, the memory's text as the answer gave it."""
    now: dict[str, tuple[str, bool] | None] = {}
    texts: dict[str, list[tuple[str, str]]] = {}

    def one(id: str, at: str) -> Told:
        if id not in now:
            held = conn.execute(_NOW, (id,)).fetchone()
            now[id] = None if held is None else (held[0], bool(held[1]))
            texts[id] = conn.execute(_TEXTS, (id,)).fetchall()
        return told_of(now[id], texts[id], at)

    return [[one(answer.id, access.at) for answer in access.answers] for access in accesses]
