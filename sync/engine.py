"""One exchange with the account: read its feed, offer what waits, read what came of it.

Everything that has to survive is in the store (`jmem.core.outbox`); an exchange that is cut at any point is simply begun
again, since every step of it may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from jmem.core import outbox
from jmem.core.clock import wall_ms
from jmem.core.outbox import TakenIn
from jmem.core.store import Store
from sync.protocol import MAX_SKEW_MS, Limits
from sync.remote import Offline, OtherFeed, Pulled, Rejected, Remote, TooBig, TooNew

CLIENT = "sync"
"""Who does what comes from the feed, in the list of actions."""
HELLO_EVERY = 600.0
MAX_REPEATS = 3
"""How often one exchange begins again because the clock was off or the feed was another one."""
_ENVELOPE = 1024
"""Bytes of a push beside its ops."""


@dataclass(slots=True)
class Progress:
    """What an exchange has done until now."""

    sent: int = 0
    received: int = 0
    waiting: int = 0
    restamped: int = 0
    stuck: dict[str, str] = field(default_factory=dict)
    """stamp -> why the account does not take it"""
    refused: dict[str, str] = field(default_factory=dict)
    """stamp -> why it can't be kept here"""


class Engine:
    """Exchanges between one store and one account. Not thread-safe: one thread drives it."""

    def __init__(
        self, store: Store, remote: Remote, changed: Callable[[TakenIn], None],
        tell: Callable[[Progress], None] = lambda progress: None,
    ) -> None:  # fmt: skip
        """`changed` is told of what came in, after it is on disk; `tell` of progress."""
        self._store, self._remote, self._changed, self._tell = store, remote, changed, tell
        self._limits = Limits()
        self._greeted: float | None = None
        self._stuck: dict[str, str] = {}
        """what this process need not offer again"""

    def exchange(self) -> Progress:
        """Bring the store and the account together. Raises Offline, SignedOut, AccountGone, TooNew, Rejected, StorageFailed."""
        progress = Progress(stuck=self._stuck)
        for _ in range(MAX_REPEATS):
            try:
                self._read(progress)
                for _ in range(MAX_REPEATS):  # what came in may have let go of what a rule held back
                    if not self._offer(progress):
                        break
                    self._read(progress)
                return progress
            except OtherFeed:
                outbox.begin_again(self._store)
            except Offline:
                self._greeted = None
                raise
        raise Rejected("the account's feed changes faster than it can be read", fix="jmem sync status")

    # ---- in -----------------------------------------------------------------------------------

    def _read(self, progress: Progress) -> None:
        with self._store.reader() as conn:
            cursor = outbox.position(conn).cursor
        with ThreadPoolExecutor(1, "jmem-pull") as beside:
            pulled = self._remote.pull(cursor)
            while True:
                # the next page comes while this one is stored
                ahead = (
                    beside.submit(self._remote.pull, pulled.page.cursor) if pulled.more and not pulled.newer else None
                )
                if pulled.count:
                    taken = outbox.take_in(self._store, pulled.page, CLIENT)
                    if taken.missing:  # this store is a copy from before it made them
                        pulled, ahead = self._remote.pull(cursor, own=True), None  # which may end elsewhere
                        taken = outbox.take_in(self._store, pulled.page, CLIENT)
                    self._took(progress, pulled, taken)
                if pulled.newer:
                    raise TooNew("another machine writes memories in a newer form than this program knows")
                if not pulled.more:
                    return
                cursor = pulled.page.cursor
                pulled = self._remote.pull(cursor) if ahead is None else ahead.result()

    def _took(self, progress: Progress, pulled: Pulled, taken: TakenIn) -> None:
        progress.received += len(pulled.page.ops)
        progress.refused.update(taken.refused)
        self._changed(taken)
        self._count(progress)

    # ---- out ----------------------------------------------------------------------------------

    def _offer(self, progress: Progress) -> bool:
        """Push all that may leave; whether there was anything."""
        after, again, repeats, offered = 0, False, 0, False
        self._count(progress)
        if not progress.waiting:
            return False
        self._greet(progress)
        while True:
            batch = outbox.take(self._store, after, self._limits.push_ops, self._limits.push_bytes - _ENVELOPE)
            after, again = batch.upto, again or batch.again
            texts = {stamp: text for stamp, text in batch.texts.items() if stamp not in self._stuck}
            if texts:
                offered = True
                if self._push(texts, progress):
                    repeats, after = repeats + 1, 0
                    if repeats > MAX_REPEATS:
                        raise Offline("the account refuses this machine's clock")
            elif not batch.texts:
                if not again:
                    return offered
                after, again = 0, False
            self._tell(progress)

    def _push(self, texts: Mapping[str, str], progress: Progress) -> bool:
        """Push a batch; whether ops were stamped anew, so that the outbox has to be read from its start."""
        try:
            answer = self._remote.push(texts)
        except TooBig as error:
            if len(texts) == 1:
                if not error.said:
                    raise Offline("something on the way to the account takes no request of this size") from None
                self._stuck[next(iter(texts))] = "too_large"
                return False
            stamps = list(texts)
            first, second = (
                {s: texts[s] for s in part} for part in (stamps[: len(stamps) // 2], stamps[len(stamps) // 2 :])
            )
            return self._push(first, progress) or self._push(second, progress)
        except TooNew as error:
            newer = set(error.stamps) & texts.keys()
            if not newer:
                raise
            self._stuck.update(dict.fromkeys(newer, error.code))
            rest = {stamp: text for stamp, text in texts.items() if stamp not in newer}
            return bool(rest) and self._push(rest, progress)
        progress.sent += len(answer.acked)
        skewed = [rejected.stamp for rejected in answer.rejected if rejected.code == "clock_skew"]
        self._stuck.update({r.stamp: r.code for r in answer.rejected if r.code != "clock_skew"})
        if skewed:
            outbox.set_clock(self._store, answer.now - wall_ms())
            progress.restamped += outbox.stamp_anew(self._store, answer.now, skewed)
        return bool(skewed)

    def _greet(self, progress: Progress) -> None:
        """Ask for limits and time; what nobody has seen yet gets other stamps if it was made by a clock that is off."""
        now = time.monotonic()
        if self._greeted is not None and now - self._greeted < HELLO_EVERY:
            return
        before = wall_ms()
        hello = self._remote.hello()
        offset = hello.now - (before + wall_ms()) // 2
        if abs(offset) < MAX_SKEW_MS // 2:
            offset = 0
        with self._store.reader() as conn:
            known = outbox.position(conn).offset_ms
        if abs(offset - known) >= MAX_SKEW_MS // 2:
            outbox.set_clock(self._store, offset)
            progress.restamped += outbox.stamp_anew(self._store, hello.now)
        self._limits, self._greeted = hello.limits, now

    def _count(self, progress: Progress) -> None:
        with self._store.reader() as conn:
            progress.waiting = outbox.waiting(conn)
        self._tell(progress)
