"""The account's side of `jmem sync verify`: its hash tree, the ops of one memory, rows folded anew.

The tables are read through a cursor and summed up as they pass, so that a request holds no more of a large account than
of a small one.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Database, driver
from hosted.ops import log, rows
from hosted.ops.writer import writing
from jmem.core.tree import BUCKET, NODE, Leaf, Sums, folded_hash, op_hash, place, row_hash
from sync.protocol import MAX_PULL_BYTES

if TYPE_CHECKING:
    from hosted.ops.events import Bus
    from hosted.ops.rows import Driver

_AT_ONCE = 500
_WHERE = " AND left(encode(sha256(convert_to({id}, 'UTF8')), 'hex'), $2) = ANY ($3::text[])"
_OPS = "SELECT memory_id, stamp, digest FROM jmem.ops WHERE user_id = $1"
_ROWS = f"SELECT {rows.LOADED} FROM jmem.memories m WHERE m.user_id = $1 AND {rows.IS_MEMORY}"
_THESE = _ROWS + " AND m.id = ANY ($2::text[])"
_SEQ = "SELECT seq FROM jmem.sync_heads WHERE user_id = $1"
_LOG = """
SELECT payload FROM (
  SELECT stamp, payload, sum(octet_length(payload)) OVER (ORDER BY stamp) - octet_length(payload) AS upto FROM (
    SELECT stamp, payload FROM jmem.ops WHERE user_id = $1 AND memory_id = $2 AND stamp > $3 ORDER BY stamp LIMIT $4
  ) page
) measured WHERE upto < $5 ORDER BY stamp"""


@dataclass(slots=True)
class Part:
    """A part of the tree as of the feed's `seq`: nodes by name, or the memories of buckets by id."""

    seq: int
    memories: int = 0
    """with content, below what was asked for"""
    nodes: dict[str, str] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)


async def part(database: Database, user_id: UUID, under: Sequence[str] = ()) -> Part:
    """The nodes below the root; below some of those (two hex digits each); or the memories of some buckets (four)."""
    width = len(under[0]) if under else 0
    sums, leaves, memories = Sums(NODE if width == 0 else BUCKET), dict[str, Leaf](), 0
    async with database.tenant(user_id) as conn:
        raw = await driver(conn)
        async for id, log, row in _hashes(raw, user_id, width, under):
            memories += bool(row)
            if width == BUCKET:
                leaves.setdefault(id, Leaf()).add(log, row)
            else:
                sums.add(place(id), log + row)
        seq = await raw.fetchval(_SEQ, user_id) or 0  # at last: what came meanwhile shows in it
    return Part(seq, memories, sums.nodes(), leaves)


async def _hashes(
    raw: Driver, user_id: UUID, width: int, under: Sequence[str]
) -> AsyncIterator[tuple[str, int, int]]:  # fmt: skip
    """(id, hash of an op, 0) and (id, 0, hash of a row), as `jmem.core.tree` makes them of a device."""
    asked: tuple[Any, ...] = (width, list(under)) if width else ()
    ops = _OPS + (_WHERE.format(id="memory_id") if width else "")
    async for record in raw.cursor(ops, user_id, *asked, prefetch=_AT_ONCE):
        yield record[0], op_hash(*record), 0
    found = _ROWS + (_WHERE.format(id="m.id") if width else "")
    async for record in raw.cursor(found, user_id, *asked, prefetch=_AT_ONCE):
        yield record[0], 0, _stored_hash(record)


def _stored_hash(record: Any) -> int:
    extra = record["extra"]
    return row_hash(rows.memory_of(record), json.loads(record["stamps"]), json.loads(extra) if extra != "{}" else {})


async def log_of(database: Database, user_id: UUID, id: str, after: str, limit: int) -> tuple[list[str], bool]:
    """The ops of one memory behind a stamp, as texts in the order of their stamps; whether there may be more."""
    async with database.tenant(user_id) as conn:
        found = await (await driver(conn)).fetch(_LOG, user_id, id, after, limit, MAX_PULL_BYTES)
    texts = [record["payload"] for record in found]
    return texts, len(texts) == limit or sum(len(text.encode()) for text in texts) >= MAX_PULL_BYTES


async def mend(database: Database, bus: Bus, user_id: UUID, ids: Sequence[str]) -> list[str]:
    """Make the rows of memories what their ops add up to; the ids of those that were something else."""
    mended: list[str] = []
    async with writing(database, bus, user_id) as writer:
        held, logs = await writer.rows(ids), await log.folded(writer.raw, user_id, ids)
        apart = await log.apart(writer.raw, user_id, ids)
        stored = {r["id"]: _stored_hash(r) for r in await writer.raw.fetch(_THESE, user_id, list(ids))}
        for id in dict.fromkeys(ids):
            if (folded := logs.get(id)) is None:
                continue
            right = folded_hash(id, folded.registers)
            marks = (folded.purged, id in apart and not folded.purged)
            if stored.get(id, 0) != right or (held[id].purged, held[id].apart) != marks:
                await writer.fold_anew(held[id], folded, apart=id in apart)
                mended.append(id)
    return mended
