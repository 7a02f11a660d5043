"""Each rule of the protocol switched off alone is seen: by a short trace that holds while the rule does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hosted.ops import apply as hosted_apply
from hosted.ops import feed
from hosted.ops import writer as hosted_writer
from hosted.ops.feed import Pulled
from jmem.core import clock, clocks, copies, merge, outbox
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce
from jmem.core.outbox import Page
from jmem.core.store.oplog import Sent
from sync import remote
from sync.engine import Engine, Progress
from sync.protocol import cursor_of, parse_cursor
from sync.remote import Offline
from tests.sync.world import HELD_TAG, ME, Tables, Time, World, outbox_counts

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture(scope="module")
def tables(owner_url: str) -> Iterator[Tables]:
    made = Tables(owner_url)
    yield made
    made.close()


@pytest.fixture
def world(account_url: str, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    time = Time()
    time.install(monkeypatch)
    made = World(account_url, tables, tmp_path / uuid.uuid4().hex, time)
    yield made
    made.close()


# ---- traces, each of which needs its rule ----------------------------------------------------


def sent_twice(world: World) -> None:
    a = world.replica(world.account())
    world.add(a)
    a.exchange("push:twice")
    world.settle()
    world.check()


def restored_before_it_was_seen(world: World) -> None:
    me = world.account()
    a = world.replica(me)
    world.add(a)
    a.exchange()
    world.back_up(me)
    world.add(a)
    a.exchange("pull:ok", "pull:lost_request")
    world.put_back(me)
    world.settle()
    world.check()


def restored_and_written_over(world: World) -> None:
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    world.add(a)
    world.settle()
    world.back_up(me)
    world.add(a)
    a.exchange()
    world.put_back(me)
    world.add(b)
    b.exchange()
    world.settle()
    world.check()


def an_hour_ahead(world: World) -> None:
    a = world.replica(world.account())
    world.add(a)
    a.exchange()
    a.jump(HOUR)
    world.add(a)
    a.exchange()
    world.settle()
    world.check()


def rewritten_an_hour_ahead(world: World) -> None:
    a = world.replica(world.account())
    world.add(a)
    a.exchange()
    a.jump(HOUR)
    id = world.add(a)
    world.rewrite(a, id)
    world.rewrite(a, id)
    a.exchange()
    world.settle()
    world.check()


def edited_after_its_end(world: World) -> None:
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    id = world.add(a)
    world.settle()
    world.delete(b, id)
    world.time.passed += 1  # within one millisecond, the node would decide what comes after what
    world.rewrite(a, id)
    world.settle()
    world.check()


def at_the_same_moment(world: World) -> None:
    world.time.frozen = world.time.real()
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    world.add(a)
    world.add(b)
    world.settle()
    world.check()


def a_day_behind(world: World) -> None:
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    id = world.add(a)
    world.settle()
    b.jump(-DAY)
    world.rewrite(b, id)
    world.settle()
    world.check()


def refused_and_late(world: World) -> None:
    a = world.replica(world.account())
    world.add(a)
    a.exchange()
    a.jump(HOUR)
    world.add(a)
    a.exchange("push:kept_and_late")
    world.time.passed += HOUR + 600_000
    world.deliver(world.late[0])
    world.settle()
    world.check()


def filled_again(world: World) -> None:
    a = world.replica(world.account())
    world.add(a)
    world.add(a, local=True)
    world.settle()
    outbox.begin_again(a.user.store)
    world.check_local()
    a.exchange()
    world.check_wire()


def forgotten_before_it_left(world: World) -> None:
    a = world.replica(world.account())
    world.hold(a)
    id = world.add(a, tags=(HELD_TAG,))
    a.exchange()
    world.purge(a, id)
    a.exchange()
    world.check_wire()


def copied_before_its_clock_was_set_right(world: World) -> None:
    for off in (HOUR, -DAY):
        me = world.account()
        a, b = world.replica(me), world.replica(me)
        a.jump(off)
        id = world.add(a)
        a.snapshot()
        world.edit(a, id, tags=["lost with the machine"])
        a.exchange()
        b.exchange()
        world.rewrite(b, id)
        newest = b.state()[id][0]
        b.exchange()
        world.roll_back(a)
        world.edit(a, id, content="based on what it was")
        a.exchange()
        world.settle()
        world.check()
        history = a.user.service.history(id, ME)
        assert len(history.heads) == 2, "neither knew of the other"
        assert newest in [revision.content for revision in history.revisions]


def a_full_counter(world: World) -> None:
    a = world.replica(world.account())
    full = f"{world.time() + 20_000:012x}-ffff-aaaaaaaa"
    other = Op(full, new_id(), {"content": "counted", "client": "cli"}, (), "cli", new_nonce()).sealed()
    a.user.service.apply_ops([other], ME)
    world.add(a)
    world.settle()
    world.check()


def forgotten_before_it_joined(world: World) -> None:
    me = world.account()
    a = world.replica(me)
    id = world.add(a)
    world.settle()
    world.purge(a, id)
    world.settle()
    world.replica(me)
    world.settle()
    world.check()


# ---- the same without the rule ---------------------------------------------------------------


def no_dedupe(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """The server takes a stamp it has; the key of its table lets it."""
    tables.fetch("ALTER TABLE jmem.ops DROP CONSTRAINT ops_pkey")
    patch.setattr(hosted_apply, "_KNOWN", hosted_apply._KNOWN + " AND false")


def ack_is_final(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """An op leaves the outbox when the server says that it has it."""
    push = Engine._push

    def run(self: Engine, texts: Mapping[str, str], progress: Progress) -> Any:
        again = push(self, texts, progress)
        marks = [(Sent.SEEN, stamp) for stamp in texts]
        self._store.write(lambda tx: tx.conn.executemany("UPDATE ops SET sent = ? WHERE stamp = ?", marks) and None)
        return again

    patch.setattr(Engine, "_push", run)


def no_chain(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """A cursor is a number: neither side asks what lies before it."""
    pull, chain = feed.pull, feed._CHAIN

    async def unchecked(database: Any, user_id: Any, cursor: str | None, limit: int = 500, device: str | None = None) -> Pulled:  # fmt: skip
        seq, _ = parse_cursor(cursor)
        async with database.tenant(user_id) as conn:
            held = await feed.driver(conn).fetchval(chain, user_id, seq)
        if seq and held is None:
            return Pulled([], cursor or "", False)
        return await pull(database, user_id, cursor_of(seq, held or ""), limit, device)

    def page(cursor: str | None, answer: Any) -> remote.Pulled:
        ops = [Op.of(raw) for raw in answer["ops"] if "id" in raw]
        own = [(raw["stamp"], raw["digest"]) for raw in answer["ops"] if "id" not in raw]
        return remote.Pulled(Page(ops, own, answer["cursor"]), len(answer["ops"]), answer["more"], False)

    patch.setattr(feed, "pull", unchecked)
    patch.setattr(remote, "_page", page)


def no_restamp(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """What was refused for its clock is offered as it is."""
    patch.setattr(clocks, "_part", lambda *_: None)


def edit_revives(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """A new text takes a memory's end back."""
    plain = merge.merge_op

    def run(registers: Any, op: Op) -> bool:
        changed = plain(registers, op)
        if "content" in op.set and op.stamp > registers.get("deleted", ("",))[0]:
            registers["deleted"] = (op.stamp, False)
        return changed

    patch.setattr(merge, "merge_op", run)


