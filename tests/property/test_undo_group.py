"""What a program did is taken back as one step: whatever happened before, a redo gives back the very same state."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jmem.core.access import AccessLog
from jmem.core.errors import NotFound
from jmem.core.filter import Filter
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.store import MEMORY_COLUMNS, Store, oplog, row_memory

CLIENTS = ("cli", "cursor", "claude")
ME = Actor("cli")
clients = st.sampled_from(CLIENTS)
which = st.integers(0, 3)
changes = st.fixed_dictionaries({}, optional={
    "content": st.sampled_from(["alpha", "beta", "gamma"]), "tags": st.lists(st.sampled_from("xyz"), unique=True, max_size=2),
    "state": st.sampled_from(["active", "paused", "archived"]), "thread": st.none() | st.just("t"),
}).filter(bool)  # fmt: skip
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), clients, st.integers(1, 3)),
        st.tuples(st.just("edit"), clients, which, changes),
        st.tuples(st.just("batch"), clients, changes),
        st.tuples(st.just("delete"), clients, which),
        st.tuples(st.just("restore"), clients, which),
        st.tuples(st.just("purge"), clients, which),
        st.tuples(st.just("undo"), st.integers(1, 2)),
        st.tuples(st.just("redo"), st.integers(1, 2)),
        st.tuples(st.just("group"), clients),
    ),
    min_size=2,
    max_size=14,
)


class World:
    """One store and the ids that were added to it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store, self.access = Store.open(self.folder), AccessLog(self.folder)
        self.service = MemoryService(self.store, self.access)
        self.ids: list[str] = []

    def close(self) -> None:
        self.access.close()
        self.store.close()
        shutil.rmtree(self.folder)

    def do(self, step: tuple[Any, ...]) -> None:
        kind, who, *rest = step
        if kind in ("undo", "redo"):
            self.service.undo(ME, n=who, redo=kind == "redo")
            return
        if kind == "group":
            self.service.undo(ME, client=who)
            return
        actor = Actor(who)
        if kind == "add":
            drafts = [Draft(f"memory {len(self.ids) + n}", ("x",)) for n in range(rest[0])]
            self.ids += [added.memory.id for added in self.service.add_many(drafts, actor)]  # type: ignore[union-attr]
        elif kind == "batch":
            self.service.batch([{"op": "edit", "id": id, **rest[0]} for id in self.ids] or [{"op": "no"}], actor)
        elif self.ids:
            id = self.ids[rest[0] % len(self.ids)]
            try:
                getattr(self.service, kind)(id, *rest[1:], actor)
            except NotFound:
                pass  # deleted, or forgotten

    def fields(self) -> dict[str, dict[str, Any]]:
        """Every memory with all that undo tells of: all but its version and when it changed last."""
        with self.store.reader() as conn:
            rows = conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m ORDER BY id").fetchall()
        documents = [row_memory(row).as_dict() for row in rows]
        return {d["id"]: {k: v for k, v in d.items() if k not in ("version", "updated_at")} for d in documents}

    def standing(self) -> set[int]:
        """The actions that count."""
        with self.store.reader() as conn:
            sql = "SELECT id FROM actions WHERE undone_by IS NULL AND kind NOT IN ('undo', 'redo')"
            return {id for (id,) in conn.execute(sql)}


@settings(max_examples=150, deadline=None)
@given(steps, st.none() | clients, st.none() | st.integers(0, 20), st.data())
def test_a_grouped_undo_and_its_redo_give_back_the_same_state(
    happened: list[tuple[Any, ...]], client: str | None, since: int | None, data: st.DataObject
) -> None:
    world = World()
    try:
        for step in happened:
            world.do(step)
        with world.store.reader() as conn:
            moments = [at for (at,) in conn.execute("SELECT at FROM actions ORDER BY id")]
        moment = None if since is None or not moments else moments[since % len(moments)]
        if client is None and moment is None:
            client = "cursor"
        before, counted = world.fields(), world.standing()
        planned = world.service.undo(ME, client=client, since=moment, dry_run=True)
        assert (world.fields(), world.standing()) == (before, counted)

        report = world.service.undo(ME, client=client, since=moment)
        assert report == planned
        after = world.fields()
        told = {change.id: change for change in report.changes}
        assert report.changed == len(told)
        assert set(told) == {id for id in before if before[id] != after[id]}
        for id, change in told.items():
            names = [name for name in before[id] if before[id][name] != after[id][name]]
            assert change.before == {name: before[id][name] for name in names}
            assert change.after == {name: after[id][name] for name in names}
        assert all(u.client == client for u in report.undone if client is not None)
        assert {id for u in report.undone for id in u.ids} == set(told)
        if not told:
            assert world.standing() == counted or len(report.undone) == 1
            return
        assert world.standing() == counted - {u.action for u in report.undone}

        for _ in range(data.draw(st.integers(1, 2))):
            again = world.service.undo(ME, redo=True)
            assert again.changed == len(told)
            assert again.skipped == []
            assert {u.action for u in again.undone} == {u.action for u in report.undone}
            assert world.fields() == before
            assert world.standing() == counted
            assert world.service.undo(ME, client=client, since=moment).changed == len(told)
            assert world.fields() == after
        with world.store.reader() as conn:
            assert not oplog.is_purged(conn, next(iter(told)))
    finally:
        world.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(clients, st.integers(0, 1), changes), max_size=12))
def test_what_others_did_stays(happened: list[tuple[str, int, dict[str, Any]]]) -> None:
    """Each program works on memories of its own: those of one go, the others' are not touched."""
    world = World()
    try:
        own = {c: [world.service.add(Draft(f"{c} {n}"), Actor(c)).memory.id for n in range(2)] for c in CLIENTS}
        for who, n, change in happened:
            world.service.edit(own[who][n], change, Actor(who))
        before = world.fields()
        report = world.service.undo(ME, client="cursor")
        assert report.skipped == []
        after = world.fields()
        assert {id for id in before if after[id] != before[id]} == set(own["cursor"])
        assert all(after[id]["deleted"] for id in own["cursor"])
        shown = world.service.list(Filter(states=()), ME).memories
        assert {m.id for m in shown} == {*own["cli"], *own["claude"]}
    finally:
        world.close()
