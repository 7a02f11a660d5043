"""The memory as it stood at an earlier moment: what the ops stamped up to then add up to.

A memory that no op has changed since stands in the ordinary tables as it stood then. The others are folded anew
from their ops into tables of the same form in memory (`Past`), so that one condition filters both. What was
purged has no ops any more and is missing from every moment.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from jmem.core import ids, listing, merge, paging
from jmem.core.actor import Actor
from jmem.core.chain import as_seen
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.listing import SORTS
from jmem.core.merge import Registers
from jmem.core.model import Memory, Op
from jmem.core.moments import bound_of, cursor_kind, newest_of, there
from jmem.core.paging import Page
from jmem.core.store import MEMORY_COLUMNS, Store, fts, oplog, row_memory, rows
from jmem.core.store.schema import MIGRATIONS
from jmem.core.texts import CONTEXT_AFTER, CONTEXT_BEFORE, spoken

_ROWS = (
    "SELECT id, rowid FROM memories"
    " WHERE id IN (SELECT memory_id FROM ops WHERE stamp >= ?1) AND version >= ?1 ORDER BY rowid"
)
_OPS = (
    "SELECT memory_id, payload FROM ops WHERE stamp < ? AND memory_id IN (SELECT value FROM json_each(?))"
    " ORDER BY memory_id"
)
_NEAR = (
    "SELECT id FROM memories WHERE thread = ? AND state = 'active' AND deleted = 0 AND expires_at IS NULL"
    " AND version < ? AND (at, id) {side} (?, ?) ORDER BY at {order}, id {order} LIMIT ?"
)
_BEFORE, _AFTER = _NEAR.format(side="<", order="DESC"), _NEAR.format(side=">", order="ASC")
_INDEXES = ("memories_thread", "memories_supersedes", "memories_created")
"""The only ones that a query here uses; each costs a write a row."""
_FRINGE = CONTEXT_BEFORE + CONTEXT_AFTER
"""Unchanged rows on each side of a changed one that are needed to write the contexts of those next to it."""


MAX_KEPT = 5_000
"""Changed memories in a past that is kept for the next look."""


@dataclass
class Past:
    """What differs between now and a moment. `conn` holds the memories that were changed since, as they stood then."""

    moment: str
    bound: str
    now: sqlite3.Connection
    """the store's reader, in one transaction as long as this is used"""
    seq: int
    """of the last op that this knows of"""
    changed: list[str] = field(default_factory=list)
    """ids of all that was changed or added since"""
    rows: dict[int, Memory] = field(default_factory=dict)
    """those of them that were there, by rowid"""

    @cached_property
    def conn(self) -> sqlite3.Connection:
        """The connection to the database of that moment."""
        conn = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for migration in MIGRATIONS:
            for statement in migration.sql:
                if not statement.startswith("CREATE INDEX") or any(f" {name} " in statement for name in _INDEXES):
                    conn.execute(statement)
        conn.execute("BEGIN")
        return conn

    def close(self) -> None:
        """Drop the database of that moment."""
        if "conn" in self.__dict__:
            self.conn.close()

    def tables(self, filter: Filter) -> list[tuple[sqlite3.Connection, Filter]]:
        """Where the memories that passed a filter are: the store for what was not changed since, then `conn`."""
        unchanged = (self.now, replace(filter, before=self.bound))
        return [unchanged, (self.conn, filter)] if self.rows else [unchanged]

    # ---- full text ----------------------------------------------------------------------------

    @cached_property
    def neighbours(self) -> frozenset[int]:
        """Unchanged memories whose context has changed since; `conn` has them, and its full-text index is filled."""
        if not self.changed:
            return frozenset()
        near: dict[str, None] = {}
        fringe: dict[str, None] = {}
        for thread, at, id in self._spots():
            before = [i for (i,) in self.now.execute(_BEFORE, (thread, self.bound, at, id, _FRINGE))]
            after = [i for (i,) in self.now.execute(_AFTER, (thread, self.bound, at, id, _FRINGE))]
            near.update(dict.fromkeys(before[:CONTEXT_AFTER] + after[:CONTEXT_BEFORE]))
            fringe.update(dict.fromkeys(before + after))
        rowids = rows.copy(self.now, self.conn, list(fringe))
        copied = {rowids[id] for id in near}
        fts.fill(self.conn, copied | set(self.rows))
        return frozenset(copied)

    def _spots(self) -> set[tuple[str, str, str]]:
        """The places in threads where what was changed since stood then, and where it stands now, each with a text
        that its neighbours have or had in their context and that is not the same now and then."""
        then = {spot for memory in self.rows.values() if (spot := _spot(memory)) is not None}
        sql = f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE thread IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
        standing = {
            spot for row in self.now.execute(sql, (json.dumps(self.changed),)) if (spot := _spot(row_memory(row)))
        }
        return {(thread, at, id) for thread, at, id, _ in then ^ standing}


def _spot(memory: Memory) -> tuple[str, str, str, str] | None:
    """Thread, time, id and text of a memory that gives context."""
    if memory.thread is None or not fts.gives_context(memory.state, memory.deleted, memory.expires_at):
        return None
    text = spoken(memory.content, memory.speaker, memory.occurred_at)
    return memory.thread, memory.occurred_at or memory.created_at, memory.id, text


