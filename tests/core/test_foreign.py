from __future__ import annotations

import pytest

from jmem.core import receipts
from jmem.core.clock import wall_ms
from jmem.core.errors import NotFound
from jmem.core.model import Op, new_nonce
from jmem.core.service import Actor, MemoryService
from jmem.core.store.oplog import Sent
from tests.core.conftest import User

ME = Actor("cli")
A = "0199f3a1-c2d4-7b3e-9c1a-0123456789ab"


def op(n: int, fields: dict[str, object], id: str = A, **more) -> Op:
    return Op(f"0199f3a1c2d4-{n:04x}-a1b2c3d4", id, fields, (), "x", more.pop("nonce", new_nonce()), **more).sealed()


def test_ops_are_taken_in_once(user: User):
    ops = [op(1, {"content": "a"}), op(2, {"tags": ["x"]})]
    applied = user.service.apply_ops([ops[1], ops[0], ops[1]], ME)
    assert (applied.applied, applied.known, applied.ids, applied.rejected) == (2, 1, (A,), [])
    before, seq = user.rows(), user.store.last_seq
    assert user.service.apply_ops(ops, ME).known == 2
    assert user.rows() == before
    assert user.store.last_seq == seq
    assert user.service.get(A, ME).tags == ("x",)


def test_ops_that_can_not_be_taken_are_named_and_stop_no_other(user: User):
    good = op(1, {"content": "a"})
    user.service.apply_ops([good], ME)
    altered = Op(good.stamp, A, {"content": "b"}, (), "x", "n").sealed()
    cut = op(3, {"content": "c"})
    bad = {
        "stamp_reuse": altered,
        "bad_digest": Op(cut.stamp, A, {"content": "C"}, (), "x", cut.nonce, digest=cut.digest),
        "clock_skew": Op(
            f"{wall_ms() + 366 * 86_400_000:012x}-0000-a1b2c3d4", A, {"content": "d"}, (), "x", "n"
        ).sealed(),
        "upgrade_required": op(5, {"content": "e"}, v=2),
        "bad_op": op(6, {"tags": ["x", "x"]}),
        "too_large": op(7, {"mood": "x" * 140_000}),
        "invalid": op(8, {"state": "gone"}),
    }
    shapes = [
        op(9, {}, id="nothing"),
        Op("1", A),
        op(10, {"occurred_at": "2023-01-01"}),
        op(11, {"content": "x" * 70_000}),
    ]
    last = op(12, {"tags": ["fine"]})
    applied = user.service.apply_ops([*bad.values(), *shapes, last], ME)
    assert [(stamp, error.code) for stamp, error in applied.rejected[: len(bad)]] == [
        (o.stamp, code) for code, o in bad.items()
    ]
    assert [e.code for _, e in applied.rejected[len(bad) :]] == ["bad_op", "bad_op", "bad_op", "too_large"]
    assert applied.applied == 1
    memory = user.service.get(A, ME)
    assert (memory.content, memory.tags) == ("a", ("fine",))
    assert user.store.write(lambda tx: tx.clock.last) == last.stamp  # a refused stamp drags nothing


def test_what_is_written_after_a_foreign_op_comes_after_it(user: User):
    ahead = Op(f"{wall_ms() + 86_400_000:012x}-0000-ffffffff", A, {"content": "theirs"}, (), "x", "n").sealed()
    user.service.apply_ops([ahead], ME)
    assert user.service.edit(A, {"content": "mine"}, ME).memory.version > ahead.stamp
    assert user.service.get(A, ME).content == "mine"


def test_a_foreign_purge_reaches_every_place(user: User):
    told: list[list[str]] = []
    service = MemoryService(
        user.store, user.access, purge_hooks=(lambda ids: (told.append(ids), receipts.erased("x"))[1],)
    )
    service.apply_ops([op(1, {"content": "Xylophonquartz"})], ME)
    applied = service.apply_ops([op(2, {}, purge=True), op(3, {"content": "Xylophonquartz again"})], ME)
    assert applied.purged == (A,)
    assert told == [[A]]
    assert b"ylophonquartz" not in b"".join(p.read_bytes().lower() for p in user.folder.iterdir())
    with pytest.raises(NotFound):
        service.get(A, ME)


def test_text_that_no_file_can_hold_is_refused(user: User):
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    ops = [Op(f"0199f3a1c2d4-{n:04x}-a1b2c3d4", A, {"content": "a", "mood": value}, (), "x", "n", digest="sha256:0")
           for n, value in enumerate(("\ud800", deep, 2**70))]  # fmt: skip
    applied = user.service.apply_ops(ops, ME)
    assert [e.status for _, e in applied.rejected] == [422, 422, 422]
    assert user.rows() == []


def test_a_blanked_copy_gives_way_to_the_whole_op(user: User):
    whole = op(1, {"content": "a"})
    assert user.service.apply_ops([whole.blanked()], ME).applied == 1
    assert user.rows() == []
    before = user.store.last_seq
    assert user.service.apply_ops([whole], ME).applied == 1
    assert user.service.get(A, ME).content == "a"
    with user.store.reader() as conn:  # whatever follows the rows by their numbers has been past the op
        assert conn.execute("SELECT seq FROM memories").fetchone() == (user.store.last_seq,)
    assert user.store.last_seq > before
    assert user.service.apply_ops([whole.blanked()], ME).known == 1
    assert user.service.get(A, ME).content == "a"


def test_what_is_local_within_a_batch_stays_here_after_a_purge_too(user: User):
    local = op(1, {"content": "a", "privacy": "local"})
    user.service.apply_ops([local, op(2, {"tags": ["x"]}), op(3, {}, purge=True), op(4, {"content": "b"})], ME)
    with user.store.reader() as conn:
        assert set(conn.execute("SELECT sent FROM ops").fetchall()) == {(Sent.LOCAL,)}


def test_ops_of_one_memory_that_come_together_are_told_apart(user: User):
    """Each named no other: two texts were written apart."""
    user.service.apply_ops([op(1, {"content": "a"}), op(2, {"content": "b"})], ME)
    found, _ = user.service.conflicts(ME)
    assert [one.memory.id for one in found] == [A]
