"""When a device exchanges: a table of states and what comes next."""

from __future__ import annotations

import pytest

from sync.plan import MAX_BACKOFF, POLL_EVERY, PUSH_AFTER, Exchange, Sleep, State, backoff, plan

NOW = 1000.0


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
        ({"asked": True, "not_before": NOW + 60}, Exchange()),
        # paused: nothing, whoever asks
        ({"asked": True, "paused": True}, Sleep()),
        ({"paused": True, "hinted": True, "wrote_at": 0.0, "read_at": None}, Sleep()),
        # after a failure: not before its time, whatever comes
        ({"not_before": NOW + 7, "hinted": True, "wrote_at": 0.0, "read_at": None}, Sleep(7.0)),
        ({"not_before": NOW, "hinted": True}, Exchange()),
        ({"not_before": NOW + 7, "paused": True}, Sleep()),
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
