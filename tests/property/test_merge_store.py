"""Whatever order, repetition and grouping ops come in, the rows are what the set of ops adds up to."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jmem.core import foreign, merge, opcheck
from jmem.core.model import FIELDS, Memory, Op
from jmem.core.store import MEMORY_COLUMNS, MEMORY_WIDTH, Store, Tx, fts, oplog, row_memory

IDS = [f"0199f3a1-c2d4-7b3e-9c1a-00000000000{n}" for n in range(3)]
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)
times = st.sampled_from(["2023-05-08T00:00:00.000Z", "2023-05-09T00:00:00.000Z", "2026-01-01T00:00:00.000Z"])
values = {
    "content": texts, "tags": st.lists(st.sampled_from(["a", "b", "c"]), unique=True), "deleted": st.booleans(),
    "metadata": st.dictionaries(texts, st.one_of(st.none(), st.integers(-9, 9), st.floats(-2, 2)), max_size=2),
    "state": st.sampled_from(["active", "paused", "archived"]), "privacy": st.sampled_from(["local", "synced"]),
    "occurred_at": st.none() | times, "expires_at": st.none() | times, "source": st.none() | texts,
    "thread": st.none() | st.sampled_from(["t", "u"]), "speaker": st.none() | texts,
    "client": st.sampled_from(["cli", "claude"]), "supersedes": st.none() | st.sampled_from(IDS), "created_at": times,
    "colour": st.sampled_from(["red", {"deep": [1.5]}]), "mood": st.none(),
}  # fmt: skip
assert set(FIELDS) <= set(values)


@st.composite
def op_sets(draw) -> list[Op]:
    """Ops of three memories with different stamps, content ops naming earlier ones in their base, rare purges."""
    made: list[Op] = []
    for n in range(draw(st.integers(1, 9))):
        stamp = f"{1_700_000_000_000 + draw(st.integers(0, 3)):012x}-{n:04x}-{draw(st.sampled_from(['aaaaaaaa', 'bbbbbbbb']))}"
        id = draw(st.sampled_from(IDS))
        if draw(st.integers(0, 14)) == 0:
            made.append(Op(stamp, id, nonce="n", client="cli", purge=True).sealed())
            continue
        names = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=4, unique=True))
        if draw(st.booleans()):
            names.append("content")
        fields = {name: draw(values[name]) for name in names}
        earlier = [o.stamp for o in made if o.id == id and "content" in o.set]
        base = tuple(draw(st.lists(st.sampled_from(earlier), unique=True))) if earlier and "content" in fields else ()
        made.append(
            Op(stamp, id, fields, base, "cli", f"{n:x}", extra=draw(st.sampled_from([{}, {"hint": 1}]))).sealed()
        )
    return made


def fold_all(ops: list[Op]) -> tuple[dict[str, tuple[Memory, dict[str, object]]], set[str]]:
    """What `jmem.core.merge` makes of a set of ops: memories with their unknown fields, and the purged ids."""
    memories, purged = {}, set()
    for id in IDS:
        state = merge.fold([op for op in ops if op.id == id])
        if state.purged:
            purged.add(id)
        memory = merge.memory(id, state.registers)
        if memory is not None:
            memories[id] = (memory, {k: v for k, (_, v) in state.registers.items() if k not in FIELDS})
    return memories, purged


def read_all(store: Store) -> tuple[dict[str, tuple[Memory, dict[str, object]]], set[str]]:
    with store.reader() as conn:
        rows = conn.execute(f"SELECT {MEMORY_COLUMNS}, m.extra FROM memories m").fetchall()
        purged = {id for (id,) in conn.execute("SELECT id FROM purged")}
    return {row[0]: (row_memory(row), json.loads(row[MEMORY_WIDTH])) for row in rows}, purged


def derived(store: Store) -> list[object]:
    """What must follow from the rows: tags and full text."""
    with store.reader() as conn:
        return [
            conn.execute("SELECT m.id, t.tag FROM memory_tags t LEFT JOIN memories m ON m.rowid = t.rowid ORDER BY 1, 2").fetchall(),
            conn.execute("SELECT m.id, f.text, f.context FROM memory_fts f LEFT JOIN memories m ON m.rowid = f.rowid ORDER BY 1").fetchall(),
            conn.execute("SELECT id, stamps, extra, text_key, at, id_reversed FROM memories ORDER BY id").fetchall(),
        ]  # fmt: skip


def feed(store: Store, batches: list[list[Op]]) -> None:
    for batch in batches:
        assert not foreign.apply_ops(store, batch, "cli", "sync").rejected


def damage(tx: Tx) -> None:
    tx.conn.execute("UPDATE memories SET content = 'wrong', tags = '[]', stamps = '{}' WHERE rowid % 2 = 0")
    tx.conn.execute("DELETE FROM memories WHERE rowid % 3 = 0")
    tx.conn.execute("INSERT OR IGNORE INTO memory_tags (tag, rowid) VALUES ('wrong', 1)")


def normal(stamps: list[object]) -> list[object]:
    """stamps and extra are objects: their key order may follow the order of arrival."""
    return [(id, json.loads(s), json.loads(e), *rest) for id, s, e, *rest in stamps]  # type: ignore[misc,attr-defined]


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_rows_are_the_fold_of_the_set_of_ops(data: st.DataObject) -> None:
    ops = data.draw(op_sets())
    purged = {op.id for op in ops if op.purge}
    arriving = [
        # another replica hands on the ops of a purged memory blanked, before or after the purge itself
        op.blanked() if op.id in purged and data.draw(st.booleans()) else op
        for op in [*data.draw(st.permutations(ops)), *data.draw(st.lists(st.sampled_from(ops), max_size=4))]
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arriving)), max_size=3)))
    bounds = [0, *cuts, len(arriving)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        with Store.open(Path(one)) as store:
            feed(store, [arriving[a:b] for a, b in pairwise(bounds)])
            assert read_all(store) == fold_all(ops)
            with store.reader() as conn:
                apart = {id for (id,) in conn.execute("SELECT id FROM conflicts")}
                for id in IDS:
                    mine = [op for op in ops if op.id == id]
                    assert oplog.is_purged(conn, id) == (id in purged)
                    assert oplog.heads(conn, id) == (() if id in purged else merge.heads(mine))
                    assert (id in apart) == (id not in purged and merge.in_conflict(mine))
                    held = oplog.ops_of(conn, id)
                    assert [o.digest for o in held] == [o.digest for o in sorted(mine, key=lambda o: o.stamp)]
                    assert all(opcheck.is_blank(o) for o in held) or id not in purged
            found = derived(store)
            assert store.write(lambda tx: fts.check(tx.conn)) == []
            store.write(damage)
            store.rebuild_rows()
            assert read_all(store) == fold_all(ops)
            again = derived(store)
            assert found[:2] == again[:2]
            assert normal(found[2]) == normal(again[2])
        with Store.open(Path(two)) as store:
            feed(store, [ops])
            other = derived(store)
            assert other[0] == found[0]
            assert normal(other[2]) == normal(found[2])
            assert other[1] == found[1]
