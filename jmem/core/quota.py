"""How many changes a client may make within an hour. They are counted in the log of ops, so that no restart forgets them."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from jmem.core.actor import Actor
from jmem.core.clock import wall_ms
from jmem.core.errors import RateLimited
from jmem.core.model import iso
from jmem.core.store import Tx

HOUR_MS = 3_600_000


def spend(tx: Tx, actor: Actor, count: int = 1) -> None:
    """Call before `count` ops are written; raises RateLimited when they are more than the actor may make by now.

    Its detail: `limit` (changes an hour), and where waiting helps `retry_after` (seconds) and `retry_at`.
    """
    limit = actor.writes_per_hour
    if limit is None:
        return
    now = wall_ms()
    made = _made(tx.conn, actor.client, iso(now - HOUR_MS), iso(now))
    over = len(made) + count - limit
    if over <= 0:
        return
    fix = f"jmem clients set {actor.client} --writes-per-hour N"
    may = f"{actor.client} may make {_changes(limit)} an hour"
    if count > limit:
        raise RateLimited(f"{may}, and this takes {count:,}", limit=limit, client=actor.client, fix=fix)
    free_at = _ms(made[over - 1]) + HOUR_MS
    seconds = max(1, -(-(free_at - now) // 1000))
    left = limit - len(made)
    has = f"{left:,} of them are left, and this takes {count:,}" if left > 0 else "it has made them"
    raise RateLimited(
        f"{may}, and {has}: it may go on in {_span(seconds)}, at {iso(free_at)[:19]}Z",
        limit=limit, client=actor.client, retry_after=seconds, retry_at=iso(free_at), fix=fix,
    )  # fmt: skip


def _made(conn: sqlite3.Connection, client: str, since: str, until: str) -> list[str]:
    """When the client made each of its changes of that time, oldest first."""
    # actions are numbered in the order of time: walking back ends at the first that is older
    before = conn.execute("SELECT id FROM actions WHERE at <= ? ORDER BY id DESC LIMIT 1", (since,)).fetchone()
    # what a clock that was wrong has dated ahead must not lock the client out until then
    rows = conn.execute(
        "SELECT a.at FROM actions a CROSS JOIN ops o ON o.action = a.id"
        " WHERE a.id > ? AND a.client = ? AND a.at > ? AND a.at <= ? ORDER BY a.at",
        (before[0] if before else 0, client, since, until),
    )
    return [at for (at,) in rows]


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def _changes(count: int) -> str:
    return f"{count:,} {'change' if count == 1 else 'changes'}"


def _span(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} {'second' if seconds == 1 else 'seconds'}"
    return f"{-(-seconds // 60)} minutes"
