"""Clients whose writes wait for the owner, the inbox, and caps on the changes of an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jmem.core.drafts import Added, Draft
from jmem.core.errors import Ambiguous, Invalid, NotFound, RateLimited, Refused, from_problem
from jmem.core.filter import Filter
from jmem.core.model import iso
from jmem.core.portable.exporting import EVERYTHING, export_jsonl
from jmem.core.portable.importing import import_items
from jmem.core.query import SearchQuery
from jmem.core.service import Actor, MemoryService
from jmem.wire import loads
from tests.core.conftest import Recall, User, open_user

INBOX = Filter(states=("review",))
CURSOR = Actor("cursor", review=True, owner=False)
CLAUDE = Actor("claude", owner=False)


def contents(service: MemoryService, filter: Filter, actor: Actor) -> set[str]:
    return {memory.content for memory in service.list(filter, actor).memories}


def test_what_it_writes_waits_and_nobody_finds_it(recall: Recall, me: Actor) -> None:
    service = recall.service
    added = service.add(Draft("the gate code is 4821"), CURSOR)
    assert (added.memory.state, added.duplicate) == ("review", False)
    recall.indexer.wait_idle(30)
    for actor in (me, CURSOR, CLAUDE):
        assert contents(service, Filter(), actor) == set()
        assert service.search(SearchQuery("what is the gate code"), actor).hits == []
        for mode in ("text", "vector"):
            assert service.search(SearchQuery("gate code 4821", mode=mode), actor).hits == []
    assert contents(service, INBOX, me) == {"the gate code is 4821"}
    assert service.stats(me)["states"]["review"] == 1
    # every state means also this one to the owner alone
    everything = Filter(states=())
    assert contents(service, everything, CLAUDE) == set()
    assert contents(service, INBOX, CLAUDE) == set()
    assert contents(service, everything, CURSOR) == {"the gate code is 4821"}
    with pytest.raises(NotFound):
        service.get(added.memory.id, CLAUDE)
    assert service.delete(added.memory.id, CLAUDE).missing == [added.memory.id]
    hits = service.search(SearchQuery("gate code", filter=INBOX), me).hits
    assert [hit.memory.id for hit in hits] == [added.memory.id]


def test_approved_is_found_and_undo_takes_it_back_into_the_inbox(recall: Recall, me: Actor) -> None:
    service = recall.service
    ids = [service.add(Draft(f"fact number {n}"), CURSOR).memory.id for n in range(3)]
    decided = service.review("approve", me, parts=[ids[0], ids[2][-8:]])
    assert decided.ids == [ids[0], ids[2]]
    assert contents(service, Filter(), CLAUDE) == {"fact number 0", "fact number 2"}
    recall.indexer.wait_idle(30)
    assert {hit.memory.id for hit in service.search(SearchQuery("fact number"), CLAUDE).hits} == {ids[0], ids[2]}
    assert service.get(ids[0], me).client == "cursor"
    log, _ = service.log(me)
    assert (log[0].kind, log[0].client, log[0].count) == ("approve", "cli", 2)
    assert [r.kind for r in service.history(ids[0], me).revisions] == ["add", "approve"]
    service.undo(me)
    assert contents(service, INBOX, me) == {"fact number 0", "fact number 1", "fact number 2"}
    service.undo(me, redo=True)
    assert contents(service, INBOX, me) == {"fact number 1"}


def test_rejected_is_deleted_and_undo_brings_it_back_to_wait(service: MemoryService, me: Actor) -> None:
    added = service.add(Draft("nonsense"), CURSOR).memory
    service.add(Draft("of another program"), replace(CURSOR, client="zed"))
    assert service.review("reject", me, client="cursor").ids == [added.id]
    assert contents(service, INBOX, me) == {"of another program"}
    deleted = service.list(Filter(states=("review",), deleted=True), me).memories
    assert [memory.id for memory in deleted] == [added.id]
    service.undo(me)
    assert contents(service, INBOX, me) == {"nonsense", "of another program"}


def test_one_action_whatever_the_number(service: MemoryService, me: Actor) -> None:
    results = service.add_many([Draft(f"one of many {n}") for n in range(620)], CURSOR)
    assert all(isinstance(result, Added) for result in results)
    assert len(service.review("approve", me).ids) == 620
    assert service.count(Filter(), me) == 620
    service.undo(me)
    assert (service.count(Filter(), me), service.count(INBOX, me)) == (0, 620)
    assert service.review("reject", me, client="claude").ids == []  # nothing of it waits


def test_what_does_not_wait_is_named(service: MemoryService, me: Actor) -> None:
    active = service.add(Draft("mine"), me).memory.id
    waiting = service.add(Draft("its"), CURSOR).memory.id
    decided = service.review("approve", me, parts=[active, waiting, "0000-0000"])
    assert decided.ids == [waiting]
    assert [(id, error.code) for id, error in decided.skipped] == [("0000-0000", "not_found"), (active, "not_waiting")]
    with pytest.raises(NotFound) as caught:
        service.review("approve", me, parts=[waiting])
    assert caught.value.code == "not_waiting"
    first, second = (service.add(Draft(f"twin {n}"), CURSOR).memory.id for n in range(2))
    shared = first[:4]
    assert second.startswith(shared)
    with pytest.raises(Ambiguous):
        service.review("approve", me, parts=[first, shared])
    assert service.count(INBOX, me) == 2
    for actor in (CURSOR, CLAUDE):
        with pytest.raises(Refused):
            service.review("approve", actor, parts=[first])


def test_it_finds_its_own_waiting_memory_again(service: MemoryService, me: Actor) -> None:
    first = service.add(Draft("told twice", thread="mcp:a"), CURSOR)
    again = service.add(Draft("told twice", thread="mcp:b"), CURSOR)
    assert (again.duplicate, again.memory.id, again.differs) == (True, first.memory.id, ())
    blind = service.add(Draft("told twice"), replace(CURSOR, read=False))
    assert (blind.duplicate, blind.memory.id) == (True, first.memory.id)
    other = service.add(Draft("told twice"), replace(CURSOR, client="zed"))
    assert not other.duplicate  # it may not know what another one wrote
    mine = service.add(Draft("told twice"), me)
    assert (mine.duplicate, mine.memory.state) == (False, "active")
    known = service.add(Draft("told twice"), CURSOR)
    assert (known.duplicate, known.memory.id, known.differs) == (True, mine.memory.id, ())


def test_it_may_change_only_what_it_wrote_and_still_waits(service: MemoryService, me: Actor) -> None:
    owners = service.add(Draft("of the owner"), me).memory.id
    waiting = service.add(Draft("waits"), CURSOR).memory.id
    accepted = service.add(Draft("accepted"), CURSOR).memory.id
    service.review("approve", me, parts=[accepted])
    for id in (owners, accepted):
        for attempt in (
            lambda id=id: service.delete(id, CURSOR),
            lambda id=id: service.delete([waiting, id], CURSOR),
            lambda id=id: service.purge(id, CURSOR),
            lambda id=id: service.edit(id, {"content": "changed"}, CURSOR),
            lambda id=id: service.restore(id, CURSOR),
        ):
            with pytest.raises(Refused) as caught:
                attempt()
            assert caught.value.code == "under_review"
    results = service.batch([{"op": "delete", "id": owners}, {"op": "edit", "id": accepted, "tags": ["x"]}], CURSOR)
    assert [result.status for result in results] == [403, 403]
    for accept in ({"state": "active"}, {"state": "paused"}):
        with pytest.raises(Refused):
            service.edit(waiting, accept, CURSOR)
    assert contents(service, INBOX, me) == {"waits"}
    assert service.edit(waiting, {"content": "waits, in other words"}, CURSOR).memory.state == "review"
    assert service.delete(waiting, CURSOR).deleted == [waiting]
    assert service.restore(waiting, CURSOR).memory.state == "review"
    with pytest.raises(Refused):
        service.undo(CURSOR)
    with pytest.raises(Refused):
        import_items(service, [{"content": "past the owner"}], CURSOR)
    batch = service.batch([{"op": "add", "content": "in a batch", "state": "active"}], CURSOR)
    assert batch[0].memory is not None
    assert batch[0].memory.state == "review"


def test_what_waits_supersedes_nothing_and_gives_no_context(recall: Recall, me: Actor) -> None:
    service = recall.service
    (old,) = recall.add("the landlord is Mr Berg", thread="home")
    new = service.add(Draft("the landlord is Ms Toll", supersedes=old, thread="home"), CURSOR).memory.id
    recall.indexer.wait_idle(30)
    outcome = service.search(SearchQuery("who is the landlord", explain=True), me)
    assert [hit.memory.id for hit in outcome.hits] == [old]
    assert outcome.hits[0].explain is not None
    assert outcome.hits[0].explain["superseded_by"] is None
    assert "Toll" not in (recall.context(old) or "")
    service.review("approve", me, parts=[new])
    recall.indexer.wait_idle(30)
    assert [hit.memory.id for hit in service.search(SearchQuery("who is the landlord"), me).hits] == [new, old]


def test_state_goes_out_and_in(service: MemoryService, tmp_path: Path, me: Actor) -> None:
    service.add(Draft("waits for a word"), CURSOR)
    for history in (True, False):
        items = [loads(line) for line in export_jsonl(service.store, EVERYTHING, iso(2**41), history=history)]
        other = open_user(tmp_path / f"other-{history}")
        assert import_items(other.service, items, me).added == 1
        assert contents(other.service, INBOX, me) == {"waits for a word"}
        assert contents(other.service, Filter(), me) == set()
        other.close()


# ---- caps -------------------------------------------------------------------------------------

CAPPED = Actor("cursor", writes_per_hour=3, owner=False)


def earlier(user: User, minutes: int) -> None:
    """Move all that was done so far into the past."""
    with user.store.reader() as conn:
        (now,) = conn.execute("SELECT max(at) FROM actions").fetchone()
    then = (datetime.fromisoformat(now) - timedelta(minutes=minutes)).isoformat(timespec="milliseconds")[:23] + "Z"
    user.store.write(lambda tx: tx.conn.execute("UPDATE actions SET at = ?", (then,)).rowcount)


def test_a_cap_on_the_changes_of_an_hour(user: User, me: Actor) -> None:
    service = user.service
    first = service.add(Draft("one"), CAPPED).memory.id
    assert service.add(Draft("one"), CAPPED).duplicate  # nothing was written
    service.delete(first, CAPPED)
    service.add(Draft("two"), CAPPED)
    with pytest.raises(RateLimited) as caught:
        service.add(Draft("three"), CAPPED)
    error = caught.value
    assert (error.code, error.status, error.exit_code) == ("rate_limited", 429, 6)
    assert 3590 <= error.detail["retry_after"] <= 3600
    assert "may make 3 changes an hour, and it has made them: it may go on in 60 minutes" in error.message
    assert isinstance(from_problem(error.problem()), RateLimited)
    with pytest.raises(RateLimited):
        service.delete(service.list(Filter(), CAPPED).memories[0].id, CAPPED)
    assert contents(service, Filter(), CAPPED) == {"two"}  # reading goes on
    service.add(Draft("of another one"), CLAUDE)
    service.add(Draft("of the owner"), me)
    earlier(user, 45)
    with pytest.raises(RateLimited) as caught:
        service.add(Draft("three"), CAPPED)
    assert 890 <= caught.value.detail["retry_after"] <= 900
    earlier(user, 16)
    service.add(Draft("three"), CAPPED)


def test_a_restart_forgets_no_change(tmp_path: Path) -> None:
    for n in range(3):
        user = open_user(tmp_path / "user")
        user.service.add(Draft(f"fact {n}"), CAPPED)
        user.close()
    user = open_user(tmp_path / "user")
    with pytest.raises(RateLimited):
        user.service.add(Draft("one too many"), CAPPED)
    user.close()


def test_a_clock_that_was_ahead_locks_nobody_out(user: User) -> None:
    for n in range(3):
        user.service.add(Draft(f"fact {n}"), CAPPED)
    earlier(user, -60 * 24 * 30)
    user.service.add(Draft("back in the present"), CAPPED)


def test_several_at_once_go_in_whole_or_not_at_all(service: MemoryService, me: Actor) -> None:
    with pytest.raises(RateLimited) as caught:
        service.add_many([Draft(f"fact {n}") for n in range(4)], CAPPED)
    assert "this takes" in caught.value.message or "it has made them" in caught.value.message
    assert service.count(Filter(), me) == 0
    mine = [service.add(Draft(f"mine {n}"), me).memory.id for n in range(5)]
    with pytest.raises(RateLimited) as caught:
        service.delete(mine, CAPPED)
    assert (caught.value.detail.get("retry_after"), caught.value.detail["limit"]) == (None, 3)
    assert "3 changes an hour, and this takes 5" in caught.value.message
    service.add(Draft("one"), CAPPED)
    with pytest.raises(RateLimited, match="2 of them are left, and this takes 3"):
        service.delete(mine[:3], CAPPED)
    assert service.count(Filter(), me) == 6
    assert len(service.delete(mine[:2], CAPPED).deleted) == 2
    results = service.batch([{"op": "add", "content": "x"}, {"op": "purge", "id": mine[3]}], CAPPED)
    assert [result.status for result in results] == [429, 429]


def test_writers_at_the_same_moment_share_one_cap(service: MemoryService, me: Actor) -> None:
    capped = replace(CAPPED, writes_per_hour=10)
    refused: list[RateLimited] = []

    def write(thread: int) -> None:
        for n in range(5):
            try:
                service.add(Draft(f"thread {thread} fact {n}"), capped)
            except RateLimited as error:
                refused.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (service.count(Filter(), me), len(refused)) == (10, 20)


@pytest.mark.parametrize(
    "change", [lambda s, id: s.edit(id, {"tags": ["x"]}, CAPPED), lambda s, id: s.purge(id, CAPPED)]
)
def test_every_kind_of_change_counts(service: MemoryService, me: Actor, change: Callable[[MemoryService, str], object]) -> None:  # fmt: skip
    ids = [service.add(Draft(f"mine {n}"), me).memory.id for n in range(4)]
    for id in ids[:3]:
        change(service, id)
    with pytest.raises(RateLimited):
        change(service, ids[3])


def test_a_state_that_is_none(service: MemoryService, me: Actor) -> None:
    with pytest.raises(Invalid, match="active, paused, archived, review"):
        service.add(Draft("x", state="waiting"), me)


def test_what_waits_is_not_what_holds_now(service: MemoryService, me: Actor) -> None:
    old = service.add(Draft("the landlord is Mr Berg"), me).memory.id
    new = service.add(Draft("the landlord is Ms Toll", supersedes=old), CURSOR).memory.id
    chain = service.chain(old, me)
    assert ([memory.id for memory in chain.members], chain.current) == ([old, new], old)
    assert service.chain(new, me).current == old
    assert service.get(old, me).superseded_by is None
    service.review("approve", me, parts=[new])
    assert service.chain(old, me).current == new
    assert service.get(old, me).superseded_by == new
