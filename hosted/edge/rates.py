"""How much one address, and one user, may ask in a minute.

The user is not known before the request was let in, so an address is counted on the way in and a user by `admit`, which
identity calls for whoever it knows. A window slides. Counts are in Redis where one is configured, so that all replicas
count as one, and in this process otherwise; while Redis doesn't answer each replica counts for itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from hosted.edge.context import Asker, current
from jmem.core.errors import RateLimited

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool


Kind = Literal["read", "search", "write", "sync", "sign_in"]
BURST = 9
"""Refusals within a minute that are still an accident."""
SWEEP_S = 30.0
AWAY_S = 5.0
"""Seconds for which a Redis that failed is not asked again."""
REDIS_S = 0.5
"""Seconds that Redis has to count; it stands in the way of every request."""
_SYNC, _SEARCH = (
    re.compile(r"/api/v1/sync(/|$)"),
    re.compile(r"(/api/v1/search|/memories/find|/openmemory/api/v1/memories/filter|/mcp(/.*)?)/?$"),
)
_REDEEM = "/api/v1/devices/redeem"
_SIGN_IN = frozenset((_REDEEM, "/sign-in", "/sign-in/link", "/sign-in/code", "/sign-up", "/forgot"))
"""Where somebody who is not known yet sends what could be guessed, or has a mail sent."""
_NO_COUNTS = (ValueError, TypeError, LookupError)
"""How the library fails on what answers in the place of Redis, and in its language, but with no counts."""
log = logging.getLogger(__name__)


def kind_of(method: str, path: str) -> Kind:
    """What a request is counted as."""
    if _SYNC.match(path):
        return "sync"
    if _SEARCH.match(path):
        return "search"
    if method in ("GET", "HEAD", "OPTIONS"):
        return "read"
    if path in _SIGN_IN:
        return "sign_in"
    return "write"


@dataclass(frozen=True, slots=True)
class Counted:
    """One limit that a request was counted against: `limit` a minute, how many are left, in how many seconds there are more."""

    name: str
    limit: int
    left: int
    reset: int


class Rates:
    """Counts. `limits` has what may be asked a minute, by kind for a user and by `address` for an address; 0: no limit."""

    def __init__(self, limits: Mapping[str, int], redis_url: str = "") -> None:
        self.limits = limits
        self._memory = MemoryStorage()
        self._own = SlidingWindowCounterRateLimiter(self._memory)
        self._pool: ConnectionPool | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if redis_url:
            self._pool, self._shared = _redis(redis_url)
        self._away_until = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Forget what is over while the app serves."""
        # The library would look through all counts with every request; it leaves that be while this task runs.
        self._memory.timer = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            self._memory.timer.cancel()
            with suppress(asyncio.CancelledError):
                await self._memory.timer
            self._memory.timer = None
            if self._pool is not None:
                await self._pool.aclose()

    async def count(self, name: str, who: str) -> Counted | None:
        """Count one request of `who`; None where there is no limit. Raises RateLimited when there were enough."""
        limit = self.limits.get(name, 0)
        if limit <= 0:
            return None
        item = RateLimitItemPerMinute(limit, namespace=f"jmem/{name}")
        allowed, counted = await self._counted(item, name, who)
        if not allowed:
            raise TooMany(counted)
        return counted

    async def insists(self, who: str) -> bool:
        """Whether `who` was refused so often within a minute that it should be known: true once in ten minutes."""
        allowed, _ = await self._counted(RateLimitItemPerMinute(BURST, namespace="jmem/refused"), "refused", who)
        if allowed:
            return False
        first, _ = await self._counted(RateLimitItemPerMinute(1, 10, namespace="jmem/told"), "told", who)
        return first

    async def _counted(self, item: RateLimitItemPerMinute, name: str, who: str) -> tuple[bool, Counted]:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_S):
                    return await _hit(self._shared, item, name, who)
            except (StorageError, OSError, TimeoutError, *_NO_COUNTS) as error:
                self._away_until = time.monotonic() + AWAY_S
                unknown = error if isinstance(error, _NO_COUNTS) else None
                log.warning(
                    "rates are counted here alone: %s", type(error.__cause__ or error).__name__, exc_info=unknown
                )
        return await _hit(self._own, item, name, who)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.time()
            for key in [key for key, until in self._memory.expirations.items() if until <= now]:
                await self._memory.clear(key)


class TooMany(RateLimited):
    """More than one may ask in a minute; `counted` is the limit that was reached."""

    def __init__(self, counted: Counted) -> None:
        whose = "this address" if counted.name in ("address", "sign_in") else "this account"
        super().__init__(f"{whose} has asked too much within a minute", limit=counted.limit, retry_after=counted.reset,
                         fix=f"ask again in {counted.reset} seconds")  # fmt: skip
        self.counted = counted


async def admit(principal: Asker) -> None:
    """Count the request that is being answered for its user, once; raises RateLimited when there were enough."""
    asking = current.get()
    if asking is None or asking.principal is not None:
        return
    asking.principal = principal
    if asking.rates is not None and asking.kind not in (None, "sign_in"):
        try:
            counted = await asking.rates.count(str(asking.kind), str(principal.user_id))
        except TooMany as error:
            asking.counted.append(error.counted)
            raise
        if counted is not None:
            asking.counted.append(counted)


async def _hit(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, name: str, who: str
) -> tuple[bool, Counted]:
    allowed = await limiter.hit(item, who)
    window = await limiter.get_window_stats(item, who)
    reset = max(1, math.ceil(window.reset_time - time.time()))
    return allowed, Counted(name, item.amount, window.remaining if allowed else 0, reset)


def _redis(url: str) -> tuple[ConnectionPool, SlidingWindowCounterRateLimiter]:
    from redis.asyncio import ConnectionPool  # a replica that counts for itself needs none of it

    pool: ConnectionPool = ConnectionPool.from_url(
        url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S, max_connections=100
    )
    storage = RedisStorage(
        "async+redis://", wrap_exceptions=True, implementation="redispy",
        connection_pool=pool,  # type: ignore[arg-type]  # the library's own way to hand it on
    )  # fmt: skip
    return pool, SlidingWindowCounterRateLimiter(storage)
