"""What a look at the outbox costs: no more than what is new, however long the log is and however long something waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jmem.core import conflicts, origins, outbox, rules
from jmem.core.actor import Actor
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


def preview(conn: Any) -> object:
    return outbox.preview(conn, 5, anew=False)


def test_what_would_leave_is_what_waits(user: User):
    with user.store.reader() as conn:
        found = outbox.preview(conn, 5, anew=False)
        assert found == {"memories": 2, "deleted": 0, "local": 0, "held": 0, "bytes": len("fact 0" "the newest"),
                         "samples": ["the newest", "fact 0"], "deleted_samples": []}  # fmt: skip
        assert outbox.preview(conn, 5, anew=True)["memories"] == LOG + 1


WORK = (outbox.counts, outbox.waiting, outbox.oldest_waiting, preview, conflicts.how_many)


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_an_op_that_waits_for_long_makes_no_look_slow(user: User, work: Callable[[Any], object]):
    assert steps(user, work) < LOG


def test_what_waits_is_taken_in_the_order_it_was_written(user: User):
    batch = outbox.take(user.store, 0, 500, 1_000_000)
    assert [("fact 0" in text, "the newest" in text) for text in batch.texts.values()] == [(True, False), (False, True)]
    assert outbox.take(user.store, batch.upto, 500, 1_000_000).texts == {}
    assert outbox.take(user.store, 0, 500, 1_000_000).texts == batch.texts, "until it is seen"


def test_what_rules_keep_would_not_leave(tmp_path: Path):
    user = open_user(tmp_path / "user")
    file = str(tmp_path / "notes" / "a.md")
    user.service.add_many(
        [
            Draft("goes"), Draft("goes too", tags=("food",), source="https://example.com"), Draft("by its tag", tags=("work",)),
            Draft("by its source", source=f"file://{file}"), Draft("private", privacy="local", tags=("work",)),
        ],
        ME,
    )  # fmt: skip
    user.service.add(Draft("by its program"), Actor("cursor"))
    imported = user.service.add(Draft("by the file it came from"), ME).memory.id
    user.store.write(lambda tx: origins.note(tx, imported, file))
    gone = user.service.add(Draft("deleted"), ME).memory.id
    user.service.delete(gone, ME)
    rules.change(user.store, rules.Rules(("work",), ("cursor",), (str(tmp_path / "notes"),)))
    with user.store.reader() as conn:
        found = outbox.preview(conn, 5, anew=False)
        assert {**found, "samples": sorted(found["samples"])} == {
            "memories": 2, "deleted": 1, "local": 1, "held": 4, "bytes": len("goes" "goes too" "deleted"),
            "samples": ["goes", "goes too"], "deleted_samples": ["deleted"],
        }  # fmt: skip
    user.close()
