"""Wakes those who wait for changes of a tenant: in this process at once, in other replicas through Postgres.

A notice carries no data but how far the feed has come; who is woken reads the feed from its own place. A notice that is
lost (a replica that dies right after a commit, a broken connection) costs time, not events: whoever waits looks by itself
after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from hosted.db.engine import DATABASE_FAILURES
from hosted.db.notices import CHANNEL
from jmem.core.errors import RateLimited

RETRY_S = 2.0
PER_NOTICE = 150
"""Tenants in one NOTIFY, whose payload is limited to 8,000 bytes."""
MAX_LISTENERS = 50
"""Streams of one account that one replica holds open."""
MAX_LISTENERS_HERE = 5_000
"""Streams of all accounts that one replica holds open."""
AGAIN_S = 15
"""Seconds after which it is worth asking for a stream again that was one too many."""
log = logging.getLogger(__name__)
Heard = Callable[[UUID, int], None]
Carried = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who waits for changes. `changed` is set at every one of them: clear it before reading the feed, and read in `turn`.

    The listeners of one tenant take turns, so that a write which wakes all of them takes one connection from the others.
    """

    changed: asyncio.Event
    turn: asyncio.Lock


@dataclass(slots=True)
class _Listeners:
    """Those of one tenant."""

    events: set[asyncio.Event] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def wake(self) -> None:
        for event in self.events:
            event.set()


class Bus:
    """Lives on one event loop. Without `dsn` it is heard in this process only."""

    def __init__(self, dsn: str | None = None) -> None:
        self._dsn = dsn
        self._waiting: dict[UUID, _Listeners] = {}
        self._hooks: list[Heard] = []
        self._outgoing: dict[UUID, int] = {}
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pid = 0
        self._conn: asyncpg.Connection[asyncpg.Record] | None = None
        self._speaking = asyncio.Lock()  # the connection does one thing at a time
        self._carried: dict[str, Carried] = {}
        self._ends: list[Callable[[], None]] = []
        self.connected = asyncio.Event()
        self.closing = False

    @property
    def alone(self) -> bool:
        """Whether this process neither hears nor tells others."""
        return self._dsn is None

    def on_change(self, hook: Heard) -> None:
        """Call `hook(user_id, seq)` for every change heard of, whoever made it; it must not block."""
        self._hooks.append(hook)

    def on_end(self, hook: Callable[[], None]) -> None:
        """Call `hook` when streams are to end; it must not block."""
        self._ends.append(hook)

    def carry(self, channel: str, heard: Carried) -> None:
        """Hear what other replicas `send` on a channel of its own, from the next `start` on; `heard` must not block."""
        self._carried[channel] = heard

    async def send(self, channel: str, payloads: Sequence[str]) -> None:
        """Tell the other replicas these texts, all in this order or none. Each has less than 8,000 bytes.

        Raises ConnectionError while nobody else can be told.
        """
        async with self._speaking:
            if self._conn is None:
                raise ConnectionError("other replicas can't be told now")
            try:
                await self._conn.execute("SELECT pg_notify($1, p) FROM unnest($2::text[]) p", channel, list(payloads))
            except DATABASE_FAILURES as error:
                raise ConnectionError("other replicas can't be told now") from error

    def start(self) -> None:
        """Begin to listen to the other replicas, and to tell them."""
        if self._dsn is not None and self._task is None:
            self._task = asyncio.create_task(self._run())

    def end_streams(self) -> None:
        """Wake everybody for the last time: streams end, while what was written meanwhile is still told of."""
        self.closing = True
        for listeners in self._waiting.values():
            listeners.wake()
        for hook in self._ends:
            hook()

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

    def room_for(self, user_id: UUID) -> None:
        """Raise RateLimited where the account, or this replica, has as many listeners as it may."""
        own = self._waiting.get(user_id)
        if own is not None and len(own.events) >= MAX_LISTENERS:
            raise RateLimited(f"this account has {MAX_LISTENERS} open streams here", limit=MAX_LISTENERS, retry_after=AGAIN_S,
                              fix="close some")  # fmt: skip
        if self.count() >= MAX_LISTENERS_HERE:
            raise RateLimited("there are too many open streams now", limit=MAX_LISTENERS_HERE, retry_after=AGAIN_S,
                              fix=f"ask again in {AGAIN_S} seconds")  # fmt: skip

    @contextlib.contextmanager
    def listening(self, user_id: UUID) -> Iterator[Listener]:
        """Told of every change of the tenant."""
        own = self._waiting.setdefault(user_id, _Listeners())
        event = asyncio.Event()
        own.events.add(event)
        try:
            yield Listener(event, own.turn)
        finally:
            own.events.discard(event)
            if not own.events:
                del self._waiting[user_id]

    def count(self) -> int:
        """How many listen."""
        return sum(len(own.events) for own in self._waiting.values())

    def _wake(self, user_id: UUID, seq: int) -> None:
        if (own := self._waiting.get(user_id)) is not None:
            own.wake()
        for hook in self._hooks:
            hook(user_id, seq)

    # ---- other replicas -----------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._exchange()
            except DATABASE_FAILURES as error:
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
            for channel in self._carried:
                await conn.add_listener(channel, self._carry)
            self._conn = conn
            self.connected.set()
            for user_id in list(self._waiting):  # what was said meanwhile was not heard
                self._wake(user_id, 0)
            while not self._lost.is_set():
                await self._changed.wait()
                self._changed.clear()
                while self._outgoing and not self._lost.is_set():
                    await self._tell(conn)
        finally:
            self._conn = None
            await conn.close(timeout=2)

    async def _tell(self, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        """Tell of up to PER_NOTICE tenants at once. Outside the writes' transactions, whose commits a NOTIFY would put
        into one line."""
        told = dict(list(self._outgoing.items())[:PER_NOTICE])
        text = " ".join(f"{u.hex}:{s}" for u, s in told.items())
        async with self._speaking:
            await conn.execute("SELECT pg_notify($1, $2)", CHANNEL, text)
        for user_id, seq in told.items():
            if self._outgoing.get(user_id) == seq:
                del self._outgoing[user_id]

    def _ended(self, conn: object) -> None:
        self._lost.set()
        self._changed.set()

    def _carry(self, conn: object, pid: int, channel: str, payload: object) -> None:
        if pid != self._pid:
            self._carried[channel](str(payload))

    def _heard(self, conn: object, pid: int, channel: str, payload: object) -> None:
        if pid == self._pid:
            return  # our own
        for entry in str(payload).split():
            user, _, seq = entry.partition(":")
            self._wake(UUID(hex=user), int(seq))
