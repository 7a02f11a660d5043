"""What a page of the feed costs the store: nothing of it is asked op by op, however long the history of a memory is."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import pytest

from jmem.core import outbox
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.model import Op, new_id, new_nonce
from jmem.core.store import oplog
from tests.core.conftest import User

PAGE, EDITS = 200, 150


def op(n: int, id: str, fields: dict[str, object], base: Sequence[str] = ()) -> Op:
    return Op(f"0199f3a1c2d4-{n:04x}-a1b2c3d4", id, fields, tuple(base), "x", new_nonce()).sealed()


def take_in(user: User, ops: Sequence[Op]) -> collections.Counter[str]:
    """Take in a page of the feed; how often each kind of statement ran, by its first two words."""
    ran: collections.Counter[str] = collections.Counter()

    def count(statement: str) -> None:
        if not statement.startswith("--"):  # what the full-text index does inside
            ran[" ".join(statement.split()[:2]).upper()] += 1

    user.store.outside(lambda conn: conn.set_trace_callback(count))
    taken = outbox.take_in(user.store, outbox.Page(ops, (), f"{len(ops)}:aaaaaaaaaaaaaaaa"), "sync")
    user.store.outside(lambda conn: conn.set_trace_callback(None))
    assert not taken.refused
    return ran


def test_of_new_memories_only_the_writes_are_made_one_by_one(user: User):
    ran = take_in(user, [op(n, new_id(), {"content": f"fact {n}", "thread": "t"}) for n in range(PAGE)])
    assert ran.pop("INSERT INTO") <= 3 * PAGE + 10, "an op, a row, an entry of the full-text index"
    assert ran.total() < 40, ran


@pytest.mark.parametrize("apart", [False, True])
def test_a_memory_of_many_edits_is_read_once_a_page_and_written_once(
    user: User, apart: bool, monkeypatch: pytest.MonkeyPatch
):
    id, read = new_id(), 0
    stamps = [f"0199f3a1c2d4-{n:04x}-a1b2c3d4" for n in range(2 * EDITS)]
    ops = [op(n, id, {"content": f"text {n}"}, stamps[n - 1 : n]) for n in range(2 * EDITS)]
    if apart:
        ops[EDITS + 5] = op(EDITS + 5, id, {"content": "written apart"})
    take_in(user, ops[:EDITS])
    parse = Op.parse

    def counted(text: str) -> Op:
        nonlocal read
        read += 1
        return parse(text)

    monkeypatch.setattr(Op, "parse", staticmethod(counted))
    ran = take_in(user, ops[EDITS:])
    assert ran["UPDATE MEMORIES"] == 1
    assert read <= 2 * EDITS
    monkeypatch.undo()
    with user.store.reader() as conn:
        assert oplog.heads(conn, id) == ((stamps[EDITS + 4], stamps[-1]) if apart else (stamps[-1],))
        assert conn.execute("SELECT id FROM conflicts").fetchall() == ([(id,)] if apart else [])
        assert conn.execute("SELECT content, seq FROM memories").fetchall() == [(f"text {2 * EDITS - 1}", 2 * EDITS)]


def test_an_edit_reads_nothing_of_the_history_of_its_memory(user: User, monkeypatch: pytest.MonkeyPatch):
    id = user.service.add(Draft("the first text"), Actor("cli")).memory.id
    for n in range(EDITS):
        user.service.edit(id, {"content": f"text {n}"}, Actor("cli"))
    parse = Op.parse
    read: list[str] = []
    monkeypatch.setattr(Op, "parse", staticmethod(lambda text: read.append(text) or parse(text)))
    user.service.edit(id, {"content": "the last text"}, Actor("cli"))
    assert len(read) <= 1
    monkeypatch.undo()
    with user.store.reader() as conn:
        ops = oplog.ops_of(conn, id)
    assert ops[-1].base == (ops[-2].stamp,)
