"""Ids as people type them: any unique part, found by index when it is a prefix or a suffix."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from jmem.core.actor import Actor
from jmem.core.errors import NotFound
from jmem.core.filter import Filter
from jmem.core.idparts import MIN_SHORT, ambiguous, clean, forgotten, reverse_id, unknown, was_deleted
from jmem.core.model import Memory, is_id
from jmem.core.store import memory_of, oplog


def resolve(conn: sqlite3.Connection, part: str, actor: Actor, *, deleted: bool = False) -> str:
    """The whole id of the one memory that the actor sees and `part` fits.

    `deleted` lets deleted ones be found as well as live ones. Raises Invalid (not a part of an id),
    NotFound (with `deleted` true in its detail when a deleted memory fits), Ambiguous with `candidates`.
    """
    found = _search(conn, clean(part), actor)
    fitting = [row for row in found if deleted or not row[1]]
    if len(fitting) == 1:
        return str(fitting[0][0])
    if fitting:
        raise ambiguous(part, [(id, content) for id, _, content in fitting], actor)
    raise missing(conn, part, found)


def load(conn: sqlite3.Connection, id: str) -> Memory:
    """The memory of a whole id; raises NotFound where it was forgotten since it was resolved."""
    memory = memory_of(conn, id)
    if memory is None:
        raise missing(conn, id)
    return memory


def missing(conn: sqlite3.Connection, part: str, found: Sequence[tuple[str, int, str]] = ()) -> NotFound:
    """The NotFound for an id, saying whether it was deleted or forgotten for ever."""
    if found:
        return was_deleted(found[0][0])
    if new := oplog.moved_to(conn, part):
        return forgotten(part, new)
    if conn.execute("SELECT 1 FROM purged WHERE id = ?", (part,)).fetchone():
        return forgotten(part)
    return unknown(part)


def _search(conn: sqlite3.Connection, part: str, actor: Actor) -> list[tuple[str, int, str]]:
    scope, params = actor.narrow(Filter(states=())).scope()
    select = f"SELECT m.id, m.deleted, substr(m.content, 1, 400) FROM memories m WHERE {{}} AND {scope} LIMIT 50"
    if is_id(part):
        return conn.execute(select.format("m.id = ?"), (part, *params)).fetchall()
    backwards = reverse_id(part)
    either = "m.rowid IN (SELECT rowid FROM memories WHERE id >= ? AND id < ?" \
             " UNION SELECT rowid FROM memories WHERE id_reversed >= ? AND id_reversed < ?)"  # fmt: skip
    found = conn.execute(
        select.format(either), (part, part + "g", backwards, backwards + "g", *params)
    ).fetchall()  # "g" sorts after every hex digit and the dash
    if found:
        return found
    if "-" not in part:
        return conn.execute(select.format("instr(replace(m.id, '-', ''), ?)"), (part, *params)).fetchall()
    return conn.execute(select.format("instr(m.id, ?)"), (part, *params)).fetchall()


def short_ids(conn: sqlite3.Connection, ids: Iterable[str]) -> dict[str, str]:
    """id -> the shortest suffix of at least 6 characters that no other memory's id ends with."""
    short: dict[str, str] = {}
    for id in ids:
        backwards = reverse_id(id)
        length = MIN_SHORT
        while length < len(backwards):
            stem = backwards[:length]
            rows = conn.execute(
                "SELECT 1 FROM memories WHERE id_reversed >= ? AND id_reversed < ? LIMIT 2", (stem, stem + "g")
            ).fetchall()
            if len(rows) < 2:
                break
            length += 1
        short[id] = backwards[:length][::-1]
    return short
