from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jmem.core.actor import Actor
from jmem.core.drafts import Added, Draft
from jmem.core.filter import Filter
from jmem.core.links import _current, _ordered
from jmem.core.model import Memory
from jmem.core.query import SearchQuery
from jmem.core.service import MemoryService
from tests.core.conftest import Recall

ME = Actor("cli")


def add(service: MemoryService, content: str, supersedes: str | None = None, **fields: Any) -> str:
    return service.add(Draft(content, supersedes=supersedes, **fields), ME).memory.id


def test_a_chain_is_the_same_from_each_of_its_members(service: MemoryService) -> None:
    a = add(service, "first")
    b = add(service, "second", a)
    c = add(service, "third", b)
    add(service, "not one of them")
    for id in (a, b, c):
        found = service.chain(id, ME)
        assert [m.id for m in found.members] == [a, b, c]
        assert (found.current, found.cut) == (c, False)
    assert service.chain(add(service, "alone"), ME).members[0].content == "alone"


def test_what_holds_after_deletions(service: MemoryService) -> None:
    a = add(service, "first")
    b = add(service, "second", a)
    c = add(service, "third", b)
    service.delete(c, ME)
    assert service.chain(a, ME).current == b
    assert service.chain(c, ME).current == b
    service.delete(b, ME)
    assert [service.chain(id, ME).current for id in (a, b, c)] == [a, a, a]
    service.delete(a, ME)
    assert [service.chain(id, ME).current for id in (a, b, c)] == [None] * 3
    assert [m.id for m in service.chain(b, ME).members] == [a, b, c]
    service.purge(b, ME)  # the link is lost with it
    assert [m.id for m in service.chain(a, ME).members] == [a]


def test_branches(service: MemoryService) -> None:
    a = add(service, "one office")
    b = add(service, "office in Lyon", a)
    c = add(service, "office in Nantes", a)
    d = add(service, "office in Nantes, second floor", c)
    assert [m.id for m in service.chain(b, ME).members] == [a, b, c, d]
    assert service.chain(a, ME).current == d
    assert service.chain(b, ME).current == b
    assert {m.id: m.superseded_by for m in service.list(Filter(), ME).memories} == {a: c, b: None, c: d, d: None}


def test_circles(service: MemoryService) -> None:
    a = add(service, "hen")
    b = add(service, "egg", a)
    service.edit(a, {"supersedes": b}, ME)
    c = add(service, "breakfast", b)
    found = service.chain(a, ME)
    assert [m.id for m in found.members] == [a, b, c]
    assert found.current == c
    service.delete(c, ME)
    assert service.chain(a, ME).current in (a, b)
    assert {service.get(a, ME).superseded_by, service.get(b, ME).superseded_by} == {a, b}


def test_a_thousand_links(service: MemoryService) -> None:
    drafts = [Draft(f"state {n}") for n in range(1001)]
    ids = [
        r.memory.id
        for part in (drafts[:1000], drafts[1000:])
        for r in service.add_many(part, ME)
        if isinstance(r, Added)
    ]
    links = [{"op": "edit", "id": newer, "supersedes": older} for older, newer in pairwise(ids[:999])]
    service.batch(links, ME)
    began = time.perf_counter()
    found = service.chain(ids[500], ME)
    assert time.perf_counter() - began < 2
    assert [m.id for m in found.members] == ids[:999]
    assert (found.current, found.cut) == (ids[998], False)
    service.batch([{"op": "edit", "id": ids[999], "supersedes": ids[998]}], ME)
    assert not service.chain(ids[0], ME).cut
    service.batch([{"op": "edit", "id": ids[1000], "supersedes": ids[999]}], ME)
    found = service.chain(ids[0], ME)
    assert found.cut
    assert len(found.members) == 1000


def test_hidden_members_are_left_out(service: MemoryService) -> None:
    a = add(service, "seen", tags=("work",))
    b = add(service, "hidden", a, tags=("private",))
    scoped = replace(ME, client="cursor", tags=("work",))
    assert [m.id for m in service.chain(a, scoped).members] == [a]
    assert service.get(a, scoped).superseded_by is None
    assert service.get(a, ME).superseded_by == b


def test_a_search_names_no_older_one_that_is_hidden(recall: Recall) -> None:
    (older,) = recall.add("the plan of Tuesday", tags=("private",))
    recall.add("the plan of Wednesday", tags=("work",), supersedes=older)
    for actor, named in ((ME, older), (replace(ME, client="cursor", tags=("work",)), None)):
        (first, *_) = recall.service.search(SearchQuery("Wednesday"), actor).hits
        assert (first.memory.content, first.memory.supersedes) == ("the plan of Wednesday", named)


def test_only_what_stands_supersedes(service: MemoryService) -> None:
    a = add(service, "first")
    b = add(service, "second", a)
    assert service.get(a, ME).superseded_by == b
    service.edit(b, {"state": "archived"}, ME)
    assert service.get(a, ME).superseded_by is None
    service.edit(b, {"state": "active", "expires_at": "2020-01-01"}, ME)
    assert service.get(a, ME).superseded_by is None
    assert "superseded_by" not in service.get(a, ME).as_dict()


@given(st.lists(st.tuples(st.none() | st.integers(0, 9), st.booleans()), min_size=1, max_size=10), st.integers(0, 9))
def test_any_links_are_put_in_order(links: list[tuple[int | None, bool]], asked: int) -> None:
    members = {
        str(n): Memory(
            str(n), "text", supersedes=None if link is None else str(link), deleted=deleted, created_at=f"{n}"
        )
        for n, (link, deleted) in enumerate(links)
    }
    ordered = _ordered(members)
    assert sorted(m.id for m in ordered) == sorted(members)
    place = {m.id: n for n, m in enumerate(ordered)}

    def circular(id: str) -> bool:
        seen: set[str] = set()
        while (link := members[id].supersedes) in members and id not in seen:
            seen.add(id)
            id = str(link)
        return id in seen

    for memory in ordered:
        if memory.supersedes in members and not circular(memory.id):
            assert place[str(memory.supersedes)] < place[memory.id]
    current = _current(ordered, str(asked % len(links)))
    assert current is None or not members[current].deleted
    if not members[str(asked % len(links))].deleted:
        assert current is not None
