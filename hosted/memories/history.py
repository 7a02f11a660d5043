"""What happened: the revisions of a memory, and the log of actions. Both are read from the feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.finding import Params, resolve
from hosted.ops import log
from jmem.core.actor import Actor
from jmem.core.idparts import preview
from jmem.core.model import Op
from jmem.core.paging import check_limit, decode_cursor, encode_cursor
from jmem.core.revisions import FORGOTTEN, MAX_IDS, History, LogEntry, Revision, Telling

if TYPE_CHECKING:
    import asyncpg

    from hosted.db.engine import Driver

HELD_BYTES = 16 << 20
"""Of the newest revisions that are told: an answer holds less."""
BEGIN = 400
"""Characters of a text from which its preview is made."""
_STEPS = """
SELECT o.stamp, a.kind FROM jmem.ops o JOIN jmem.actions a ON a.user_id = o.user_id AND a.id = o.action
WHERE o.user_id = $1 AND o.memory_id = $2 AND a.kind IN ('undo', 'redo')"""
_TOUCHED = """
SELECT o.action, count(DISTINCT o.memory_id) AS n, (array_agg(o.memory_id ORDER BY o.seq))[1:1000] AS ids FROM jmem.ops o
WHERE o.user_id = $1 AND o.seq BETWEEN $2 AND $3 AND o.action = ANY ($4::bigint[]) GROUP BY o.action"""
_STOOD = """
SELECT a.id, coalesce((
    SELECT o.payload FROM jmem.ops o
    WHERE o.user_id = $1 AND o.seq BETWEEN a.first AND a.last AND o.action = a.id AND o.memory_id = a.memory
        AND o.base IS NOT NULL ORDER BY o.stamp DESC LIMIT 1
), (
    SELECT o.payload FROM jmem.ops o
    WHERE o.user_id = $1 AND o.memory_id = a.memory AND o.seq <= a.last AND o.base IS NOT NULL
    ORDER BY o.stamp DESC LIMIT 1
)) AS payload FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[]) AS a (id, first, last, memory)"""
"""The op that gave the first memory of an action its text: the action's own, else the newest of then."""
_PURGED = "SELECT id FROM jmem.memories WHERE user_id = $1 AND purged AND id = ANY ($2::text[])"


async def history(raw: Driver, user_id: UUID, part: str, actor: Actor) -> History:
    """The newest revisions of a memory, deleted ones included; raises NotFound, Ambiguous."""
    id = await resolve(raw, user_id, part, actor, deleted=True)
    telling = Telling({r["stamp"]: r["kind"] for r in await raw.fetch(_STEPS, user_id, id)})
    newest: deque[tuple[Revision, int]] = deque()
    held = 0
    async for op in log.ops(raw, user_id, [id]):
        size = len(str(op.set))
        newest.append((telling.take(op), size))
        held += size
        while held > HELD_BYTES and len(newest) > 1:
            held -= newest.popleft()[1]
    return History(id, [revision for revision, _ in newest], await log.heads(raw, user_id, id))


async def log_page(
    raw: Driver, user_id: UUID, *, limit: int = 50, cursor: str | None = None, id: str | None = None,
    client: str | None = None, since: str | None = None,
) -> tuple[list[LogEntry], str | None]:  # fmt: skip
    """Actions that wrote something, newest first, and the cursor of the next page."""
    params = Params(user_id)
    where = "a.user_id = $1"
    if id is not None:
        where += f" AND a.id IN (SELECT action FROM jmem.ops WHERE user_id = $1 AND memory_id = {params.add(id)})"
    if client is not None:
        where += f" AND a.client = {params.add(client)}"
    if since is not None:
        where += f" AND a.at >= {params.add(since)}"
    if cursor is not None:
        below = decode_cursor(cursor, "log", 1)[0]
        where += f" AND a.id < {params.add(below if isinstance(below, int) else 0)}"
    sql = f"SELECT a.* FROM jmem.actions a WHERE {where} ORDER BY a.id DESC LIMIT {params.add(check_limit(limit) + 1)}"
    found = await raw.fetch(sql, *params.values)
    entries = await _entries(raw, user_id, found[:limit]) if found else []
    return entries, encode_cursor("log", entries[-1].action) if len(found) > limit else None


async def _entries(raw: Driver, user_id: UUID, actions: list[asyncpg.Record]) -> list[LogEntry]:
    first, last = min(a["first_seq"] for a in actions), max(a["last_seq"] for a in actions)
    touched = {r["action"]: r for r in await raw.fetch(_TOUCHED, user_id, first, last, [a["id"] for a in actions])}
    heads = {a["id"]: touched[a["id"]]["ids"][0] for a in actions}
    ids = list(set(heads.values()))
    purged = {r["id"] for r in await raw.fetch(_PURGED, user_id, ids)}
    begins = await _begins(raw, user_id, [(a["id"], a["first_seq"], a["last_seq"], heads[a["id"]]) for a in actions])
    entries: list[LogEntry] = []
    for a in actions:
        id = heads[a["id"]]
        begin = FORGOTTEN if id in purged else preview(begins.get(a["id"], ""))
        shown = list(dict.fromkeys(touched[a["id"]]["ids"]))[:MAX_IDS]
        entries.append(
            LogEntry(a["id"], a["at"], a["client"], a["kind"], shown, touched[a["id"]]["n"], a["undone_by"], begin)
        )
    return entries


async def _begins(raw: Driver, user_id: UUID, actions: Sequence[tuple[int, int, int, str]]) -> dict[int, str]:
    """How the text began that the first memory of each action (id, first and last seq, memory) had then."""
    found: dict[int, str] = {}
    async for record in raw.cursor(_STOOD, user_id, *map(list, zip(*actions, strict=True)), prefetch=log.AT_ONCE):
        if record["payload"] is not None:
            found[record["id"]] = Op.parse(record["payload"]).set["content"][:BEGIN]
    return found
