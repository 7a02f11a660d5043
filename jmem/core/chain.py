"""Which memory took the place of which: `supersedes` read in both directions.

A link is one field of the newer memory, so that anything can be written: circles, several successors of one
memory, members that were deleted since. None of it is an error here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

from jmem.core import ids
from jmem.core.actor import Actor
from jmem.core.filter import Filter
from jmem.core.links import Chain, chain_of, older_ids, unlinked
from jmem.core.model import MAX_LIMIT, Memory
from jmem.core.store import MEMORY_COLUMNS, row_memory

_AMONG = "IN (SELECT value FROM json_each(?))"


def chain(conn: sqlite3.Connection, part: str, actor: Actor) -> Chain:
    """The chain of a memory, deleted ones included; raises NotFound, Ambiguous."""
    id = ids.resolve(conn, part, actor, deleted=True)
    seen = actor.narrow(Filter())
    scope, values = seen.scope()
    found: dict[str, Memory] = {}
    asked = [id]
    while asked and len(found) <= MAX_LIMIT:
        keys = json.dumps(asked)
        older = json.dumps([m.supersedes for i in asked if (m := found.get(i)) is not None and m.supersedes])
        rows = conn.execute(
            f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE (m.id {_AMONG} OR m.id {_AMONG} OR m.supersedes {_AMONG})"
            f" AND {scope} ORDER BY m.at, m.id",
            (keys, older, keys, *values),
        )
        fresh = [memory for memory in map(row_memory, rows) if memory.id not in found]
        found.update((memory.id, memory) for memory in fresh)
        asked = [memory.id for memory in fresh]
    linked = chain_of(found, id)
    return replace(linked, members=as_seen([(conn, seen)], linked.members))


def as_seen(tables: Sequence[tuple[sqlite3.Connection, Filter]], memories: Sequence[Memory]) -> list[Memory]:
    """The memories without the ids of what they supersede where that is in the scope of none of the `tables`, which are
    (connection, scope) pairs. Where the scope is everything, nothing is looked up."""
    hidden = set(older_ids(memories, tables[0][1]))
    for conn, seen in tables if hidden else ():
        scope, values = seen.scope()
        sql = f"SELECT m.id FROM memories m WHERE m.id {_AMONG} AND {scope}"
        hidden -= {id for (id,) in conn.execute(sql, (json.dumps(list(hidden)), *values))}
    return unlinked(memories, hidden) if hidden else list(memories)


def with_successors(
    tables: Sequence[tuple[sqlite3.Connection, Filter]], now: str, memories: Iterable[Memory]
) -> list[Memory]:
    """The memories as `as_seen`, with `superseded_by` set where a live, active memory that may be seen supersedes them.

    `tables` are (connection, scope) pairs that hold the successors; one query each.
    """
    asked = as_seen(tables, list(memories))
    keys = json.dumps([memory.id for memory in asked])
    found: dict[str, tuple[str, str]] = {}
    for conn, scope in tables if asked else ():
        where, params = scope.sql(now)
        sql = f"SELECT m.supersedes, m.at, m.id FROM memories m WHERE m.supersedes {_AMONG} AND {where}"
        for older, at, id in conn.execute(sql, (keys, *params)):
            found[older] = max(found.get(older, ("", "")), (at, id))
    return [replace(m, superseded_by=found[m.id][1]) if m.id in found else m for m in asked] if found else asked
