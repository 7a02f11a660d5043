from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Invalid, NotFound, Refused
from jmem.core.filter import Filter
from jmem.core.model import iso, now_iso
from jmem.core.query import SearchQuery

ME = Actor("cli")
Open = Callable[..., Any]


def moment() -> str:
    """Now, with every op before it and every op after it in another millisecond."""
    time.sleep(0.003)
    at = now_iso()
    time.sleep(0.003)
    return at


def found(recall: Any, query: str, as_of: str | None = None, **options: Any) -> list[tuple[str, float]]:
    filter = Filter(**{k: options.pop(k) for k in list(options) if k in Filter.__dataclass_fields__})
    outcome = recall.service.search(SearchQuery(query, filter=filter, as_of=as_of, **options), ME)
    assert outcome.degraded is None
    return [(hit.memory.content, hit.score) for hit in outcome.hits]


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
def test_a_search_as_of_a_moment_answers_as_it_did_then(recall: Any, mode: str) -> None:
    notes = [f"note {n} about {word}" for n, word in enumerate(["apples", "bread", "cheese", "dates", "eggs"] * 4)]
    ids = recall.add(*notes)
    queries = ("note about cheese", "eggs", "apples and bread")
    before = [dict(found(recall, query, mode=mode, limit=50)) for query in queries]
    then = moment()
    recall.service.edit(ids[2], {"content": "a text on something else entirely"}, ME)
    recall.service.edit(ids[3], {"tags": ["fruit"]}, ME)
    recall.service.edit(ids[4], {"state": "archived"}, ME)
    recall.service.delete(ids[7], ME)
    recall.add("note about cheese, quite new")
    assert recall.indexer.wait_idle(30)
    after = [dict(found(recall, query, then, mode=mode, limit=50)) for query in queries]
    for old, new in zip(before, after, strict=True):
        assert old.keys() == new.keys()
        assert all(abs(old[text] - new[text]) < (0.01 if mode == "vector" else 0.2) for text in old)
    assert next(iter(after[0])).endswith("cheese")
    assert dict(found(recall, "note about cheese", mode=mode, limit=50)).keys() != before[0].keys()


def test_a_word_that_is_in_no_text_any_more_finds_the_text_it_was_in(recall: Any) -> None:
    (id,) = recall.add("the password hint is zanzibar")
    recall.add(*(f"filler number {n}" for n in range(20)))
    then = moment()
    recall.service.edit(id, {"content": "the hint was changed"}, ME)
    assert recall.indexer.wait_idle(30)
    assert "zanzibar" not in str(found(recall, "zanzibar", mode="text"))
    assert found(recall, "zanzibar", then, mode="text")[0][0] == "the password hint is zanzibar"
    hit = recall.service.search(SearchQuery("zanzibar", as_of=then, explain=True), ME).hits[0]
    assert hit.memory.content == "the password hint is zanzibar"
    assert hit.explain["vector"]["score"] > 0.3  # by the vector of that text, which is kept


def test_vectors_of_earlier_texts_are_made_when_they_are_missing(recall: Any) -> None:
    (id,) = recall.add("green bicycle in the cellar")
    then = moment()
    recall.service.edit(id, {"content": "sold"}, ME)
    assert recall.indexer.wait_idle(30)
    recall.vectors.clear(recall.embedder.fingerprint)
    recall.embedder.texts.clear()
    for _ in range(2):
        hit = recall.service.search(SearchQuery("bicycle", as_of=then, explain=True), ME).hits[0]
        assert hit.explain["vector"]["score"] > 0.3
    assert recall.embedder.texts.count("green bicycle in the cellar") == 1


def test_context_is_that_of_then(recall: Any) -> None:
    texts = ("we met at the lake", "it was cold", "then we left", "nothing more")
    ids = recall.add(*texts, thread="trip")
    then = moment()
    recall.service.edit(ids[0], {"content": "we met at the harbour"}, ME)
    recall.service.delete(ids[3], ME)
    recall.add("a late word on oranges", thread="trip")
    assert recall.indexer.wait_idle(30)
    assert [text for text, _ in found(recall, "lake", then, mode="text")] == list(texts[:3])
    assert found(recall, "harbour", then, mode="text") == []
    assert found(recall, "oranges", then, mode="text") == []
    assert {text for text, _ in found(recall, "nothing", then, mode="text")} == set(texts[2:])


def test_filters_and_expiry_hold_as_of_then(recall: Any) -> None:
    soon = time.time_ns() // 1_000_000 + 1500
    recall.add("valid for a moment", expires_at=iso(soon), tags=("x",))
    (id,) = recall.add("valid for good", tags=("x",))
    then = moment()
    recall.service.edit(id, {"remove_tags": ["x"]}, ME)
    deadline = time.monotonic() + 10
    while found(recall, "valid") != [pair for pair in found(recall, "valid") if "good" in pair[0]]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert {text for text, _ in found(recall, "valid", then, tags=("x",))} == {"valid for a moment", "valid for good"}
    assert found(recall, "valid", tags=("x",)) == []
    lapsed = recall.service.list(Filter(states=(), lapsed=True), ME).memories
    assert [memory.content for memory in lapsed] == ["valid for a moment"]
    assert recall.service.list(Filter(states=(), lapsed=True), ME, as_of=then).memories == []


