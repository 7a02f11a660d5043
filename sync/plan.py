"""When a device exchanges with its account: state in, what to do next out. Nothing here waits, asks or remembers."""

from __future__ import annotations

from dataclasses import dataclass, replace

PUSH_AFTER = 0.2
"""Seconds after a write, so that what is written together goes together."""
POLL_EVERY = 60.0
"""Seconds between looks into the feed while no stream of hints is up."""
MAX_BACKOFF = 1800.0
RETRY_EVERY = 60.0
"""Seconds between tries while they fail and somebody writes here."""
LOOK_EVERY = 10.0
"""Seconds between looks at the clocks while tries fail: they tell that the machine has slept."""
SLEPT_S = 30.0
"""Seconds by which the wall clock goes ahead of one that stands still in sleep; less is a clock that is set right."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Failures in a row, and when the next try is: by itself at `again`, at `soonest` where something is written here."""

    count: int = 0
    again: float = 0.0
    soonest: float = 0.0

    def once_more(self, now: float, chance: float, retry_after: float | None = None) -> Failed:
        """One more; the arguments as for `backoff`."""
        wait = backoff(self.count + 1, chance, retry_after)
        return Failed(self.count + 1, now + wait, now + max(RETRY_EVERY, min(retry_after or 0.0, MAX_BACKOFF)))

    def woken(self) -> Failed:
        """The machine has slept: the network may be another one, and comes up within seconds."""
        return replace(self, count=1, again=min(self.again, self.soonest)) if self.count else self


@dataclass(frozen=True, slots=True)
class State:
    """What decides; times in seconds by a clock that never jumps."""

    now: float
    signed_in: bool = True
    paused: bool = False
    asked: bool = False
    """somebody waits for an exchange now"""
    wrote_at: float | None = None
    """of the oldest write that the account has not been offered"""
    hinted: bool = False
    """the feed has moved since it was read"""
    streaming: bool = False
    """hints would come"""
    read_at: float | None = None
    """when the feed was last read to its end; None: not since this process began, or since a failure"""
    failed: Failed = Failed()
    """since the last exchange that went well"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Exchange now."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Nothing to do until something happens, or for this many seconds at most."""

    seconds: float | None = None


def plan(state: State) -> Exchange | Sleep:
    """What to do next."""
    if not state.signed_in:
        return Sleep()
    if state.paused:
        return Sleep()
    if state.asked:
        return Exchange()
    again = next_try(state)
    if again is not None and state.now < again:
        return Sleep(min(again - state.now, LOOK_EVERY))
    due = _due(state)
    if due is None:
        return Sleep()
    return Exchange() if due <= state.now else Sleep(due - state.now)


def next_try(state: State) -> float | None:
    """When it is tried again after a failure, by the clock of `state.now`; None where no failure is waited out."""
    failed = state.failed
    if not failed.count or not state.signed_in or state.paused:
        return None
    if state.wrote_at is None:
        return failed.again
    return min(failed.again, max(failed.soonest, state.wrote_at + PUSH_AFTER))


def slept(before: float, after: float) -> bool:
    """Whether the machine slept between two readings of the wall clock less the clock of `State`."""
    return after - before >= SLEPT_S


def to_read(state: State) -> bool:
    """Whether the feed is to be read before anything is offered: not where hints would have said that it has moved."""
    return state.asked or state.hinted or not state.streaming or state.read_at is None


def _due(state: State) -> float | None:
    if state.read_at is None or state.hinted:
        return state.now
    moments = []
    if state.wrote_at is not None:
        moments.append(state.wrote_at + PUSH_AFTER)
    if not state.streaming:
        moments.append(state.read_at + POLL_EVERY)
    return min(moments, default=None)


def backoff(failures: int, chance: float, retry_after: float | None = None) -> float:
    """Seconds to wait after the n-th failure in a row; `chance` in 0..1 spreads the devices of an account apart."""
    wait = min(MAX_BACKOFF, 2.0 ** min(failures, 20)) * (0.5 + chance / 2)
    return wait if retry_after is None else max(wait, min(retry_after, MAX_BACKOFF))
