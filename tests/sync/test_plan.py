"""When a device exchanges: a table of states and what comes next."""

from __future__ import annotations

import pytest

from sync.plan import (
    LOOK_EVERY,
    MAX_BACKOFF,
    POLL_EVERY,
    PUSH_AFTER,
    RETRY_EVERY,
    SLEPT_S,
    Exchange,
    Failed,
    Sleep,
    State,
    backoff,
    next_try,
    plan,
    slept,
)  # fmt: skip

NOW = 1000.0


LONG = Failed(9, NOW + 900, NOW + 40)
"""It has failed for long: twenty seconds ago for the last time."""


def state(**fields: object) -> State:
    """All is quiet: read a second ago, hints would come."""
    return State(**{"now": NOW, "streaming": True, "read_at": NOW - 1, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, Sleep()),
        # nobody is signed in: nothing at all, whoever asks
        ({"signed_in": False}, Sleep()),
        ({"signed_in": False, "asked": True, "hinted": True, "wrote_at": 0.0, "read_at": None}, Sleep()),
        # somebody waits: at once, though it has just failed
        ({"asked": True}, Exchange()),
        ({"asked": True, "failed": LONG}, Exchange()),
        # paused: nothing, whoever asks
        ({"asked": True, "paused": True}, Sleep()),
        ({"paused": True, "hinted": True, "wrote_at": 0.0, "read_at": None}, Sleep()),
        # after a failure: not before its time, whatever comes
        ({"failed": Failed(3, NOW + 7, NOW + 60), "hinted": True, "wrote_at": 0.0, "read_at": None}, Sleep(7.0)),
        ({"failed": Failed(3, NOW, NOW + 60), "hinted": True}, Exchange()),
        ({"failed": LONG, "paused": True}, Sleep()),
        ({"failed": LONG, "signed_in": False}, Sleep()),
        # meanwhile the clocks are looked at
        ({"failed": LONG, "read_at": None}, Sleep(LOOK_EVERY)),
        # something is written here: as soon as it may be tried again
        ({"failed": LONG, "wrote_at": NOW, "read_at": None}, Sleep(LOOK_EVERY)),
        ({"failed": Failed(9, NOW + 900, NOW + 4), "wrote_at": NOW - 10, "read_at": None}, Sleep(4.0)),
        ({"failed": Failed(9, NOW + 900, NOW - 4), "wrote_at": NOW, "read_at": None}, Sleep(PUSH_AFTER)),
        ({"failed": Failed(9, NOW + 900, NOW - 4), "wrote_at": NOW - 10, "read_at": None}, Exchange()),
        # never read, or not since a failure
        ({"read_at": None}, Exchange()),
        ({"read_at": None, "streaming": False}, Exchange()),
        # the feed has moved
        ({"hinted": True}, Exchange()),
        # a write: soon, with what comes right after it
        ({"wrote_at": NOW}, Sleep(PUSH_AFTER)),
        ({"wrote_at": NOW - PUSH_AFTER}, Exchange()),
        ({"wrote_at": NOW - 100}, Exchange()),
        ({"wrote_at": NOW, "streaming": False}, Sleep(PUSH_AFTER)),
        # without a stream: every minute
        ({"streaming": False}, Sleep(POLL_EVERY - 1)),
        ({"streaming": False, "read_at": NOW - POLL_EVERY}, Exchange()),
        ({"streaming": False, "read_at": NOW - 10 * POLL_EVERY}, Exchange()),
        ({"streaming": True, "read_at": NOW - 10 * POLL_EVERY}, Sleep()),
    ],
)
def test_what_comes_next(given: dict[str, object], then: Exchange | Sleep):
    found = plan(state(**given))
    assert type(found) is type(then)
    if isinstance(found, Sleep) and isinstance(then, Sleep):
        assert found.seconds == (None if then.seconds is None else pytest.approx(then.seconds))


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ({}, None),
        ({"wrote_at": NOW}, None),
        ({"failed": LONG}, NOW + 900),
        ({"failed": LONG, "hinted": True}, NOW + 900),
        ({"failed": LONG, "wrote_at": NOW - 1}, NOW + 40),
        ({"failed": LONG, "wrote_at": NOW + 50}, NOW + 50 + PUSH_AFTER),
        ({"failed": Failed(2, NOW + 3, NOW + 59), "wrote_at": NOW}, NOW + 3),
        ({"failed": LONG, "paused": True}, None),
        ({"failed": LONG, "signed_in": False}, None),
    ],
)
def test_when_it_is_tried_again(given: dict[str, object], moment: float | None):
    assert next_try(state(**given)) == moment


@pytest.mark.parametrize(
    ("before", "retry_after", "after"),
    [
        (Failed(), None, Failed(1, NOW + 2, NOW + RETRY_EVERY)),
        (Failed(7, 1.0, 1.0), None, Failed(8, NOW + 256, NOW + RETRY_EVERY)),
        (Failed(99, 1.0, 1.0), None, Failed(100, NOW + MAX_BACKOFF, NOW + RETRY_EVERY)),
        # who is told when to come back does not come before
        (Failed(), 30.0, Failed(1, NOW + 30, NOW + RETRY_EVERY)),
        (Failed(), 600.0, Failed(1, NOW + 600, NOW + 600)),
        (Failed(), 10.0**9, Failed(1, NOW + MAX_BACKOFF, NOW + MAX_BACKOFF)),
    ],
)
def test_what_another_failure_makes_of_it(before: Failed, retry_after: float | None, after: Failed):
    assert before.once_more(NOW, 1.0, retry_after) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Failed(), Failed()),
        (LONG, Failed(1, NOW + 40, NOW + 40)),
        (Failed(2, NOW + 3, NOW + 59), Failed(1, NOW + 3, NOW + 59)),
    ],
)
def test_what_a_sleep_makes_of_it(before: Failed, after: Failed):
    assert before.woken() == after


@pytest.mark.parametrize(("ahead", "yes"), [(0.0, False), (SLEPT_S - 1, False), (SLEPT_S, True), (-9e9, False)])
def test_a_sleep_shows_in_the_clocks(ahead: float, yes: bool):
    assert slept(1e9, 1e9 + ahead) is yes


def test_a_write_leaves_within_two_seconds():
    assert PUSH_AFTER <= 2


@pytest.mark.parametrize(
    ("failures", "chance", "retry_after", "seconds"),
    [
        (1, 0.0, None, 1.0),
        (1, 1.0, None, 2.0),
        (2, 1.0, None, 4.0),
        (5, 0.5, None, 24.0),
        (11, 1.0, None, MAX_BACKOFF),
        (10_000, 1.0, None, MAX_BACKOFF),
        (10_000, 0.0, None, MAX_BACKOFF / 2),
        (1, 0.0, 30.0, 30.0),
        (8, 1.0, 30.0, 256.0),
        (1, 0.0, 10**9, MAX_BACKOFF),
    ],
)
def test_how_long_a_failure_keeps_it_away(failures: int, chance: float, retry_after: float | None, seconds: float):
    assert backoff(failures, chance, retry_after) == pytest.approx(seconds)


def test_devices_that_failed_together_come_back_apart():
    assert len({backoff(4, n / 10) for n in range(10)}) == 10
