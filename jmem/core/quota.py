"""How many changes a client may make within an hour. They are counted in the log of ops, so that no restart forgets them."""

from __future__ import annotations

import sqlite3

from jmem.core.actor import Actor
from jmem.core.caps import HOUR_MS, check
from jmem.core.clock import wall_ms
from jmem.core.model import iso
from jmem.core.store import Tx


def spend(tx: Tx, actor: Actor, count: int = 1) -> None:
    """Call before `count` ops are written; raises RateLimited when they are more than the actor may make by now."""
    if actor.writes_per_hour is None:
        return
    now = wall_ms()
    check(actor, _made(tx.conn, actor.client, iso(now - HOUR_MS), iso(now)), count, now)


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
