"""What changed in a span of time, and what took whose place."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.finding import EVERYTHING, Params, resolve, scope
from hosted.ops.rows import COLUMNS, memory_of
from jmem.core.actor import Actor
from jmem.core.links import Chain, chain_of
from jmem.core.model import MAX_LIMIT, Memory, Op
from jmem.core.paging import check_limit
from jmem.core.spans import OPEN, Change, Span, change_of, closed, cursor_of, going_on

if TYPE_CHECKING:
    from hosted.ops.rows import Driver

AT_ONCE = 100
"""Touched memories whose ops are read at a time."""
_NEWEST = "SELECT max(stamp) FROM jmem.ops WHERE user_id = $1"
_TOUCHED = """
SELECT o.memory_id, max(o.stamp) AS last FROM jmem.ops o
WHERE o.user_id = $1 AND o.stamp >= $2 AND o.stamp < $3 AND ($5::text IS NULL OR o.memory_id = $5)
  AND NOT EXISTS (SELECT FROM jmem.memories m WHERE m.user_id = $1 AND m.id = o.memory_id AND m.purged)
GROUP BY o.memory_id HAVING max(o.stamp) < $4 ORDER BY last DESC LIMIT $6"""
_OPS = """
SELECT memory_id, payload FROM jmem.ops
WHERE user_id = $1 AND stamp < $2 AND memory_id = ANY ($3::text[]) ORDER BY stamp"""


async def changes(
    raw: Driver, user_id: UUID, wanted: Span, *, limit: int = 100, cursor: str | None = None, id: str | None = None,
    client: str | None = None,
) -> tuple[list[Change], str | None]:  # fmt: skip
    """The next `limit` changes, newest first, and the next cursor, which carries the span."""
    check_limit(limit)
    below = OPEN
    if cursor is None:
        wanted = closed(wanted, await raw.fetchval(_NEWEST, user_id))
    else:
        wanted, below = going_on(cursor)
    found: list[tuple[str, Change]] = []
    while len(found) <= limit:
        touched = await raw.fetch(_TOUCHED, user_id, wanted.first, wanted.end, below, id, AT_ONCE)
        ids = [record["memory_id"] for record in touched]
        ops: dict[str, list[Op]] = {one: [] for one in ids}
        for record in await raw.fetch(_OPS, user_id, wanted.end, ids) if ids else ():
            ops[record["memory_id"]].append(Op.parse(record["payload"]))
        for record in touched:
            change = change_of(record["memory_id"], ops[record["memory_id"]], wanted)
            if change is not None and (client is None or client in change.clients):
                found.append((record["last"], change))
        if len(touched) < AT_ONCE:
            break
        below = touched[-1]["last"]
    shown = found[:limit]
    return [change for _, change in shown], cursor_of(wanted, shown[-1][0]) if len(found) > limit else None


async def chain(raw: Driver, user_id: UUID, part: str, actor: Actor) -> Chain:
    """The chain of a memory, deleted ones included; raises NotFound, Ambiguous."""
    id = await resolve(raw, user_id, part, actor, deleted=True)
    found: dict[str, Memory] = {}
    asked = [id]
    while asked and len(found) <= MAX_LIMIT:
        older = [m.supersedes for i in asked if (m := found.get(i)) is not None and m.supersedes]
        params = Params(user_id, [*asked, *older], asked)
        where = scope(actor.narrow(EVERYTHING), params)
        records = await raw.fetch(
            f"SELECT {COLUMNS} FROM jmem.memories m WHERE (m.id = ANY ($2::text[]) OR m.supersedes = ANY ($3::text[]))"
            f" AND {where} ORDER BY m.at, m.id LIMIT {MAX_LIMIT + 2}",
            *params.values,
        )
        fresh = [memory for memory in map(memory_of, records) if memory.id not in found]
        found.update((memory.id, memory) for memory in fresh)
        asked = [memory.id for memory in fresh]
    return chain_of(found, id)
