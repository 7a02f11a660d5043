"""The feed of one tenant: devices push into it and pull from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Database, driver
from hosted.ops.apply import Outcome, check_all, op_of, take
from hosted.ops.writer import writing
from jmem.core.errors import Conflict, JmemError, TooLarge
from sync.protocol import MAX_PULL_BYTES, MAX_PUSH_OPS, VERSION, cursor_of, parse_cursor

if TYPE_CHECKING:
    from hosted.ops.events import Bus

_CHAIN = "SELECT chain FROM jmem.ops WHERE user_id = $1 AND seq = $2"
_PAGE = """
SELECT stamp, digest, seq, chain, own, CASE WHEN own THEN NULL ELSE payload END AS payload, upto FROM (
  SELECT *, sum(bytes) OVER (ORDER BY seq) - bytes AS upto FROM (
    SELECT stamp, digest, seq, chain, payload, device IS NOT NULL AND device = $4::text AS own,
      CASE WHEN device = $4::text THEN 128 ELSE octet_length(payload) END AS bytes
    FROM jmem.ops WHERE user_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
  ) page
) measured WHERE upto < $5 ORDER BY seq"""
_NEWEST = "SELECT seq FROM jmem.sync_heads WHERE user_id = $1"


class UpgradeRequired(JmemError):
    """An op of a newer kind than this server knows. HTTP 426: the device keeps it."""

    code, status = "upgrade_required", 426


@dataclass(frozen=True, slots=True)
class Pulled:
    """A page of the feed: the ops as JSON texts, the cursor after them, whether there are more, the last seq of the feed."""

    ops: list[str]
    cursor: str
    more: bool
    newest: int


async def push(
    database: Database,
    bus: Bus,
    user_id: UUID,
    device: str,
    ops: Sequence[Mapping[str, Any]],
    *,
    now: int | None = None,
) -> list[Outcome]:
    """What became of each op. Raises TooLarge `batch_too_large`, UpgradeRequired (nothing is taken then)."""
    if len(ops) > MAX_PUSH_OPS:
        raise TooLarge(f"{len(ops):,} ops; a push holds at most {MAX_PUSH_OPS:,}", limit=MAX_PUSH_OPS, fix="halve it")
    newer = [op.get("stamp") for op in ops if type(op.get("v")) is int and op["v"] > VERSION]
    if newer:
        raise UpgradeRequired("this server does not know ops of that kind yet", stamps=newer,
                              fix="keep them and push the others")  # fmt: skip
    checked = await check_all([op_of(op) for op in ops])
    async with writing(database, bus, user_id) as writer:
        return await take(writer, checked, device=device, now=now)


async def pull(
    database: Database, user_id: UUID, cursor: str | None, limit: int = MAX_PUSH_OPS, device: str | None = None
) -> Pulled:
    """The ops after a cursor; of those that `device` pushed only stamp and digest.

    Raises Conflict `cursor_invalid` when the feed up to the cursor is another one: the server was restored.
    """
    seq, chain = parse_cursor(cursor)
    async with database.tenant(user_id) as conn:
        raw = driver(conn)
        if seq and await raw.fetchval(_CHAIN, user_id, seq) != chain:
            raise Conflict("the feed is another one than that of the cursor: the server was restored from a copy",
                           code="cursor_invalid", fix="begin again without a cursor, and push everything anew")  # fmt: skip
        records = await raw.fetch(_PAGE, user_id, seq, limit + 1, device, MAX_PULL_BYTES)
        newest = await raw.fetchval(_NEWEST, user_id) or 0
    page = records[:limit]
    texts = [f'{{"stamp":"{r["stamp"]}","digest":"{r["digest"]}"}}' if r["own"] else r["payload"] for r in page]
    if page:
        seq, chain = page[-1]["seq"], page[-1]["chain"]
    return Pulled(texts, cursor_of(seq, chain if seq else ""), newest > seq, newest)


async def newest(database: Database, user_id: UUID) -> int:
    """The last seq of the feed; 0 for one that is empty."""
    async with database.tenant(user_id) as conn:
        return await driver(conn).fetchval(_NEWEST, user_id) or 0
