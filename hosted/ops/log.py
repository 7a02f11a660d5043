"""The ops of memories, read some at a time: their whole log may be more than a replica can hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from jmem.core import merge
from jmem.core.merge import Folded
from jmem.core.model import Op
from jmem.core.spans import OPEN

if TYPE_CHECKING:
    from hosted.db.engine import Driver

AT_ONCE = 64
"""Ops that are held at once, of up to 128 KiB each."""
_OPS = """
SELECT payload FROM jmem.ops WHERE user_id = $1 AND memory_id = ANY ($2::text[]) AND stamp < $3
ORDER BY memory_id, stamp"""
_STAMPS = "SELECT stamp FROM jmem.ops WHERE user_id = $1 AND memory_id = $2 ORDER BY stamp"
_TEXTS = """
WITH seen AS (SELECT memory_id, unnest(base) AS stamp FROM jmem.ops WHERE user_id = $1 AND memory_id = ANY ($2::text[]))
SELECT payload FROM jmem.ops o WHERE user_id = $1 AND memory_id = ANY ($2::text[]) AND base IS NOT NULL
  AND NOT EXISTS (SELECT FROM seen s WHERE s.memory_id = o.memory_id AND s.stamp = o.stamp) ORDER BY memory_id, stamp"""
_HEADS = """
SELECT stamp FROM jmem.ops WHERE user_id = $1 AND memory_id = $2 AND base IS NOT NULL
EXCEPT SELECT unnest(base) FROM jmem.ops WHERE user_id = $1 AND memory_id = $2 ORDER BY stamp"""


async def ops(raw: Driver, user_id: UUID, ids: Sequence[str], below: str = OPEN) -> AsyncIterator[Op]:
    """The ops with stamps below one, memory by memory, in the order of their stamps; in a transaction."""
    if ids:
        async for record in raw.cursor(_OPS, user_id, list(ids), below, prefetch=AT_ONCE):
            yield Op.parse(record[0])


async def folded(raw: Driver, user_id: UUID, ids: Sequence[str], below: str = OPEN) -> dict[str, Folded]:
    """What those ops add up to, of each memory that has any."""
    found: dict[str, Folded] = {}
    async for op in ops(raw, user_id, ids, below):
        merge.take(found.setdefault(op.id, Folded()), op)
    return found


async def stamps(raw: Driver, user_id: UUID, id: str) -> list[str]:
    """The stamps of every op of a memory, ascending."""
    return [record[0] for record in await raw.fetch(_STAMPS, user_id, id)]


async def heads(raw: Driver, user_id: UUID, id: str) -> tuple[str, ...]:
    """As `merge.heads` of the whole log, of which it reads no text."""
    return tuple(record[0] for record in await raw.fetch(_HEADS, user_id, id))


async def texts(raw: Driver, user_id: UUID, ids: Sequence[str]) -> AsyncGenerator[Op]:
    """The heads of these memories as ops, memory by memory, in the order of their stamps; in a transaction."""
    if ids:
        async for record in raw.cursor(_TEXTS, user_id, list(ids), prefetch=AT_ONCE):
            yield Op.parse(record[0])


async def apart(raw: Driver, user_id: UUID, ids: Sequence[str]) -> set[str]:
    """Which of these memories have different texts that were written apart, as `merge.in_conflict`; in a transaction."""
    first: dict[str, str] = {}
    return {
        op.id
        async for op in texts(raw, user_id, ids)
        if first.setdefault(op.id, op.set["content"]) != op.set["content"]
    }
