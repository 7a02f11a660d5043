"""How many changes a client may make within an hour, decided from the times of those that it has made."""

from __future__ import annotations

from collections.abc import Sequence

from jmem.core.actor import Actor
from jmem.core.errors import RateLimited
from jmem.core.model import iso, milliseconds

HOUR_MS = 3_600_000


def check(actor: Actor, made: Sequence[str], count: int, now: int) -> None:
    """Raise RateLimited when `count` changes more are too many at `now` (ms). `made`: when those of the last hour were,
    oldest first.

    Its detail: `limit` (changes an hour), and where waiting helps `retry_after` (seconds) and `retry_at`.
    """
    limit = actor.writes_per_hour
    if limit is None:
        return
    over = len(made) + count - limit
    if over <= 0:
        return
    fix = f"jmem clients set {actor.client} --writes-per-hour N"
    may = f"{actor.client} may make {_changes(limit)} an hour"
    if count > limit:
        raise RateLimited(f"{may}, and this takes {count:,}", limit=limit, client=actor.client, fix=fix)
    free_at = milliseconds(made[over - 1]) + HOUR_MS
    seconds = max(1, -(-(free_at - now) // 1000))
    left = limit - len(made)
    has = f"{left:,} of them are left, and this takes {count:,}" if left > 0 else "it has made them"
    raise RateLimited(
        f"{may}, and {has}: it may go on in {_span(seconds)}, at {iso(free_at)[:19]}Z",
        limit=limit, client=actor.client, retry_after=seconds, retry_at=iso(free_at), fix=fix,
    )  # fmt: skip


def _changes(count: int) -> str:
    return f"{count:,} {'change' if count == 1 else 'changes'}"


def _span(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} {'second' if seconds == 1 else 'seconds'}"
    return f"{-(-seconds // 60)} minutes"