def test_a_successor_counts_as_of_then(recall: Any) -> None:
    (old,) = recall.add("the office is in Lyon")
    first = moment()
    new = recall.service.add(Draft("the office is in Nantes", supersedes=old), ME).memory.id
    assert recall.indexer.wait_idle(30)
    second = moment()
    recall.service.delete(new, ME)
    assert recall.service.get(old, ME).superseded_by is None
    assert recall.service.get(old, ME, as_of=first).superseded_by is None
    assert recall.service.get(old, ME, as_of=second).superseded_by == new
    listed = {m.id: m.superseded_by for m in recall.service.list(Filter(), ME, as_of=second).memories}
    assert listed == {old: new, new: None}
    hits = recall.service.search(SearchQuery("where is the office", as_of=second), ME).hits
    assert [(hit.memory.id, hit.memory.superseded_by) for hit in hits] == [(new, None), (old, new)]


def test_pages_go_on_at_the_moment_of_the_first(recall: Any) -> None:
    service = recall.service
    ids = recall.add(*(f"entry {n}" for n in range(9)))
    then = moment()
    service.delete(ids[:2], ME)
    service.edit(ids[4], {"content": "changed"}, ME)
    for sort in ("-created", "created", "-updated", "occurred"):
        shown, cursor = [], None
        while True:
            page = service.list(
                Filter(), ME, limit=2, cursor=cursor, sort=sort, as_of=then if cursor is None else now_iso()
            )
            shown += page.memories
            cursor = page.next_cursor
            if cursor is None:
                break
        assert [m.id for m in shown] == (ids[::-1] if sort.startswith("-") else ids)
        assert {m.content for m in shown} == {f"entry {n}" for n in range(9)}
    page = service.list(Filter(), ME, limit=3, offset=4, as_of=then)
    assert [m.id for m in page.memories] == ids[::-1][4:7]
    ordinary = service.list(Filter(), ME, limit=2).next_cursor
    with pytest.raises(Invalid) as caught:
        service.list(Filter(), ME, cursor=ordinary, as_of=then)
    assert caught.value.code == "bad_cursor"


def test_what_is_not_there_then(recall: Any) -> None:
    before = moment()
    (id,) = recall.add("a secret to be forgotten")
    then = moment()
    with pytest.raises(NotFound, match="not there yet"):
        recall.service.get(id, ME, as_of=before)
    recall.service.delete(id, ME)
    later = moment()
    with pytest.raises(NotFound, match="deleted then"):
        recall.service.get(id, ME, as_of=later)
    assert recall.service.get(id, ME, as_of=then).content == "a secret to be forgotten"
    for _ in range(2):
        assert [text for text, _ in found(recall, "secret", then)] == ["a secret to be forgotten"]
    recall.service.purge(id, ME)
    assert found(recall, "secret", then) == []
    assert recall.service.list(Filter(), ME, as_of=then).memories == []
    with pytest.raises(NotFound, match="forgotten"):
        recall.service.get(id, ME, as_of=then)
    assert recall.service.changes(ME, before)[0] == []


def test_a_program_with_some_tags_may_not_look_back(recall: Any) -> None:
    (id,) = recall.add("private then", tags=("private",))
    then = moment()
    recall.service.edit(id, {"tags": ["work"]}, ME)
    scoped = replace(ME, client="cursor", tags=("work",))
    asks: tuple[Callable[[], object], ...] = (
        lambda: recall.service.get(id, scoped, as_of=then),
        lambda: recall.service.list(Filter(), scoped, as_of=then),
        lambda: recall.service.count(Filter(), scoped, as_of=then),
        lambda: recall.service.search(SearchQuery("private", as_of=then), scoped),
        lambda: recall.service.changes(scoped, then),
    )
    for ask in asks:
        with pytest.raises(Refused):
            ask()


def test_changes_of_one_program_and_one_memory(recall: Any) -> None:
    since = moment()
    (id, other) = recall.add("first", "second")
    cursor = Actor("cursor")
    recall.service.edit(id, {"content": "first, corrected"}, cursor)
    recall.service.edit(other, {"tags": ["t"]}, ME)
    recall.service.edit(other, {"tags": []}, ME)
    middle = moment()
    recall.service.edit(other, {"tags": ["t"]}, ME)
    recall.service.edit(other, {"tags": []}, ME)  # nothing is left of it
    by_cursor, _ = recall.service.changes(ME, since, client="cursor")
    assert [(c.id, c.kind, c.clients) for c in by_cursor] == [(id, "added", ("cli", "cursor"))]
    assert by_cursor[0].after is not None
    assert by_cursor[0].after["content"] == "first, corrected"
    assert [c.id for c in recall.service.changes(ME, since, id=other[-8:])[0]] == [other]
    assert recall.service.changes(ME, middle)[0] == []
    recall.service.delete(id, ME)
    recall.service.restore(id, ME)
    recall.service.delete(other, ME)
    end = moment()
    (gone,), _ = recall.service.changes(ME, middle)
    assert (gone.kind, gone.content, gone.after) == ("deleted", "second", None)
    recall.service.restore(other, ME)
    assert [c.kind for c in recall.service.changes(ME, end)[0]] == ["restored"]
    assert recall.service.changes(ME, middle)[0] == []
    assert [c.kind for c in recall.service.changes(ME, middle, until=end)[0]] == ["deleted"]
