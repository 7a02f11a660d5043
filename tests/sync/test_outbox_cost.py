"""What a look at the outbox costs: no more than what is new, however long the log is and however long something waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jmem.core import outbox
from jmem.core.drafts import Draft
from jmem.core.store.oplog import Sent
from jmem.core.store.writer import Tx
from tests.core.conftest import User, open_user
from tests.sync.conftest import ME

LOG = 3000
STEP = 100
"""Instructions of SQLite between two counts."""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A long log that was seen, but for its first op, which the account does not take, and one that is new."""
    made = open_user(Path(tmp_path_factory.mktemp("outbox")) / "user")
    for start in range(0, LOG, 1000):
        made.service.add_many([Draft(f"fact {n}") for n in range(start, start + 1000)], ME)

    def settle(tx: Tx) -> None:
        tx.conn.execute("UPDATE ops SET sent = ? WHERE seq > 1", (Sent.SEEN,))
        tx.conn.execute("UPDATE ops SET sent = ? WHERE seq = 1", (Sent.OFFERED,))

    made.store.write(settle)
    outbox.take_in(made.store, outbox.Page((), (), "1:aaaaaaaaaaaaaaaa"), "sync")
    made.service.add(Draft("the newest"), ME)
    yield made
    made.close()


def steps(user: User, work: Callable[[Any], object]) -> int:
    """How many instructions SQLite ran, in a coarse count."""
    ran = 0

    def count() -> int:
        nonlocal ran
        ran += STEP
        return 0

    with user.store.reader() as conn:
        conn.set_progress_handler(count, STEP)
        try:
            work(conn)
        finally:
            conn.set_progress_handler(None, 0)
    return ran


def test_counts_say_how_far_each_op_has_come(user: User):
    with user.store.reader() as conn:
        assert outbox.counts(conn) == {"new": 1, "seen": LOG - 1, "local": 0, "held": 0, "offered": 1}
        assert outbox.waiting(conn) == 2
        first = conn.execute("SELECT stamp FROM ops WHERE seq = 1").fetchone()[0]
        assert outbox.oldest_waiting(conn) == int(first[:12], 16) / 1000


@pytest.mark.parametrize("work", [outbox.counts, outbox.waiting, outbox.oldest_waiting], ids=lambda work: work.__name__)
def test_an_op_that_waits_for_long_makes_no_look_slow(user: User, work: Callable[[Any], object]):
    assert steps(user, work) < LOG


def test_what_waits_is_taken_in_the_order_it_was_written(user: User):
    batch = outbox.take(user.store, 0, 500, 1_000_000)
    assert [("fact 0" in text, "the newest" in text) for text in batch.texts.values()] == [(True, False), (False, True)]
    assert outbox.take(user.store, batch.upto, 500, 1_000_000).texts == {}
    assert outbox.take(user.store, 0, 500, 1_000_000).texts == batch.texts, "until it is seen"
