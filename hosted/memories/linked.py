"""What changed in a span of time, and what took whose place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.finding import Params, resolve, scope
from hosted.memories.listing import as_seen
from hosted.ops import log
from hosted.ops.rows import COLUMNS, memory_of
from jmem.core.actor import Actor
from jmem.core.filter import EVERYTHING
from jmem.core.links import Chain, chain_of
from jmem.core.model import MAX_LIMIT, Memory
from jmem.core.paging import check_limit
from jmem.core.spans import OPEN, Change, Passing, Span, change, closed, cursor_of, going_on

if TYPE_CHECKING:
    from hosted.db.engine import Driver

AT_ONCE = 100
"""Touched memories that are named at a time."""
HELD_BYTES = 4 << 20
"""Of changes on one page: an answer holds less."""
_NEWEST = "SELECT max(stamp) FROM jmem.ops WHERE user_id = $1"
_TOUCHED = """
SELECT o.memory_id, max(o.stamp) AS last FROM jmem.ops o
WHERE o.user_id = $1 AND o.stamp >= $2 AND o.stamp < $3 AND ($5::text IS NULL OR o.memory_id = $5)
  AND NOT EXISTS (SELECT FROM jmem.memories m WHERE m.user_id = $1 AND m.id = o.memory_id AND m.purged)
GROUP BY o.memory_id HAVING max(o.stamp) < $4 ORDER BY last DESC"""


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
    shown: list[Change] = []
    last, held = "", 0
    # asked once, however many of them are another program's
    touched = await raw.cursor(_TOUCHED, user_id, wanted.first, wanted.end, below, id)
    while some := await touched.fetch(AT_ONCE):
        passing = {record["memory_id"]: Passing(wanted) for record in some}
        async for op in log.ops(raw, user_id, list(passing), wanted.end):
            passing[op.id].take(op)
        for record in some:
            found = change(record["memory_id"], passing[record["memory_id"]])
            if found is None or (client is not None and client not in found.clients):
                continue
            if len(shown) == limit or held > HELD_BYTES:
                return shown, cursor_of(wanted, last)
            shown.append(found)
            last = record["last"]
            held += len(str(found.before)) + len(str(found.after))
    return shown, None


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
    linked = chain_of(found, id)
    return replace(linked, members=await as_seen(raw, user_id, actor.narrow(EVERYTHING), linked.members))
