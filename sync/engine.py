"""One exchange with the account: read its feed, offer what waits, read what came of it.

Everything that has to survive is in the store (`jmem.core.outbox`); an exchange that is cut at any point is simply begun
again, since every step of it may be repeated.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from jmem.core import clocks, outbox
from jmem.core.clock import wall_ms
from jmem.core.errors import JmemError
from jmem.core.outbox import TakenIn
from jmem.core.store import Store
from sync.batches import Batches
from sync.protocol import MAX_SKEW_MS, PushAnswer
from sync.remote import Failing, Offline, OtherFeed, Pulled, Rejected, Remote, Renewed, Slow, TooBig, TooNew

T = TypeVar("T")
log = logging.getLogger(__name__)
CLIENT = "sync"
"""Who does what comes from the feed, in the list of actions."""
HELLO_EVERY = 600.0
MAX_REPEATS = 3
"""How often one exchange begins again because the clock was off or the feed was another one."""
_NEWER = ("another machine writes in a newer form than this program knows: what it wrote is not read here;"
          " what is written here goes to the account")  # fmt: skip
MAX_DOUBTS = 5
"""Ops that fail one by one before it is the account that fails; and how often one that fails alone is tried."""


@dataclass(slots=True)
class Progress:
    """What an exchange has done until now."""

    sent: int = 0
    received: int = 0
    waiting: int = 0
    coming: int = 0
    """how many ops of the feed are still to be read, as far as the account says"""
    restamped: int = 0
    stuck: dict[str, str] = field(default_factory=dict)
    """stamp -> why the account does not take it"""
    refused: dict[str, str] = field(default_factory=dict)
    """stamp -> why it can't be kept here"""
    newer: TooNew | None = None
    """why the feed is not read to its end: an op there is of a kind that this program does not know"""


class _Came(Enum):
    """What came of a push."""

    DONE = 0
    AGAIN = 1
    """take the same place of the log again: less of it, or what may leave now"""