def fixed_node(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """Every process stamps as the same one."""
    patch.setattr(clock, "new_node", lambda: "aaaaaaaa")
    patch.setattr(hosted_writer, "_node", (hosted_writer._node[0], "aaaaaaaa"))


def wall_clock(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """A stamp is what the wall clock says."""

    def tick(self: Clock, now_ms: int | None = None) -> str:
        now = clock.wall_ms() + self.offset_ms if now_ms is None else now_ms
        return f"{now:012x}-0000-{self.node}"

    patch.setattr(Clock, "tick", tick)


def counter_overflow(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """A counter goes on beyond its four digits."""
    patch.setattr(clock, "MAX_COUNTER", 0xFFFFF)


def recompute_digest(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """What a purge leaves of an op has a digest of its own."""
    blanked = Op.blanked
    patch.setattr(Op, "blanked", lambda op: blanked(op).sealed())


def forget_refusal(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """The server does not remember what it refused."""
    patch.setattr(hosted_apply, "_REFUSE", "SELECT $1::uuid, $2::text[]")


def refill_of_everything(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """After a restore of the server the outbox is filled with every op."""

    def run(store: Any) -> None:
        store.write(lambda tx: tx.conn.execute("UPDATE ops SET sent = ?", (Sent.OFFERED,)) and None)
        store.write(lambda tx: tx.conn.execute("DELETE FROM meta WHERE key IN ('sync.cursor', 'sync.from')") and None)

    patch.setattr(outbox, "begin_again", run)


def open_socket(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """What goes on the wire is not asked about once more."""
    patch.setattr(outbox, "_allowed", lambda *_: None)


def nothing_is_asked(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """Neither when the outbox is filled again nor at the socket."""
    refill_of_everything(patch, tables)
    open_socket(patch, tables)


def copies_are_others(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """A write that waits under a stamp it has lost is another one than the feed's."""
    patch.setattr(copies, "as_one", lambda tx, ops, take: take())


def newest_first(patch: pytest.MonkeyPatch, tables: Tables) -> None:
    """New stamps are given from the end of the log."""
    patch.setattr(clocks, "_LOG", clocks._LOG + " DESC")


@dataclass(frozen=True)
class Case:
    off: Callable[[pytest.MonkeyPatch, Tables], None]
    trace: Callable[[World], None]
    seen: type[Exception]
    as_: str


CASES = [
    Case(no_dedupe, sent_twice, AssertionError, "I3"),
    Case(ack_is_final, restored_before_it_was_seen, AssertionError, "I1"),
    Case(no_chain, restored_and_written_over, AssertionError, "I1"),
    Case(no_restamp, an_hour_ahead, Offline, "refuses this machine's clock"),
    Case(newest_first, rewritten_an_hour_ahead, AssertionError, "I4: writes of d0 to content"),
    Case(edit_revives, edited_after_its_end, AssertionError, "I5"),
    Case(fixed_node, at_the_same_moment, AssertionError, "stamp_reuse"),
    Case(wall_clock, a_day_behind, AssertionError, "I4"),
    Case(counter_overflow, a_full_counter, AssertionError, "I4"),
    Case(recompute_digest, forgotten_before_it_joined, AssertionError, "stamp_reuse|I1"),
    Case(forget_refusal, refused_and_late, AssertionError, "I3"),
    Case(refill_of_everything, filled_again, AssertionError, "may leave"),
    Case(copies_are_others, copied_before_its_clock_was_set_right, AssertionError, "I3"),
    Case(open_socket, forgotten_before_it_left, AssertionError, "left it"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.trace.__name__)
def test_it_holds(case: Case, world: World):
    case.trace(world)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.off.__name__)
def test_without_the_rule_it_is_seen(case: Case, world: World, tables: Tables, monkeypatch: pytest.MonkeyPatch):
    try:
        case.off(monkeypatch, tables)
        with pytest.raises(case.seen, match=case.as_):
            case.trace(world)
    finally:
        if case.off is no_dedupe:
            tables.fetch("DELETE FROM jmem.ops WHERE user_id = ANY ($1::uuid[])", list(world.told))
            tables.fetch("ALTER TABLE jmem.ops ADD CONSTRAINT ops_pkey PRIMARY KEY (user_id, stamp)")


def test_with_neither_question_asked_a_private_text_is_seen_at_the_wire(world: World, tables: Tables):
    with pytest.MonkeyPatch.context() as patch:
        nothing_is_asked(patch, tables)
        a = world.replica(world.account())
        world.add(a, local=True)
        outbox.begin_again(a.user.store)
        a.exchange()
        with pytest.raises(AssertionError, match="I9: canary"):
            world.check_wire()


def test_a_lost_write_that_stays_on_its_device_is_seen(world: World):
    a = world.replica(world.account())
    id = world.add(a, local=True)
    world.rewrite(a, id)
    world.settle()
    world.check()
    a.user.store.write(lambda tx: tx.conn.execute("DELETE FROM ops WHERE seq = (SELECT MAX(seq) FROM ops)") and None)
    with pytest.raises(AssertionError, match="I2: d0 lost a write that stays there"):
        world.check()


# ---- other courses of events -----------------------------------------------------------------


def test_a_copy_of_a_memory_with_one_write_whose_stamp_was_lost(world: World):
    a = world.replica(world.account())
    a.jump(HOUR)
    world.add(a)
    a.snapshot()
    a.exchange()
    world.roll_back(a)
    a.exchange()
    world.settle()
    world.check()


@pytest.mark.parametrize("kind", ["local", "held"])
def test_what_stays_here_and_is_ahead_stops_nothing(world: World, kind: str):
    a = world.replica(world.account())
    world.add(a)
    a.exchange()
    if kind == "held":
        world.hold(a)
    a.jump(HOUR)
    world.add(a, local=kind == "local", tags=(HELD_TAG,))
    world.add(a)
    a.jump(0)
    world.add(a)
    a.exchange()
    assert outbox_counts(a)["new"] == outbox_counts(a)["offered"] == 0
    world.settle()
    world.check()


def test_a_first_exchange_keeps_the_times_between_writes(world: World):
    me = world.account()
    b = world.replica(me)
    for off in (2 * HOUR, -DAY):
        a = world.replica(me)
        a.jump(off)
        ids = []
        for _ in range(3):
            ids.append(world.add(a))
            world.rewrite(a, ids[-1])
            world.time.passed += HOUR
        before = {id: clock.stamp_ms(a.query("SELECT version FROM memories WHERE id = ?", id)[0][0]) for id in ids}
        world.add(b)
        b.exchange()
        a.exchange()
        after = {id: clock.stamp_ms(a.query("SELECT version FROM memories WHERE id = ?", id)[0][0]) for id in ids}
        assert all(abs(after[id] - before[id] + off) < 5_000 for id in ids)
    world.settle()
    world.check()


def test_clocks_are_set_right_part_by_part_and_after_an_end_in_between(world: World, monkeypatch: pytest.MonkeyPatch):
    a = world.replica(world.account())
    a.jump(-DAY)
    id = world.add(a)
    for _ in range(6):
        world.rewrite(a, id)
    monkeypatch.setattr(clocks, "PART", 2)
    part, parts = clocks._part, []

    def two(*asked: Any) -> int | None:
        parts.append(asked)
        if len(parts) == 3:
            raise Offline("killed")
        return part(*asked)

    monkeypatch.setattr(clocks, "_part", two)
    a.exchange()
    a.restart()
    a.exchange()
    assert len(parts) > 5
    assert all(abs(clock.stamp_ms(stamp) - world.time()) < 60_000 for stamp, *_ in a.ops())
    assert len(a.user.service.history(id, ME).heads) == 1
    world.settle()
    world.check()


def test_a_batch_that_is_refused_in_parts_keeps_its_order(world: World):
    a = world.replica(world.account())
    id = world.add(a)
    a.exchange()
    a.jump(HOUR)
    world.rewrite(a, id)
    world.edit(a, id, content="the last word")
    a.exchange("push:too_large")
    a.exchange()
    world.settle()
    world.check()
    assert a.user.service.get(id, ME).content == "the last word"
    assert len(a.user.service.history(id, ME).heads) == 1


def test_a_purge_reaches_what_arrived_late(world: World):
    a = world.replica(world.account())
    id = world.add(a, tags=(HELD_TAG,))
    a.exchange("push:delayed")
    world.hold(a)
    a.exchange()
    world.purge(a, id)
    a.exchange()
    world.deliver(world.late[0])
    world.settle()
    world.check()


def test_what_follows_rows_is_told_of_a_new_stamp(world: World):
    a = world.replica(world.account())
    a.jump(HOUR)
    id = world.add(a)
    before = a.user.store.last_seq
    a.exchange()
    (seq,) = a.query("SELECT seq FROM memories WHERE id = ?", id)[0]
    assert seq > before
    a.restart()
    assert a.user.store.last_seq == seq


def test_a_device_that_was_away_for_a_year_and_whose_clock_stands_still(world: World):
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    id = world.add(a)
    other = world.add(a)
    world.settle()
    b.jump(-400 * DAY)
    for text in ("written long ago", "and changed"):
        world.edit(b, id, content=text)
    world.delete(b, other)
    for _ in range(3):
        world.add(a)
        world.rewrite(a, other)
        a.exchange()
    world.add(b)
    b.exchange()
    assert len(b.ids()) == 6
    world.settle()
    world.check()


def test_a_machine_that_was_off_for_a_year_comes_back_with_what_it_wrote(world: World):
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    id = world.add(a)
    world.settle()
    world.time.passed -= 365 * DAY
    b.restart()
    late = world.add(b)
    world.time.passed += 365 * DAY
    world.rewrite(a, id)
    a.exchange()
    world.settle()
    world.check()
    assert late in a.ids()


def test_the_year_1970_keeps_nothing_away(world: World):
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    b.jump(-world.time.real())
    world.add(b)
    world.add(a)
    world.settle()
    world.check()


def test_what_something_on_the_way_refuses_for_its_size_is_offered_again(world: World):
    a = world.replica(world.account())
    for _ in range(3):
        world.add(a)
    a.exchange("push:too_large_for_the_way", "push:too_large_for_the_way", "push:too_large_for_the_way")
    assert outbox_counts(a)["seen"] < 3
    a.exchange()
    assert outbox_counts(a)["seen"] == 3


def test_a_text_whose_base_was_refused_unheard_is_no_conflict(world: World):
    me = world.account()
    a, b = world.replica(me), world.replica(me)
    id = world.add(a)
    world.settle()
    a.jump(HOUR)
    world.rewrite(a, id)
    a.exchange("push:lost_reply")
    world.edit(a, id, content="the last word")
    a.jump(0)
    world.time.passed += HOUR
    a.exchange()
    world.settle()
    world.check()
    for replica in (a, b):
        assert replica.user.service.get(id, ME).content == "the last word"
        assert len(replica.user.service.history(id, ME).heads) == 1
        assert replica.user.service.conflicts(ME)[0] == []


def test_a_held_write_that_arrives_late_is_one_with_what_waits(world: World):
    a = world.replica(world.account())
    world.add(a)
    a.exchange()
    a.jump(HOUR)
    id = world.add(a, tags=(HELD_TAG,))
    a.exchange("push:delayed")
    world.hold(a)
    a.exchange()
    a.jump(0)
    a.restart()
    world.add(a)
    a.exchange()
    world.edit(a, id, content="written while it is held")
    world.time.passed += HOUR
    world.deliver(world.late[0])
    a.exchange()
    world.settle()
    world.check()
    assert a.user.service.get(id, ME).content == "written while it is held"
