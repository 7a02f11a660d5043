"""Lists in pages, and counts. Pages go by the value after which they continue, so that writes don't shift them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import replace
from typing import Any

from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.model import STATES
from jmem.core.paging import Page, check_limit, decode_cursor, encode_cursor
from jmem.core.store import MEMORY_COLUMNS, MEMORY_WIDTH, row_memory

SORTS = {"created": "m.created_at", "updated": "m.updated_at", "occurred": "m.at"}
RARE = 2000
"""Up to so many memories, a tag or a span of time is where a list starts; beyond, the sorted index is walked."""


_COVERED = "INDEXED BY memories_created"


def page(
    conn: sqlite3.Connection, filter: Filter, now: str, limit: int = 100, cursor: str | None = None,
    sort: str = "-created", offset: int = 0,
) -> Page:  # fmt: skip
    """The next `limit` memories that pass the filter. `sort` is created, updated or occurred, "-" for newest first.

    `offset` of them are passed over first: for a list on a screen, which writes may shift.
    """
    name = sort.removeprefix("-")
    if name not in SORTS:
        raise Invalid(f"sort must be one of {', '.join(SORTS)}, with - for the newest first", field="sort")
    column, down = SORTS[name], sort.startswith("-")
    where, params = filter.sql(now)
    if cursor is not None:
        where += f" AND ({column}, m.id) {'<' if down else '>'} (?, ?)"
        params += decode_cursor(cursor, sort, 2)
    for tag in filter.tags:
        if _rare(conn, "memory_tags WHERE tag = ?", tag):
            where += " AND m.rowid IN (SELECT rowid FROM memory_tags WHERE tag = ?)"
            params.append(tag)
            break
    if name != "occurred" and (filter.since is not None or filter.until is not None):
        span = (filter.since or "", filter.until or "~")
        if not _rare(conn, "memories WHERE deleted = 0 AND at >= ? AND at < ?", *span):
            where = where.replace("m.at ", "+m.at ")  # keeps the planner from sorting a large span
    order = "DESC" if down else "ASC"
    rows = conn.execute(
        f"SELECT {MEMORY_COLUMNS}, {column} FROM memories m WHERE {where}"
        f" ORDER BY {column} {order}, m.id {order} LIMIT ? OFFSET ?",
        (*params, check_limit(limit) + 1, offset),
    ).fetchall()
    more = len(rows) > limit
    memories = [row_memory(row) for row in rows[:limit]]
    return Page(memories, encode_cursor(sort, rows[limit - 1][MEMORY_WIDTH], memories[-1].id) if more else None)


def _rare(conn: sqlite3.Connection, rows: str, *params: Any) -> bool:
    found = conn.execute(f"SELECT COUNT(*) FROM (SELECT 1 FROM {rows} LIMIT ?)", (*params, RARE + 1))
    return int(found.fetchone()[0]) <= RARE


def tag_counts(conn: sqlite3.Connection, filter: Filter, now: str) -> list[tuple[str, int]]:
    """(tag, number of memories that pass the filter and have it), most used first."""
    where, params = filter.sql(now)
    if filter != Filter(states=filter.states, expired=filter.expired):
        counts = Counter(dict(conn.execute(
            "SELECT t.tag, COUNT(*) FROM memories m JOIN memory_tags t ON t.rowid = m.rowid"
            f" WHERE {where} GROUP BY t.tag", params,
        ).fetchall()))  # fmt: skip
    else:
        # nearly everything passes: count all, which reads an index alone, and take off what does not
        counts = Counter(dict(conn.execute("SELECT tag, COUNT(*) FROM memory_tags GROUP BY tag").fetchall()))
        hidden = conn.execute(
            "SELECT tags FROM memories WHERE deleted = 1 AND tags <> '[]' UNION ALL SELECT tags FROM memories WHERE rowid IN"
            f" (SELECT m.rowid FROM memories m {_COVERED} WHERE m.deleted = 0 AND NOT ({where})) AND tags <> '[]'",
            params,
        )
        for (tags,) in hidden:
            counts.subtract(json.loads(tags))
    return sorted(((tag, n) for tag, n in counts.items() if n > 0), key=lambda entry: (-entry[1], entry[0]))


def count(conn: sqlite3.Connection, filter: Filter, now: str) -> int:
    """How many memories pass the filter."""
    where, params = filter.sql(now)
    # the planner may prefer a narrower index, and then looks every row up
    plain = filter == Filter(states=filter.states, clients=filter.clients, expired=filter.expired)
    hint = _COVERED if plain else ""
    return int(conn.execute(f"SELECT COUNT(*) FROM memories m {hint} WHERE {where}", params).fetchone()[0])


def stats(conn: sqlite3.Connection, filter: Filter, now: str) -> dict[str, Any]:
    """Counts of what passes the filter: memories, by state, client, privacy and day added, and how many tags."""
    where, params = filter.sql(now)
    states = dict.fromkeys(STATES, 0)
    clients: Counter[str] = Counter()
    days: Counter[str] = Counter()
    groups = conn.execute(  # one walk along an index that has all these columns
        f"SELECT m.client, m.state, substr(m.created_at, 1, 10), COUNT(*) FROM memories m {_COVERED}"
        f" WHERE {where} GROUP BY 1, 2, 3",
        params,
    )
    for client, state, day, number in groups:
        states[state] += number
        clients[client] += number
        days[day] += number
    total = sum(states.values())
    local = count(conn, replace(filter, privacy="local"), now)
    return {
        "memories": total,
        "states": states,
        "clients": dict(clients.most_common()),
        "privacy": {"local": local, "synced": total - local},
        "by_day": dict(sorted(days.items())),
        "tags": len(tag_counts(conn, filter, now)),
    }
