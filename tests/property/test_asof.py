"""Whatever was done: as of any moment, lists, single memories and changes are what the store said at that moment."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmem.core.access import AccessLog
from jmem.core.drafts import Added
from jmem.core.errors import NotFound
from jmem.core.filter import Filter
from jmem.core.model import Memory, iso
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.spans import Change
from jmem.core.store import Store

ME = Actor("cli")
START = 1_700_000_000_000
FILTERS = (
    Filter(), Filter(states=()), Filter(states=("archived",)), Filter(tags=("x",)), Filter(thread="t"),
    Filter(states=(), expired=True), Filter(states=(), deleted=True, expired=True), Filter(states=(), lapsed=True),
    Filter(privacy="synced", source="s"), Filter(clients=("cli",)), Filter(since="2023-01-02T00:00:00.000Z"),
)  # fmt: skip

which = st.integers(0, 5)
fields = st.fixed_dictionaries({}, optional={
    "content": st.sampled_from(["alpha", "beta", "gamma delta", "alpha beta"]),
    "tags": st.lists(st.sampled_from(["x", "y"]), unique=True),
    "state": st.sampled_from(["active", "paused", "archived"]),
    "thread": st.none() | st.just("t"),
    "source": st.none() | st.just("s"),
    "occurred_at": st.none() | st.sampled_from(["2023-01-01T00:00:00.000Z", "2023-01-03T00:00:00.000Z"]),
    "expires_at": st.none() | st.sampled_from([iso(START + 3_000), iso(START + 6_000)]),
    "metadata": st.sampled_from([{}, {"a": 1}]),
})  # fmt: skip
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["one", "two", "three", "four"]), fields),
        st.tuples(st.just("edit"), which, fields),
        st.tuples(st.sampled_from(["delete", "restore", "purge", "supersede"]), which, which),
        st.tuples(st.sampled_from(["undo", "redo"])),
    ),
    min_size=1,
    max_size=14,
)
State = dict[Filter, list[Memory]]


@dataclass
class World:
    """A store whose clock a test sets: one step a second."""

    service: MemoryService
    ids: list[str]
    purged: bool = False

    def act(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("add", text, fields):
                given = {name: value for name, value in fields.items() if name not in ("content", "tags")}
                draft = Draft(text, tuple(fields.get("tags", ())), **given)
                added = self.service.add(draft, ME)
                assert isinstance(added, Added)
                if not added.duplicate:
                    self.ids.append(added.memory.id)
            case ("undo" | "redo" as kind,):
                self.service.undo(ME, redo=kind == "redo")
            case (kind, place, more) if self.ids:
                id = self.ids[place % len(self.ids)]
                try:
                    self.change(kind, id, more)
                except NotFound:
                    pass  # deleted or purged by an earlier step

    def change(self, kind: str, id: str, more: Any) -> None:
        match kind:
            case "edit":
                self.service.edit(id, more, ME)
            case "supersede":
                other = self.ids[more % len(self.ids)]
                if other != id:
                    self.service.edit(id, {"supersedes": other}, ME)
            case "delete":
                self.service.delete(id, ME)
            case "restore":
                self.service.restore(id, ME)
            case "purge":
                self.service.purge(id, ME)
                self.ids.remove(id)
                self.purged = True

    def state(self) -> State:
        return {filter: self.service.list(filter, ME, limit=1000).memories for filter in FILTERS}


def live(memories: list[Memory]) -> dict[str, Memory]:
    return {memory.id: replace(memory, superseded_by=None) for memory in memories}


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_the_past_is_what_it_was(steps: list[tuple[Any, ...]]) -> None:
    folder = Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as patch:
        store, access = Store.open(folder), AccessLog(folder)
        try:
            world = World(MemoryService(store, access), [])
            states: list[tuple[str, State]] = []
            for number, step in enumerate([("begin",), *steps]):
                now = START + number * 1000
                patch.setattr(time, "time_ns", lambda now=now: now * 1_000_000)
                if number:
                    world.act(step)
                patch.setattr(time, "time_ns", lambda now=now: (now + 500) * 1_000_000)
                states.append((iso(now + 500), world.state()))
            check(world, states)
        finally:
            access.close()
            store.close()
            shutil.rmtree(folder)


def check(world: World, states: list[tuple[str, State]]) -> None:
    service = world.service
    kept = {m.id for m in service.list(Filter(states=(), expired=True), ME, limit=1000).memories}
    kept |= {m.id for m in service.list(Filter(states=(), expired=True, deleted=True), ME, limit=1000).memories}
    for moment, state in states:
        for filter, memories in state.items():
            then = [memory for memory in memories if memory.id in kept]  # what was purged is gone from every moment
            past = service.list(filter, ME, limit=1000, as_of=moment).memories
            assert live(past) == live(then)
            assert [memory.id for memory in past] == [memory.id for memory in then]
            assert world.purged or past == then
            assert service.count(filter, ME, as_of=moment) == len(then)
        there = live([m for m in state[Filter(states=(), expired=True)] if m.id in kept])
        for id in kept:
            if id in there:
                assert replace(service.get(id, ME, as_of=moment), superseded_by=None) == there[id]
            else:
                with pytest.raises(NotFound):
                    service.get(id, ME, as_of=moment)
    check_changes(world, states, kept)


def check_changes(world: World, states: list[tuple[str, State]], kept: set[str]) -> None:
    """What changed from each moment to the next, and from the first to the last, explains the difference of states."""
    everything = Filter(states=(), expired=True)
    spans = [*pairwise(states), (states[0], states[-1])]
    for (since, before), (until, after) in spans:
        changes, cursor = world.service.changes(ME, since, until=until, limit=1000)
        assert cursor is None
        old, new = ({m.id: m for m in s[everything] if m.id in kept} for s in (before, after))
        expected = dict.fromkeys(old.keys() - new.keys(), "deleted") | dict.fromkeys(new.keys() - old.keys(), "there")
        for id in old.keys() & new.keys():
            a, b = old[id].as_dict(), new[id].as_dict()
            differ = {n for n in a.keys() | b.keys() if a.get(n) != b.get(n)} - {
                "updated_at",
                "version",
                "superseded_by",
            }
            if differ:
                expected[id] = "edited"
        assert {c.id: "there" if c.kind in ("added", "restored") else c.kind for c in changes} == expected
        assert [c.at for c in changes] == sorted((c.at for c in changes), reverse=True)
        for change in changes:
            if change.kind == "edited":
                assert change.before is not None
                assert change.after is not None
                was, is_ = old[change.id].as_dict(), new[change.id].as_dict()
                assert all(was[name] == value for name, value in change.before.items())
                assert all(is_[name] == value for name, value in change.after.items())
        assert {c.kind for c in changes if c.before is None} <= {"added", "restored"}
        paged: list[Change] = []
        cursor = None
        while True:
            page, cursor = world.service.changes(ME, since, until=until, limit=2, cursor=cursor)
            paged += page
            if cursor is None:
                break
        assert paged == list(changes)