class Engine:
    """Exchanges between one store and one account. Not thread-safe: one thread drives it."""

    def __init__(
        self, store: Store, remote: Remote, changed: Callable[[TakenIn], None],
        tell: Callable[[Progress], None] = lambda progress: None, go_on: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`changed` is told of what came in, after it is on disk; `tell` of progress; `go_on` is asked before each page and
        each push, and raises where the exchange is to end."""
        self._store, self._remote, self._changed, self._tell, self._go_on = store, remote, changed, tell, go_on
        self._batches = Batches()
        self._greeted: float | None = None
        self._refused: set[str] = set()
        """what was refused for its clock in this round"""
        self._offset_ms = 0
        """the account's clock less this machine's, as it was told with that"""
        self._stuck: dict[str, str] = {}
        """what need not be offered again before the account is asked anew what it takes"""
        self._doubts: dict[str, JmemError] = {}
        """ops that failed alone since something was taken, the last ones of `_stuck`"""
        self._newer: TooNew | None = None
        self._told: set[str] = set()
        """what the account has taken that can't be seen in the feed, behind an op of a newer kind"""
        self._read_once = False
        """the feed was read to its end: what comes under this machine's id from then on it has made itself"""
        self._tries: dict[str, int] = {}
        """how many exchanges each of them has ended"""

    def exchange(self, *, read: bool = True, anew: bool = False) -> Progress:
        """Bring the store and the account together. Raises Offline, SignedOut, AccountGone, TooNew, Rejected, StorageFailed.

        Without `read`, the feed is read only if something was offered; with `anew` what is stuck is offered again.
        """
        if anew:
            self._greeted = None
        progress = Progress(stuck=self._stuck, newer=self._newer)
        for _ in range(MAX_REPEATS):
            try:
                if read:
                    self._read(progress)
                for _ in range(MAX_REPEATS):  # what came in may have let go of what a rule held back
                    if not self._offer(progress):
                        break
                    self._read(progress)
                if self._due() and self._greet(progress):
                    continue
                return progress
            except OtherFeed:
                outbox.begin_again(self._store)
                self._told.clear()
                read = True
            except Offline:
                self._greeted = None
                raise
        raise Rejected("the account's feed changes faster than it can be read", fix="jmem sync status")

    def close(self) -> None:
        """Close the connections to the account."""
        self._remote.close()

    # ---- in -----------------------------------------------------------------------------------

    def _read(self, progress: Progress) -> None:
        with self._store.reader() as conn:
            cursor = outbox.position(conn).cursor
        self._go_on()
        pulled = self._remote.pull(cursor)
        while True:
            # the next page comes while this one is stored
            ahead = _beside(self._remote.pull, pulled.page.cursor) if pulled.more and not pulled.newer else None
            if pulled.count:
                taken = outbox.take_in(self._store, pulled.page, CLIENT)
                if taken.missing:  # this store is a copy from before it made them, or another one made them
                    if self._read_once and taken.missing[0] == pulled.page.own[0][0]:
                        self._part()
                    pulled, ahead = self._remote.pull(cursor, own=True), None  # which may end elsewhere
                    taken = outbox.take_in(self._store, pulled.page, CLIENT)
                self._took(progress, pulled, taken)
            progress.newer = self._newer = TooNew(_NEWER) if pulled.newer else None
            if pulled.newer or not pulled.more:
                self._read_once = True
                return
            self._go_on()
            cursor = pulled.page.cursor
            pulled = self._remote.pull(cursor) if ahead is None else ahead.result()

    def _part(self) -> None:
        """Go on under another id: a copy of this store lives too, and writes under this one. Of the two at most one keeps
        it."""
        self._remote.device = outbox.part(self._store)
        log.warning("a copy of these memories syncs too; this machine is %s to the account now", self._remote.device)

    def _took(self, progress: Progress, pulled: Pulled, taken: TakenIn) -> None:
        progress.received += len(pulled.page.ops)
        progress.coming = pulled.coming
        progress.waiting = max(0, progress.waiting - len(pulled.page.own))
        progress.refused.update(taken.refused)
        self._changed(taken)
        self._tell(progress)

    # ---- out ----------------------------------------------------------------------------------

    def _offer(self, progress: Progress) -> bool:
        """Push all that may leave and was written until now; whether there was anything."""
        end = self._store.last_seq
        self._count(progress)
        if not progress.waiting:
            return False
        if self._greeted is None:
            self._greet(progress)
        self._refused.clear()
        after, again, repeats, offered = 0, False, 0, False
        while True:
            self._go_on()
            self._remote.ready()
            batch = outbox.take(self._store, after, self._batches.ops, self._batches.bytes)
            again = again or batch.again
            texts = {stamp: text for stamp, text in batch.texts.items()
                     if stamp not in self._stuck and stamp not in self._told}  # fmt: skip
            came = self._push(texts, progress) if texts else _Came.DONE
            offered = offered or bool(texts)
            if came is _Came.AGAIN:
                continue
            after = batch.upto
            self._tell(progress)
            if not batch.texts or after >= end:
                if self._refused:  # all of them are known by now: together they keep their order
                    repeats, after = repeats + 1, 0
                    if repeats > MAX_REPEATS:
                        raise Offline("the account refuses this machine's clock")
                    refused, self._refused = self._refused, set()
                    progress.restamped += clocks.set_right(self._store, self._offset_ms, MAX_SKEW_MS, refused)
                    end = self._store.last_seq
                    continue
                if not again:
                    self._judge()
                    return offered
                after, again = 0, False

    def _push(self, texts: Mapping[str, str], progress: Progress) -> _Came:
        """Push a batch, and learn from what comes of it."""
        began = time.monotonic()
        try:
            answer = self._remote.push(texts)
        except Renewed:
            return _Came.AGAIN
        except TooBig as error:
            if len(texts) > 1:
                self._batches.too_big(texts)
                return _Came.AGAIN
            if not error.said:
                raise Offline("something on the way to the account takes no request of this size") from None
            self._stuck[next(iter(texts))] = "too_large"
            return _Came.DONE
        except TooNew as error:
            newer = set(error.stamps) & texts.keys()
            if not newer:
                raise
            self._stuck.update(dict.fromkeys(newer, error.code))
            return _Came.AGAIN
        except (Slow, Failing, Rejected) as error:
            return self._failed(texts, error)
        except Offline:
            self._batches.too_much(texts)
            raise
        self._batches.went(texts, time.monotonic() - began)
        self._doubts.clear()
        return self._pushed(answer, progress)

    def _pushed(self, answer: PushAnswer, progress: Progress) -> _Came:
        progress.sent += len(answer.acked)
        if progress.newer is not None:
            self._told.update(answer.acked)
        skewed = [rejected.stamp for rejected in answer.rejected if rejected.code == "clock_skew"]
        self._stuck.update({r.stamp: r.code for r in answer.rejected if r.code != "clock_skew"})
        if not skewed:
            return _Came.DONE
        self._refused.update(skewed)
        self._offset_ms = answer.now - wall_ms()
        return _Came.DONE

    def _failed(self, texts: Mapping[str, str], error: JmemError) -> _Came:
        """Half of a batch that failed goes next, down to one op: it is left out while the others are offered."""
        if isinstance(error, Rejected) and not error.of_body:
            raise error
        if len(texts) > 1:
            self._batches.too_much(texts)
            return _Came.AGAIN
        if isinstance(error, Slow):
            raise error
        stamp = next(iter(texts))
        self._doubts[stamp], self._stuck[stamp] = error, error.code
        if len(self._doubts) == MAX_DOUBTS:
            self._judge()
        return _Came.DONE

    def _judge(self) -> None:
        """Where nothing was taken after an op that failed, it may be the account that fails: raises what it said, until the
        op has failed often enough to wait alone."""
        doubts, self._doubts = self._doubts, {}
        last: JmemError | None = None
        for stamp, error in doubts.items():
            self._tries[stamp] = self._tries.get(stamp, 0) + 1
            if self._tries[stamp] < MAX_DOUBTS:
                del self._stuck[stamp]
                last = error
        if last is not None:
            raise last

    def _due(self) -> bool:
        return self._greeted is not None and time.monotonic() - self._greeted >= HELLO_EVERY

    def _greet(self, progress: Progress) -> bool:
        """Ask for limits and time; what nobody has seen yet gets other stamps if it was made by a clock that is off. Whether
        the clock was."""
        before = wall_ms()
        hello = self._remote.hello()
        offset = hello.now - (before + wall_ms()) // 2
        if abs(offset) < MAX_SKEW_MS // 2:
            offset = 0
        with self._store.reader() as conn:
            known = outbox.position(conn).offset_ms
        off = abs(offset - known) >= MAX_SKEW_MS // 2
        if off:
            progress.restamped += clocks.set_right(self._store, offset, MAX_SKEW_MS)
        else:
            progress.restamped += clocks.go_on(self._store)  # where an earlier process ended
        self._stuck.clear()
        self._batches.learn(hello.limits)
        self._greeted = time.monotonic()
        return off

    def _count(self, progress: Progress) -> None:
        with self._store.reader() as conn:
            progress.waiting = outbox.waiting(conn)
        self._tell(progress)


def _beside(work: Callable[[str | None], T], cursor: str | None) -> Future[T]:
    """What the work gives, done meanwhile by a thread that nothing waits for, not even the end of the process."""
    found: Future[T] = Future()

    def run() -> None:
        try:
            found.set_result(work(cursor))
        except BaseException as error:  # noqa: BLE001  told to whoever asks for the result
            found.set_exception(error)

    threading.Thread(target=run, name="jmem-pull", daemon=True).start()
    return found
