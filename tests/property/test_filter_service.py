"""What a filter lets through, in lists, counts and tag counts, is what its words say, for every actor."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmem.core.access import AccessLog
from jmem.core.filter import Filter
from jmem.core.model import Memory
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.store import Store

ME = Actor("cli")
DAYS = [None, "2023-01-01T00:00:00.000Z", "2023-06-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z"]
TAGS = ["a", "b", "c"]


class Filled:
    """A service and what is in it; its repr stays short."""

    def __init__(self, service: MemoryService, memories: list[Memory]) -> None:
        self.service, self.memories = service, memories


@pytest.fixture(scope="module")
def filled() -> Iterator[Filled]:
    """Some 200 memories that differ in everything a filter asks about."""
    with tempfile.TemporaryDirectory() as folder:
        store, access = Store.open(Path(folder)), AccessLog(Path(folder))
        service = MemoryService(store, access)
        drafts = [
            Draft(
                f"memory {n}", tuple(TAGS[k] for k in range(3) if n >> k & 1), state=("active", "paused", "archived")[n // 8 % 3],
                occurred_at=DAYS[n // 3 % 4], expires_at=(None, None, "2020-01-01", "2999-01-01")[n // 5 % 4],
                privacy=("synced", "local")[n // 7 % 2], source=("s", None)[n // 11 % 2], thread=("t", None)[n // 13 % 2],
                client=("cli", "claude")[n // 2 % 2], created_at=DAYS[1 + n % 3],
            )
            for n in range(200)
        ]  # fmt: skip
        ids = [added.memory.id for added in service.add_many(drafts, ME)]  # type: ignore[union-attr]
        service.delete(ids[::9], ME)
        yield Filled(service, [service.get(id, ME, deleted=True) for id in ids])
        access.close()
        store.close()


def passes(memory: Memory, f: Filter, actor: Actor) -> bool:
    at = memory.occurred_at or memory.created_at
    return all((
        memory.deleted == f.deleted,
        not f.states or memory.state in f.states,
        f.expired or memory.expires_at is None or memory.expires_at > "2026",
        not f.clients or memory.client in f.clients,
        f.since is None or at >= f.since,
        f.until is None or at < f.until,
        f.privacy is None or memory.privacy == f.privacy,
        f.thread is None or memory.thread == f.thread,
        f.source is None or memory.source == f.source,
        set(f.tags) <= set(memory.tags),
        f.visible is None or bool(set(f.visible) & set(memory.tags)),
        actor.tags is None or bool(set(actor.tags) & set(memory.tags)),
    ))  # fmt: skip


def some(values: list[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), unique=True, max_size=3).map(tuple)


filters = st.builds(
    Filter, tags=some([*TAGS, "none"]), clients=some(["cli", "claude", "none"]), states=some(["active", "paused", "archived"]),
    since=st.sampled_from(DAYS), until=st.sampled_from(DAYS), privacy=st.sampled_from([None, "local", "synced", "x' OR 1"]),
    thread=st.sampled_from([None, "t", "none"]), source=st.sampled_from([None, "s"]), visible=st.none() | some(TAGS),
    deleted=st.booleans(), expired=st.booleans(),
) | st.builds(Filter, states=some(["active", "paused", "archived"]), expired=st.booleans())  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(f=filters, scope=st.none() | some(TAGS), sort=st.sampled_from(["-created", "updated", "-occurred"]))
def test_a_filter_lets_through_what_it_says(
    filled: Filled, f: Filter, scope: tuple[str, ...] | None, sort: str
) -> None:
    service, memories = filled.service, filled.memories
    actor = Actor("cursor", tags=scope)
    if scope is not None:  # who asks is what narrows: nobody else sets it
        f = replace(f, visible=None)
    expected = [m for m in memories if passes(m, f, actor)]
    listed = service.list(f, actor, limit=1000, sort=sort).memories
    assert sorted(m.id for m in listed) == sorted(m.id for m in expected)
    assert service.count(f, actor) == len(expected)
    assert dict(service.tags(actor, f)) == Counter(tag for m in expected for tag in m.tags)
