"""The account's side of `jmem sync verify`: its hash tree, the ops of one memory, rows folded anew.

The database sums up the ops; the rows are read through a cursor, hashed beside the event loop and summed up as they pass, so
that a request holds no more of a large account than of a small one. What is in some buckets is found by an index.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Database, driver
from hosted.ops import log, rows
from hosted.ops.writer import writing
from jmem.core.tree import BUCKET, NODE, Leaf, Sums, folded_hash, place, row_hash
from sync.protocol import MAX_PULL_BYTES

if TYPE_CHECKING:
    from hosted.ops.events import Bus

_AT_ONCE = 500
_ROWS = f"SELECT {rows.LOADED} FROM jmem.memories m WHERE m.user_id = $1 AND {rows.IS_MEMORY}"
_IN = " AND {bucket} = ANY ($2::text[])"
_PARTS = ", ".join(
    f"sum(get_byte(hash, {at})::bigint * 16777216 + get_byte(hash, {at + 1}) * 65536"
    f" + get_byte(hash, {at + 2}) * 256 + get_byte(hash, {at + 3}))::text"
    for at in (0, 4, 8, 12)
)
_OPS = f"""
SELECT name, count(*), {_PARTS} FROM (
  SELECT {{name}} AS name, sha256(convert_to('op', 'UTF8') || '\\x00' || convert_to(memory_id, 'UTF8') || '\\x00'
    || convert_to(stamp, 'UTF8') || '\\x00' || convert_to(digest, 'UTF8')) AS hash
  FROM jmem.ops WHERE user_id = $1{{some}} OFFSET 0
) hashed GROUP BY name"""
"""The hashes of ops as `jmem.core.tree.op_hash` makes them, summed up by the database: four sums of 32 bits each. Without the
OFFSET each sum would make every hash anew."""
_THESE = _ROWS + " AND m.id = ANY ($2::text[])"
_SEQ = "SELECT seq FROM jmem.sync_heads WHERE user_id = $1"
_LOG = """
SELECT payload FROM (
  SELECT n, stamp, payload, sum(octet_length(payload)) OVER (ORDER BY n, stamp) - octet_length(payload) AS upto FROM (
    SELECT a.n, o.stamp, o.payload FROM unnest($2::text[]) WITH ORDINALITY AS a (id, n)
    JOIN jmem.ops o ON o.user_id = $1 AND o.memory_id = a.id
    WHERE a.n > 1 OR o.stamp > $3 ORDER BY a.n, o.stamp LIMIT $4
  ) page
) measured WHERE upto < $5 ORDER BY n, stamp"""


@dataclass(slots=True)
class Part:
    """A part of the tree as of the feed's `seq`: nodes by name, or the memories of buckets by id."""

    seq: int
    memories: int = 0
    """with content, below what was asked for"""
    nodes: dict[str, str] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)


async def part(database: Database, user_id: UUID, under: Sequence[str] = ()) -> Part:
    """The nodes below the root; below some of those (two hex digits each); or the memories of some buckets (four).

    All of one moment.
    """
    digits = 0 if not under else BUCKET if len(under[0]) == NODE else None
    some, asked = ("", list[list[str]]()) if not under else (_IN, [_buckets(under)])
    name = "memory_id" if digits is None else f"left(bucket, {digits or NODE})"
    ops = _OPS.format(name=name, some=some.format(bucket="bucket"))
    sums, leaves, memories = Sums(digits or NODE), dict[str, Leaf](), 0
    async with database.tenant(user_id, snapshot=True) as conn:
        raw = driver(conn)
        for record in await raw.fetch(ops, user_id, *asked):
            if digits is None:
                leaves[record[0]] = Leaf(record[1], _whole(record[2:]))
            else:
                sums.add(record[0], _whole(record[2:]))
        cursor = await raw.cursor(_ROWS + some.format(bucket="m.bucket"), user_id, *asked)
        while records := await cursor.fetch(_AT_ONCE):
            memories += len(records)
            for id, hash in await asyncio.to_thread(_hashed, records):
                if digits is None:
                    leaves.setdefault(id, Leaf()).add(row=hash)
                else:
                    sums.add(place(id), hash)
        seq = await raw.fetchval(_SEQ, user_id) or 0
    return Part(seq, memories, sums.nodes(), leaves)


def _buckets(under: Sequence[str]) -> list[str]:
    """The buckets below nodes; buckets are their own."""
    ends = [""] if len(under[0]) == BUCKET else [f"{n:02x}" for n in range(256)]
    return [name + end for name in under for end in ends]


def _whole(parts: Sequence[str]) -> int:
    """The sum that four sums of 32 bits each are of, the first being the highest."""
    total = 0
    for part in parts:
        total = (total << 32) + int(part)
    return total % 2**128


def _hashed(records: Sequence[Any]) -> list[tuple[str, int]]:
    return [(record[0], _stored_hash(record)) for record in records]


def _stored_hash(record: Any) -> int:
    extra = record["extra"]
    return row_hash(rows.memory_of(record), json.loads(record["stamps"]), json.loads(extra) if extra != "{}" else {})


async def log_of(
    database: Database, user_id: UUID, ids: Sequence[str], after: str, limit: int
) -> tuple[list[str], bool]:  # fmt: skip
    """The ops of memories, as texts in the order of the ids, then of their stamps, those of the first id only behind a stamp;
    whether there may be more."""
    async with database.tenant(user_id) as conn:
        found = await driver(conn).fetch(_LOG, user_id, ids, after, limit, MAX_PULL_BYTES)
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
