"""How many changes a client may make within an hour, counted in the feed, so that all replicas count the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jmem.core.actor import Actor
from jmem.core.caps import HOUR_MS, check
from jmem.core.clock import wall_ms
from jmem.core.model import iso

if TYPE_CHECKING:
    from hosted.ops.writer import Writer

# actions are numbered in the order of time: walking back ends at the first that is older. What a clock that was wrong has
# dated ahead must not lock the client out until then.
_MADE = """
SELECT a.at FROM jmem.actions a
JOIN jmem.ops o ON o.user_id = a.user_id AND o.seq BETWEEN a.first_seq AND a.last_seq AND o.action = a.id
WHERE a.user_id = $1 AND a.client = $2 AND a.at > $3 AND a.at <= $4 AND a.id > coalesce(
  (SELECT b.id FROM jmem.actions b WHERE b.user_id = $1 AND b.at <= $3 ORDER BY b.id DESC LIMIT 1), 0)
ORDER BY a.at"""


async def spend(writer: Writer, actor: Actor, count: int = 1) -> None:
    """Call before `count` ops are written; raises RateLimited when they are more than the actor may make by now."""
    if actor.writes_per_hour is None or count == 0:
        return
    now = wall_ms()
    found = await writer.raw.fetch(_MADE, writer.user_id, actor.client, iso(now - HOUR_MS), iso(now))
    check(actor, [record["at"] for record in found] + writer.made(actor.client), count, now)