class Kept:
    """The past that was looked at last: who looks again, before anything was written, need not fold it anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: Past | None = None

    def take(self, moment: str, seq: int) -> Past | None:
        """The one of this moment and this state of the store, for one reader alone until it puts it back."""
        with self._lock:
            past = self._past
            if past is None or (past.moment, past.seq) != (moment, seq):
                return None
            self._past = None
            return past

    def put(self, past: Past, last_seq: int) -> None:
        """Keep it, unless it is large or something was written meanwhile (it may have been forgotten for ever)."""
        with self._lock:
            keep = past.seq == last_seq and len(past.changed) <= MAX_KEPT
            dropped, self._past = (self._past, past) if keep else (past, self._past)
        if dropped is not None:
            dropped.close()

    def clear(self) -> None:
        """Let go of it."""
        with self._lock:
            past, self._past = self._past, None
        if past is not None:
            past.close()


@contextlib.contextmanager
def opened(store: Store, moment: str, kept: Kept | None = None) -> Iterator[Past]:
    """The past as of a moment in the form of `model.iso`, over one state of the store."""
    with store.reader() as conn:
        conn.execute("BEGIN")
        past = None
        try:
            seq = oplog.newest_seq(conn)
            past = kept.take(moment, seq) if kept is not None else None
            if past is None:
                past = Past(moment, bound_of(moment), conn, seq)
                _fill(past)
            past.now = conn
            yield past
        except BaseException:
            if past is not None:
                past.close()
            raise
        else:
            if kept is not None:
                kept.put(past, store.last_seq)
            else:
                past.close()
        finally:
            conn.execute("ROLLBACK")


def _fill(past: Past) -> None:
    rowids = dict(past.now.execute(_ROWS, (past.bound,)).fetchall())
    past.changed = list(rowids)
    if not rowids:
        return
    keys = json.dumps(past.changed)
    folded: dict[str, Registers] = {}
    for id, payload in past.now.execute(_OPS, (past.bound, keys)):
        merge.merge_op(folded.setdefault(id, {}), Op.parse(payload))
    for id, registers in folded.items():
        memory = merge.memory(id, registers)
        if memory is not None:
            past.rows[rowids[id]] = memory
            rows.insert_at(past.conn, rowids[id], memory, registers)


# ---- reads ------------------------------------------------------------------------------------


def memory_at(conn: sqlite3.Connection, part: str, actor: Actor, moment: str, *, deleted: bool = False) -> Memory:
    """One memory as it stood; raises NotFound, also when it was not there yet or was deleted then, Ambiguous."""
    id = ids.resolve(conn, part, actor, deleted=True)
    memory = folded(conn, id, bound_of(moment))
    (memory,) = as_seen([(conn, actor.narrow(Filter()))], [there(memory, id, moment, deleted=deleted)])
    return replace(memory, superseded_by=_successor(conn, id, moment))


def _successor(conn: sqlite3.Connection, id: str, moment: str) -> str | None:
    """The newest of the memories that name this one now, and did so then while they were live and active."""
    linked = conn.execute("SELECT id FROM memories WHERE supersedes = ?", (id,)).fetchall()
    then = [memory for (one,) in linked if (memory := folded(conn, one, bound_of(moment))) is not None]
    return newest_of(then, id, moment)


def folded(conn: sqlite3.Connection, id: str, bound: str) -> Memory | None:
    """What the ops with stamps below `bound` make of a memory; None before it had content."""
    found = conn.execute("SELECT payload FROM ops WHERE memory_id = ? AND stamp < ?", (id, bound))
    return merge.memory(id, merge.fold(Op.parse(payload) for (payload,) in found).registers)


def page(
    past: Past, filter: Filter, limit: int = 100, cursor: str | None = None, sort: str = "-created", offset: int = 0
) -> Page:
    """As `listing.page`, of the past. Its cursors carry the moment: see `moment_of`."""
    name = sort.removeprefix("-")
    if name not in SORTS:
        raise Invalid(f"sort must be one of {', '.join(SORTS)}, with - for the newest first", field="sort")
    paging.check_limit(limit)
    column, down = SORTS[name], sort.startswith("-")
    after = None if cursor is None else paging.decode_cursor(cursor, cursor_kind(sort), 3)[1:]
    found: list[tuple[Any, ...]] = []
    for conn, condition in past.tables(filter):
        where, params = condition.sql(past.moment)
        if after is not None:
            where += f" AND ({column}, m.id) {'<' if down else '>'} (?, ?)"
            params += after
        order = "DESC" if down else "ASC"
        found += conn.execute(
            f"SELECT {column}, {MEMORY_COLUMNS} FROM memories m WHERE {where} ORDER BY {column} {order}, m.id {order}"
            " LIMIT ?",
            (*params, offset + limit + 1),
        ).fetchall()
    found.sort(key=lambda row: (row[0], row[1]), reverse=down)
    found = found[offset : offset + limit + 1]
    memories = [row_memory(row, 1) for row in found[:limit]]
    if len(found) <= limit:
        return Page(memories)
    return Page(memories, paging.encode_cursor(cursor_kind(sort), past.moment, found[limit - 1][0], memories[-1].id))


def count(past: Past, filter: Filter) -> int:
    """How many memories passed the filter then."""
    # what was changed since is counted and taken off again: the index that counts has no stamps
    total = listing.count(past.now, filter, past.moment)
    if past.changed:
        where, params = filter.sql(past.moment)
        sql = f"SELECT COUNT(*) FROM memories m WHERE m.id IN (SELECT value FROM json_each(?)) AND {where}"
        (changed,) = past.now.execute(sql, (json.dumps(past.changed), *params)).fetchone()
        total -= changed
    return total + (listing.count(past.conn, filter, past.moment) if past.rows else 0)
