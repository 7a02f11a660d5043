"""Equal memories, which an add does not store twice, and near ones, which it only names."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jmem.core.actor import Actor
from jmem.core.drafts import Near
from jmem.core.filter import Filter
from jmem.core.model import SESSION_THREAD, Memory
from jmem.core.resemblance import ENOUGH_TERMS, MAX_DOCS, MAX_LOOKED_AT, equals_for, nearest, needed, telling
from jmem.core.store.rows import MEMORY_COLUMNS, row_memory
from jmem.core.texts import text_key
from jmem.core.words import words


def equal_memory(conn: sqlite3.Connection, fields: Mapping[str, Any], actor: Actor, now: str) -> Memory | None:
    """The oldest memory with the same content, thread, speaker and time, of `equals_for` the actor.

    Threads of sessions count as none, so that a fact told in two sessions is one memory.
    """
    thread = fields.get("thread")
    if thread is not None and thread.startswith(SESSION_THREAD):
        thread = None
    conditions = [actor.narrow(filter).sql(now) for filter in equals_for(actor)]
    where = " OR ".join(condition for condition, _ in conditions)
    row = conn.execute(
        f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE m.text_key = ? AND m.content = ?"
        f" AND CASE WHEN m.thread GLOB '{SESSION_THREAD}*' THEN NULL ELSE m.thread END IS ?"
        f" AND m.speaker IS ? AND m.occurred_at IS ? AND ({where})"
        " ORDER BY m.state = 'review', m.created_at, m.id LIMIT 1",
        (text_key(fields["content"], fields.get("speaker")), fields["content"], thread,
         fields.get("speaker"), fields.get("occurred_at"), *(value for _, params in conditions for value in params)),
    ).fetchone()  # fmt: skip
    return row_memory(row) if row else None


def near_memories(
    conn: sqlite3.Connection, content: str, actor: Actor, now: str, *, without: str | None = None
) -> tuple[Near, ...]:
    """At most three visible active memories that share at least half of their words with `content`, best first."""
    mine = words(content)
    if not actor.read or not mine:
        return ()
    where, params = actor.narrow(Filter()).sql(now)
    # which words are rare is told by what is named: for a client with a scope, rare among what it sees
    rowids = _sharing(conn, mine, *((where, params) if actor.tags is not None else ("", [])))
    if not rowids:
        return ()
    found = conn.execute(
        f"SELECT m.id, m.content FROM memories m WHERE m.rowid IN ({','.join('?' * len(rowids))}) AND {where}",
        (*rowids, *params),
    )
    return nearest(mine, found, without)


def _sharing(conn: sqlite3.Connection, mine: set[str], where: str, params: Sequence[Any]) -> list[int]:
    """The rowids that hold most of the rare words, among those of a condition if there is one."""
    shared: Counter[int] = Counter()
    frequent: list[str] = []
    rare = 0
    for term in telling(mine):
        rowids = _holding(conn, f'text : "{term}"', where, params)
        if len(rowids) > MAX_DOCS:
            frequent.append(term)
        elif rowids:
            shared.update(rowids)
            rare += 1
            if rare == ENOUGH_TERMS:
                break
    if not shared and len(frequent) > 1:
        every = "text : (" + " AND ".join(f'"{term}"' for term in frequent) + ")"
        shared.update(_holding(conn, every, where, params))
        rare = 0
    return [rowid for rowid, held in shared.most_common(MAX_LOOKED_AT) if held >= needed(rare)]


def _holding(conn: sqlite3.Connection, query: str, where: str, params: Sequence[Any]) -> list[int]:
    sql = "SELECT memory_fts.rowid FROM memory_fts"
    if where:
        sql += f" JOIN memories m ON m.rowid = memory_fts.rowid WHERE memory_fts MATCH ? AND {where} LIMIT ?"
    else:
        sql += " WHERE memory_fts MATCH ? LIMIT ?"
    return [rowid for (rowid,) in conn.execute(sql, (query, *params, MAX_DOCS + 1))]
