"""What forgetting a memory for ever takes out of the other tables of its tenant, in the same transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.edge.idempotency import attempt

if TYPE_CHECKING:
    from hosted.db.engine import Driver

NUMBER_ACCESSES = (
    "INSERT INTO jmem.access_heads AS h (user_id, last) VALUES ($1, $2)"
    " ON CONFLICT (user_id) DO UPDATE SET last = h.last + $2 RETURNING last"
)
"""Gives the next accesses of a tenant their numbers, and locks its log until the commit."""
_FORGET = (
    "UPDATE jmem.accesses SET query = NULL, detail = '{}', ids = ARRAY(SELECT CASE WHEN e = ANY ($2::uuid[]) THEN NULL"
    " ELSE e END FROM unnest(ids) WITH ORDINALITY s (e, n) ORDER BY n) WHERE user_id = $1 AND ids && $2::uuid[]"
)

_FORGET_ANSWERS = (
    "UPDATE jmem.answers SET forgotten = true, sealed = NULL WHERE user_id = $1 AND attempt IS DISTINCT FROM $2::uuid"
)


async def forget_accesses(raw: Driver, user_id: UUID, ids: Collection[str]) -> None:
    """Erase memories from the access log, with the queries that found them. What is written to it after this commits
    leaves them out by itself."""
    await raw.fetchval(NUMBER_ACCESSES, user_id, 0)
    await raw.execute(_FORGET, user_id, [UUID(id) for id in ids])


async def forget_answers(raw: Driver, user_id: UUID) -> None:
    """Erase the answers that are kept for requests that come twice, and have none kept that is under way: any may hold
    the text. The request that forgets keeps its own."""
    await raw.execute(_FORGET_ANSWERS, user_id, attempt())
