"""A long life of one store: after every step rows, full text and lists say what a simple model says."""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from jmem.core import merge
from jmem.core.access import AccessLog
from jmem.core.filter import Filter
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.store import MEMORY_COLUMNS, Store, fts, oplog, row_memory

ME = Actor("cli")
words = st.sampled_from(["alpha", "beta", "gamma", "delta", "alpha beta", "gamma delta omega"])
tags = st.lists(st.sampled_from(["x", "y", "z"]), unique=True, max_size=2)
changes = st.fixed_dictionaries({}, optional={
    "content": words, "tags": tags, "state": st.sampled_from(["active", "paused", "archived"]),
    "thread": st.none() | st.sampled_from(["t", "u"]), "speaker": st.none() | st.just("Ann"),
    "occurred_at": st.none() | st.sampled_from(["2023-01-01T00:00:00.000Z", "2023-01-02T00:00:00.000Z"]),
})  # fmt: skip
World = dict[str, dict[str, Any]]


class Life(RuleBasedStateMachine):
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.purged: set[str] = set()
        self.world: World = {}
        self.past: list[World] = []  # the worlds before each action that counts, oldest first
        self.future: list[World] = []
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.folder)
        self.access = AccessLog(self.folder)
        self.service = MemoryService(self.store, self.access)

    def teardown(self) -> None:
        self.access.close()
        self.store.close()
        shutil.rmtree(self.folder)

    def acts(self) -> None:
        """Called before an action that counts."""
        self.past.append(copy.deepcopy(self.world))
        self.future.clear()

    @rule(target=ids, text=words, tags=tags, thread=st.none() | st.just("t"))
    def add(self, text: str, tags: list[str], thread: str | None) -> Any:
        same = [id for id, m in self.world.items() if not m["deleted"] and m["state"] == "active"
                and (m["content"], m["thread"], m["speaker"], m["occurred_at"]) == (text, thread, None, None)]  # fmt: skip
        added = self.service.add(Draft(text, tuple(tags), thread=thread), ME)
        assert added.duplicate == bool(same)
        if same:
            assert added.memory.id in same
            return multiple()
        self.acts()
        self.world[added.memory.id] = {"content": text, "tags": tags, "state": "active", "thread": thread, "speaker": None,
                                       "occurred_at": None, "deleted": False}  # fmt: skip
        return added.memory.id

    def live(self, id: str) -> bool:
        return id in self.world and not self.world[id]["deleted"]

    @rule(id=ids, changes=changes)
    def edit(self, id: str, changes: dict[str, Any]) -> None:
        if not self.live(id):
            return
        real = {name: value for name, value in changes.items() if self.world[id][name] != value}
        assert self.service.edit(id, changes, ME).changed == bool(real)
        if real:
            self.acts()
            self.world[id].update(real)

    @rule(chosen=st.lists(ids, max_size=3))
    def delete(self, chosen: list[str]) -> None:
        if not chosen:
            return
        expected = [id for id in dict.fromkeys(chosen) if self.live(id)]
        outcome = self.service.delete(chosen, ME)
        assert outcome.deleted == expected
        if expected:
            self.acts()
        for id in expected:
            self.world[id]["deleted"] = True

    @rule(id=ids)
    def restore(self, id: str) -> None:
        if id in self.world and self.world[id]["deleted"]:
            self.service.restore(id, ME)
            self.acts()
            self.world[id]["deleted"] = False

    @rule(chosen=st.lists(ids, min_size=1, max_size=3), changes=changes)
    def batch(self, chosen: list[str], changes: dict[str, Any]) -> None:
        before = copy.deepcopy(self.world)
        results = self.service.batch([{"op": "edit", "id": id, **changes} for id in chosen], ME)
        for id, result in zip(chosen, results, strict=True):
            assert (result.status == 200) == self.live(id)
            if self.live(id):
                self.world[id].update(changes)
        if self.world != before:
            self.past.append(before)
            self.future.clear()

    @rule(id=consumes(ids))
    def purge(self, id: str) -> None:
        if id in self.world:
            self.service.purge(id, ME)
            del self.world[id]
            self.purged.add(id)
            # an undo past this point would meet the purge: it starts afresh
            self.past.clear()
            self.future.clear()

    @rule()
    def undo(self) -> None:
        if self.past:
            report = self.service.undo(ME)
            assert len(report.undone) == 1
            assert report.skipped == []
            self.future.append(copy.deepcopy(self.world))
            before = self.past.pop()
            for id in self.world:
                # undoing an add deletes it: the memory stays in the log
                self.world[id] = before[id] if id in before else {**self.world[id], "deleted": True}

    @rule()
    def redo(self) -> None:
        if self.future:
            self.service.undo(ME, redo=True)
            self.past.append({id: m for id, m in copy.deepcopy(self.world).items() if id in self.future[-1]})
            self.world = self.future.pop()

    @rule()
    def restart(self) -> None:
        self.access.close()
        self.store.close()
        self.open()
        assert self.service.replay_purges() == []

    @rule()
    def rebuild(self) -> None:
        self.store.rebuild_rows()

    @invariant()
    def rows_are_the_world(self) -> None:
        with self.store.reader() as conn:
            rows = {r[0]: row_memory(r) for r in conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m")}
            for id, memory in rows.items():
                assert memory == merge.memory(id, merge.fold(oplog.ops_of(conn, id)).registers)
        assert {id: {name: list(v) if name == "tags" else v for name in m if (v := getattr(rows[id], name)) is not ...}
                for id, m in self.world.items() if id in rows} == self.world  # fmt: skip
        assert set(rows) == set(self.world)
        assert self.store.write(lambda tx: fts.check(tx.conn)) == []

    @invariant()
    def lists_and_counts_agree(self) -> None:
        shown = {id for id, m in self.world.items() if not m["deleted"] and m["state"] == "active"}
        assert {m.id for m in self.service.list(Filter(), ME).memories} == shown
        assert self.service.count(Filter(), ME) == len(shown)
        counted = dict(self.service.tags(ME))
        assert counted == {
            tag: n for tag in "xyz" if (n := sum(tag in self.world[id]["tags"] for id in shown))
        }  # fmt: skip


Life.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
