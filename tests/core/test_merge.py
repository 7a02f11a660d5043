from __future__ import annotations

from itertools import permutations

from jmem.core import merge
from jmem.core.model import Op

ID = "0199f3a1-c2d4-7b3e-9c1a-0123456789ab"


def stamp(n: int, node: str = "aaaaaaaa") -> str:
    return f"{1_000_000 + n:012x}-0000-{node}"


def op(n: int, base: tuple[int, ...] = (), purge: bool = False, **fields) -> Op:
    return Op(stamp(n), ID, fields, tuple(stamp(b) for b in base), "cli", "n", purge).sealed()


LOG = [
    op(1, content="a", tags=["x"], created_at="2026-01-01T00:00:00.000Z", client="cli"),
    op(2, base=(1,), content="b"),
    op(3, base=(1,), content="c"),
    op(4, deleted=True),
    op(5, tags=["y"], colour="red"),
]


def test_the_order_of_arrival_does_not_matter():
    results = {str(sorted(merge.fold(order).registers.items())) for order in permutations(LOG)}
    assert len(results) == 1


def test_the_greatest_stamp_of_each_field_wins():
    memory = merge.memory(ID, merge.fold(reversed(LOG)).registers)
    assert memory is not None
    assert (memory.content, memory.tags, memory.deleted, memory.version) == ("c", ("y",), True, stamp(5))
    assert memory.created_at == "2026-01-01T00:00:00.000Z"


def test_heads_are_the_content_ops_that_nobody_has_seen():
    assert merge.heads(LOG) == (stamp(2), stamp(3))
    assert merge.heads([*LOG, op(6, base=(2, 3), content="d")]) == (stamp(6),)


def test_a_late_edit_does_not_revive_a_deleted_memory():
    registers = merge.fold([*LOG, op(7, content="late")]).registers
    memory = merge.memory(ID, registers)
    assert memory is not None
    assert memory.deleted
    assert memory.content == "late"


def test_a_purge_is_terminal_wherever_it_stands():
    for order in permutations([*LOG[:3], op(2000, purge=True)]):
        state = merge.fold(order)
        assert state.purged
        assert state.registers == {}


def test_there_is_no_memory_without_content():
    assert merge.memory(ID, merge.fold([op(1, tags=["x"])]).registers) is None


def test_merging_tells_whether_something_changed():
    registers: merge.Registers = {}
    assert merge.merge_op(registers, LOG[1])
    assert not merge.merge_op(registers, LOG[0].__class__(stamp(1), ID, {"content": "a"}))
    assert not merge.merge_op(registers, LOG[1])
