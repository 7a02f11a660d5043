"""What changed between two moments: each memory's state then against its state later, both folded from its ops."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jmem.core import asof, merge, paging
from jmem.core.clock import stamp_ms
from jmem.core.edits import DEFAULTS
from jmem.core.model import FIELDS, Memory, iso
from jmem.core.store import oplog

_KIND = "changes"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one memory. `kind`: added, edited, deleted or restored (deleted at first, there again later).

    `before` and `after` are the fields that differ, all that are set where it was not there on the other side (None).
    `at` is the time of its last change in the span, `clients` are those that changed it, first to last, `content`
    is its text at the end, or before it was deleted.
    """

    id: str
    kind: str
    at: str
    clients: tuple[str, ...]
    content: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Span:
    """From the first stamp that counts to the first that does not."""

    first: str
    end: str


def span(since: str, until: str | None) -> Span:
    """The stamps of a span of time, given in the form of `model.iso`; `until` is exclusive, None: all there is."""
    return Span(_stamp(since), "g" if until is None else _stamp(until))


def _stamp(moment: str) -> str:
    """The first stamp at a moment or after it."""
    return f"{max(int(asof.bound_of(moment), 16) - 1, 0):012x}"


def page(
    conn: sqlite3.Connection, wanted: Span, *, limit: int = 100, cursor: str | None = None, id: str | None = None,
    client: str | None = None,
) -> tuple[list[Change], str | None]:  # fmt: skip
    """The next `limit` changes, newest first, and the next cursor, which carries the span."""
    paging.check_limit(limit)
    below = "g"
    if cursor is not None:
        first, end, below = (str(value) for value in paging.decode_cursor(cursor, _KIND, 3))
        wanted = Span(first, end)
    elif wanted.end == "g":
        (newest,) = conn.execute("SELECT MAX(stamp) FROM ops").fetchone()
        wanted = Span(wanted.first, (newest or "") + "~")  # what is written from now on shifts no later page
    found: list[tuple[str, Change]] = []
    for touched, stamp in _touched(conn, wanted, below, id):
        change = _change(conn, touched, wanted)
        if change is not None and (client is None or client in change.clients):
            found.append((stamp, change))
            if len(found) > limit:
                break
    more = len(found) > limit
    shown = found[:limit]
    next_cursor = paging.encode_cursor(_KIND, wanted.first, wanted.end, shown[-1][0]) if more else None
    return [change for _, change in shown], next_cursor


def _touched(conn: sqlite3.Connection, wanted: Span, below: str, id: str | None) -> Iterator[tuple[str, str]]:
    """(id, stamp of its last op in the span) of memories that still have their ops, newest first."""
    only = "" if id is None else " AND memory_id = ?"
    yield from conn.execute(
        "SELECT memory_id, MAX(stamp) AS last FROM ops WHERE stamp >= ? AND stamp < ?" + only + " AND memory_id NOT IN"
        " (SELECT id FROM purged) GROUP BY memory_id HAVING last < ? ORDER BY last DESC",
        (wanted.first, wanted.end, *(() if id is None else (id,)), below),
    ).fetchall()


def _change(conn: sqlite3.Connection, id: str, wanted: Span) -> Change | None:
    """What the span did to a memory; None when nothing of it is left."""
    log = [op for op in oplog.ops_of(conn, id) if op.stamp < wanted.end]
    inside = [op for op in log if op.stamp >= wanted.first and op.set]
    before = merge.memory(id, merge.fold(op for op in log if op.stamp < wanted.first).registers)
    after = merge.memory(id, merge.fold(log).registers)
    was, is_ = before is not None and not before.deleted, after is not None and not after.deleted
    if not inside or not (was or is_):
        return None
    at, clients = iso(stamp_ms(inside[-1].stamp)), tuple(dict.fromkeys(op.client for op in inside))
    if before is not None and after is not None and was and is_:
        old, new = _fields(before), _fields(after)
        differ = [name for name in old if old[name] != new[name]]
        if not differ:
            return None
        parts = ({name: fields[name] for name in differ} for fields in (old, new))
        return Change(id, "edited", at, clients, after.content, *parts)
    if is_ and after is not None:
        return Change(id, "added" if before is None else "restored", at, clients, after.content, None, _set(after))
    assert before is not None
    return Change(id, "deleted", at, clients, before.content, _set(before), None)


def _fields(memory: Memory) -> dict[str, Any]:
    fields = {name: getattr(memory, name) for name in FIELDS if name != "deleted"}
    return {**fields, "tags": list(memory.tags), "metadata": dict(memory.metadata)}


def _set(memory: Memory) -> dict[str, Any]:
    """The fields that have another value than they begin with."""
    return {name: value for name, value in _fields(memory).items() if name not in DEFAULTS or value != DEFAULTS[name]}
