"""Everything out, from one snapshot of the store, a line at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from jmem.core.filter import EVERYTHING, Filter
from jmem.core.model import Memory
from jmem.core.portable.jsonl import plain_line, whole_lines
from jmem.core.portable.markdown import note_name, write_note
from jmem.core.store import MEMORY_COLUMNS, MEMORY_WIDTH, Store, row_memory

_PAYLOADS = "SELECT payload FROM ops WHERE memory_id = ? ORDER BY stamp"


def export_jsonl(store: Store, filter: Filter, now: str, *, history: bool = True) -> Generator[str, None, None]:
    """One line a memory (more for a very long history), by id, without newlines. What is written meanwhile is not in it."""
    with _snapshot(store) as conn:
        if not history:
            for memory in _memories(conn, filter, now):
                yield plain_line(memory)
            return
        for id, held, purged in _with_history(conn, filter, now):
            payloads = (payload for (payload,) in conn.execute(_PAYLOADS, (id,)))
            yield from whole_lines(id, held, payloads, purged=purged)


def export_markdown(store: Store, filter: Filter, now: str) -> Generator[str, None, None]:
    """One line a memory: `{"path", "text"}` of its file."""
    used: set[str] = set()
    with _snapshot(store) as conn:
        for memory in _memories(conn, filter, now):
            name = note_name(memory)
            if name.casefold() in used:
                name = f"{memory.id}.md"
            used.add(name.casefold())
            yield json.dumps({"path": name, "text": write_note(memory)}, ensure_ascii=False)


@contextmanager
def _snapshot(store: Store) -> Iterator[sqlite3.Connection]:
    """A reader that sees the store as it is now until the end; writers go on beside it."""
    with store.reader() as conn:
        conn.execute("BEGIN")
        try:
            yield conn
        finally:
            conn.execute("ROLLBACK")


def _memories(conn: sqlite3.Connection, filter: Filter, now: str) -> Iterator[Memory]:
    where, params = filter.sql(now)
    for row in conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE {where} ORDER BY m.id", params):
        yield row_memory(row)


def _with_history(conn: sqlite3.Connection, filter: Filter, now: str) -> Iterator[tuple[str, Memory | None, bool]]:
    """(id, memory, purged); deleted ones that pass the filter too; without a filter every id that has ops."""
    if filter == EVERYTHING:
        rows = conn.execute(
            f"SELECT {MEMORY_COLUMNS}, o.memory_id, p.id IS NOT NULL"
            " FROM (SELECT DISTINCT memory_id FROM ops) o LEFT JOIN memories m ON m.id = o.memory_id"
            " LEFT JOIN purged p ON p.id = o.memory_id ORDER BY o.memory_id"
        )
        for row in rows:
            id, purged = row[MEMORY_WIDTH:]
            yield id, None if row[0] is None else row_memory(row), bool(purged)
        return
    params: list[Any] = []
    conditions: list[str] = []
    for deleted in (False, True):
        where, values = replace(filter, deleted=deleted).sql(now)
        conditions.append(f"({where})")
        params += values
    sql = f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE {' OR '.join(conditions)} ORDER BY m.id"
    for row in conn.execute(sql, params):
        memory = row_memory(row)
        yield memory.id, memory, False
