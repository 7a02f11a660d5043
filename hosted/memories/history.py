"""What happened: the revisions of a memory, and the log of actions. Both are read from the feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.memories.finding import Params, resolve
from jmem.core.actor import Actor
from jmem.core.idparts import preview
from jmem.core.model import Op
from jmem.core.paging import check_limit, decode_cursor, encode_cursor
from jmem.core.revisions import FORGOTTEN, MAX_IDS, History, LogEntry, history_of

if TYPE_CHECKING:
    import asyncpg

    from hosted.ops.rows import Driver

_OPS = "SELECT payload FROM jmem.ops WHERE user_id = $1 AND memory_id = $2 ORDER BY stamp"
_STEPS = """
SELECT o.stamp, a.kind FROM jmem.ops o JOIN jmem.actions a ON a.user_id = o.user_id AND a.id = o.action
WHERE o.user_id = $1 AND o.memory_id = $2 AND a.kind IN ('undo', 'redo')"""
_TOUCHED = """
SELECT o.action, count(DISTINCT o.memory_id) AS n, (array_agg(o.memory_id ORDER BY o.seq))[1:1000] AS ids FROM jmem.ops o
WHERE o.user_id = $1 AND o.seq BETWEEN $2 AND $3 AND o.action = ANY ($4::bigint[]) GROUP BY o.action"""
_STOOD = """
SELECT o.memory_id, o.seq, o.action, o.stamp, o.payload FROM jmem.ops o
WHERE o.user_id = $1 AND o.memory_id = ANY ($2::text[]) AND o.seq <= $3 ORDER BY o.stamp"""
_PURGED = "SELECT id FROM jmem.memories WHERE user_id = $1 AND purged AND id = ANY ($2::text[])"


async def history(raw: Driver, user_id: UUID, part: str, actor: Actor) -> History:
    """The history of a memory, deleted ones included; raises NotFound, Ambiguous."""
    id = await resolve(raw, user_id, part, actor, deleted=True)
    log = [Op.parse(record["payload"]) for record in await raw.fetch(_OPS, user_id, id)]
    return history_of(id, log, {r["stamp"]: r["kind"] for r in await raw.fetch(_STEPS, user_id, id)})


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
    texts: dict[str, list[tuple[int, int, Any]]] = {}
    for record in await raw.fetch(_STOOD, user_id, ids, last):
        content = Op.parse(record["payload"]).set.get("content")
        if isinstance(content, str):
            texts.setdefault(record["memory_id"], []).append((record["seq"], record["action"], content))
    entries: list[LogEntry] = []
    for a in actions:
        id = heads[a["id"]]
        stood = [(action == a["id"], text) for seq, action, text in texts.get(id, ()) if seq <= a["last_seq"]]
        mine = [text for own, text in stood if own] or [text for _, text in stood]
        begin = FORGOTTEN if id in purged else preview(mine[-1][:400]) if mine else ""
        shown = list(dict.fromkeys(touched[a["id"]]["ids"]))[:MAX_IDS]
        entries.append(
            LogEntry(a["id"], a["at"], a["client"], a["kind"], shown, touched[a["id"]]["n"], a["undone_by"], begin)
        )
    return entries
