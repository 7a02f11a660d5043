"""Wakes those who wait for changes of a tenant: in this process at once, in other replicas through Postgres.

A notice carries no data but how far the feed has come; who is woken reads the feed from its own place. A notice that is
lost (a replica that dies right after a commit, a broken connection) costs time, not events: whoever waits looks by itself
after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from uuid import UUID

import asyncpg

CHANNEL = "jmem_ops"
RETRY_S = 2.0
PER_NOTICE = 150
"""Tenants in one NOTIFY, whose payload is limited to 8,000 bytes."""
log = logging.getLogger(__name__)
Heard = Callable[[UUID, int], None]


class Bus:
    """Lives on one event loop. Without `dsn` it is heard in this process only."""

    def __init__(self, dsn: str | None = None) -> None:
        self._dsn = dsn
        self._waiting: dict[UUID, set[asyncio.Event]] = {}
        self._hooks: list[Heard] = []
        self._outgoing: dict[UUID, int] = {}
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pid = 0
        self.connected = asyncio.Event()
        self.closing = False

    def on_change(self, hook: Heard) -> None:
        """Call `hook(user_id, seq)` for every change heard of, whoever made it; it must not block."""
        self._hooks.append(hook)

    def start(self) -> None:
        """Begin to listen to the other replicas, and to tell them."""
        if self._dsn is not None and self._task is None:
            self._task = asyncio.create_task(self._run())

    def end_streams(self) -> None:
        """Wake everybody for the last time: streams end, while what was written meanwhile is still told of."""
        self.closing = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def close(self) -> None:
        """End the streams, and no longer hear or tell of changes."""
        self.end_streams()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def notify(self, user_id: UUID, seq: int) -> None:
        """A write was committed."""
        self._wake(user_id, seq)
        if self._dsn is not None:
            self._outgoing[user_id] = seq
            self._changed.set()

    @contextlib.contextmanager
    def listening(self, user_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set at every change of the tenant; clear it before reading the feed."""
        event = asyncio.Event()
        self._waiting.setdefault(user_id, set()).add(event)
        try:
            yield event
        finally:
            waiting = self._waiting[user_id]
            waiting.discard(event)
            if not waiting:
                del self._waiting[user_id]

    def count(self) -> int:
        """How many listen."""
        return sum(map(len, self._waiting.values()))

    def _wake(self, user_id: UUID, seq: int) -> None:
        for event in self._waiting.get(user_id, ()):
            event.set()
        for hook in self._hooks:
            hook(user_id, seq)

    # ---- other replicas -----------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._exchange()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("changes of other replicas are not heard now: %s", error)
            self.connected.clear()
            await asyncio.sleep(RETRY_S)

    async def _exchange(self) -> None:
        assert self._dsn is not None
        conn = await asyncpg.connect(self._dsn)
        try:
            self._pid = conn.get_server_pid()
            self._lost.clear()
            conn.add_termination_listener(self._ended)
            await conn.add_listener(CHANNEL, self._heard)
            self.connected.set()
            for user_id in list(self._waiting):  # what was said meanwhile was not heard
                self._wake(user_id, 0)
            while not self._lost.is_set():
                await self._changed.wait()
                self._changed.clear()
                while self._outgoing and not self._lost.is_set():
                    await self._tell(conn)
        finally:
            await conn.close(timeout=2)

    async def _tell(self, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        """Tell of up to PER_NOTICE tenants at once. Outside the writes' transactions, whose commits a NOTIFY would put
        into one line."""
        told = dict(list(self._outgoing.items())[:PER_NOTICE])
        await conn.execute("SELECT pg_notify($1, $2)", CHANNEL, " ".join(f"{u.hex}:{s}" for u, s in told.items()))
        for user_id, seq in told.items():
            if self._outgoing.get(user_id) == seq:
                del self._outgoing[user_id]

    def _ended(self, conn: object) -> None:
        self._lost.set()
        self._changed.set()

    def _heard(self, conn: object, pid: int, channel: str, payload: object) -> None:
        if pid == self._pid:
            return  # our own
        for entry in str(payload).split():
            user, _, seq = entry.partition(":")
            self._wake(UUID(hex=user), int(seq))
