"""Hybrid logical clock: stamps that order writes across machines whose wall clocks disagree.

A stamp is `ms(12 hex)-counter(4 hex)-node(8 hex)` and compares as a string. It is an op's identity,
its idempotency key and its place in the order at once. `node` is random at every process start, so
that a restored copy of a device never mints a stamp that the original also mints.
"""

from __future__ import annotations

import re
import secrets
import time

STAMP = re.compile(r"[0-9a-f]{12}-[0-9a-f]{4}-[0-9a-f]{8}")
MAX_COUNTER = 0xFFFF


def new_node() -> str:
    """Eight random hex digits."""
    return secrets.token_hex(4)


def wall_ms() -> int:
    """The wall clock, ms since the Unix epoch."""
    return time.time_ns() // 1_000_000


def ahead_s() -> float:
    """Seconds by which the wall clock is ahead of the one that stands still while the machine sleeps."""
    return time.time() - time.monotonic()


def stamp_ms(stamp: str) -> int:
    """The milliseconds of a stamp."""
    return int(stamp[:12], 16)


class Clock:
    """Mints stamps above every stamp it has minted or seen. Not thread-safe: the store's writer owns it."""

    def __init__(self, last: str = "", node: str | None = None) -> None:
        self.node = node or new_node()
        self.last = last
        self.offset_ms = 0
        """the clock that is followed less the wall clock of this machine"""

    def tick(self, now_ms: int | None = None) -> str:
        """The next stamp; greater than `last` whatever the wall clock says."""
        now = wall_ms() + self.offset_ms if now_ms is None else now_ms
        ms, counter = (stamp_ms(self.last), int(self.last[13:17], 16)) if self.last else (0, 0)
        ms, counter = (now, 0) if now > ms else (ms, counter + 1)
        if counter > MAX_COUNTER:
            ms, counter = ms + 1, 0
        self.last = f"{ms:012x}-{counter:04x}-{self.node}"
        return self.last

    def see(self, stamp: str) -> None:
        """Take note of another replica's stamp, so that what is written next sorts after it."""
        self.last = max(self.last, stamp)
