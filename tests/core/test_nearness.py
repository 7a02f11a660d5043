"""Near duplicates: what is found, in which steps, how two become one, and what is noted as no duplicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jmem.core import nearness, pairs
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.errors import Conflict, Invalid, NotFound, Refused
from jmem.core.model import Memory
from jmem.core.nearness import Nearness
from jmem.core.service import MemoryService
from jmem.core.words import words

ME = Actor("cli")
OTHERS = [f"entry {n} about {n * 7919} things and {n * 104729} others" for n in range(40)]


@pytest.fixture
def near(recall: Any) -> Any:
    recall.service.nearness = Nearness(recall.store, recall.vectors, recall.index)
    return recall


def scan(service: MemoryService, *, least: float = 0.9, limit: int = 50) -> list[nearness.Pair]:
    """All pairs, page by page."""
    pairs: list[nearness.Pair] = []
    cursor, done = None, 0
    while True:
        found = service.duplicates(ME, limit=limit, least=least, cursor=cursor)
        assert len(found.pairs) <= limit
        assert done <= found.scanned <= found.total
        pairs += found.pairs
        done, cursor = found.scanned, found.next_cursor
        if cursor is None:
            assert found.scanned == found.total
            return pairs


def texts(pairs: list[nearness.Pair]) -> list[tuple[str, str]]:
    return [(pair.a.content, pair.b.content) for pair in pairs]


def test_pairs_in_steps_of_any_size(near: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    near.add("we deploy the site every tuesday at ten", *OTHERS)
    near.add("every tuesday at ten we deploy the site", "a red house", "a house, red")
    expected = [
        ("a house, red", "a red house"),
        ("every tuesday at ten we deploy the site", "we deploy the site every tuesday at ten"),
    ]
    pairs = scan(near.service, least=0.99)
    assert texts(pairs) == expected
    assert {pair.by for pair in pairs} == {"meaning"}
    assert [pair.same_words for pair in pairs] == [1.0, 1.0]
    every = scan(near.service, least=0.7)
    monkeypatch.setattr(nearness, "BLOCK", 8)
    assert texts(scan(near.service, least=0.7, limit=1)) == texts(every)
    assert len(every) > len(expected)
    monkeypatch.setattr(nearness, "SECONDS", 0.0)
    monkeypatch.setattr(nearness, "TILE", 5)
    assert texts(scan(near.service, least=0.7)) == texts(every)


def test_equal_texts_make_a_chain(near: Any) -> None:
    for thread in range(6):
        near.add("the very same words", thread=str(thread))
    near.service.add(Draft(content="the very same words", speaker="Ana"), ME)
    assert near.indexer.wait_idle(30)
    pairs = [pair for pair in scan(near.service) if pair.a.speaker is None]
    assert [(pair.a.thread, pair.b.thread) for pair in pairs] == [
        ("5", "4"),
        ("4", "3"),
        ("3", "2"),
        ("2", "1"),
        ("1", "0"),
    ]


def test_by_words_without_vectors(service: MemoryService) -> None:
    service.add(Draft(content="Prefers short answers without any preamble"), ME)
    service.add(Draft(content="Prefers short answers, without preamble"), ME)
    service.add(Draft(content="Something else entirely"), ME)
    (pair,) = scan(service)
    assert pair.by == "words"
    assert pair.score == pair.same_words > 0.8
    (one,) = service.similar(pair.b.id, ME)
    assert (one.a, one.b, one.by) == (pair.b, pair.a, "words")
    assert scan(service, least=1.0) == scan(service, least=0.95)


def test_what_is_written_between_steps(near: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearness, "BLOCK", 1)
    monkeypatch.setattr(nearness, "SECONDS", 0.0)
    old = near.add("a red house", "a green tree", "tree, a green")
    near.add("house, a red")
    first = near.service.duplicates(ME)
    assert texts(list(first.pairs)) == [("house, a red", "a red house")]
    near.service.edit(old[1], {"content": "nothing of the kind"}, ME)
    near.add("tree, green, a")
    rest = near.service.duplicates(ME, cursor=first.next_cursor)
    while rest.next_cursor:
        assert rest.pairs == []
        rest = near.service.duplicates(ME, cursor=rest.next_cursor)
    assert texts(scan(near.service)) == [("tree, green, a", "tree, a green"), ("house, a red", "a red house")]


def test_the_nearest_of_one(near: Any) -> None:
    ids = near.add("a red house", "a house, red", "house a house red", *OTHERS)
    found = near.service.similar(ids[0], ME, least=0.8)
    assert [pair.b.content for pair in found] == ["a house, red", "house a house red"]
    assert found[0].score >= found[1].score
    assert len(near.service.similar(ids[0], ME, least=0.8, limit=1)) == 1
    near.service.delete(ids[1], ME)
    assert [pair.b.id for pair in near.service.similar(ids[0], ME, least=0.8)] == [ids[2]]
    with pytest.raises(NotFound):
        near.service.similar(ids[1], ME)
    near.service.edit(ids[2], {"tags": ["work"]}, ME)
    assert near.service.similar(ids[2], Actor("claude", tags=("work",), owner=False), least=0.8) == []
    with pytest.raises(Refused):
        near.service.duplicates(Actor("claude", tags=("work",)))


@pytest.mark.parametrize("least", [0.49, 1.01, float("nan"), float("inf")])
def test_least_is_checked(service: MemoryService, least: float) -> None:
    with pytest.raises(Invalid, match="least"):
        service.duplicates(ME, least=least)


def test_a_cursor_of_something_else(service: MemoryService) -> None:
    with pytest.raises(Invalid, match="cursor"):
        service.duplicates(ME, cursor="nonsense")


def test_no_duplicates_until_a_text_changes(near: Any) -> None:
    a, b = near.add("a red house", "house, a red")
    assert near.service.set_distinct(a[-8:], b, ME) == (a, b)
    assert scan(near.service) == []
    near.service.edit(a, {"tags": ["home"]}, ME)
    assert scan(near.service) == []
    near.service.set_distinct(b, a, ME, distinct=False)
    assert len(scan(near.service)) == 1
    near.service.set_distinct(b, a, ME)
    near.service.edit(a, {"content": "a red, red house"}, ME)
    assert near.indexer.wait_idle(30)
    assert len(scan(near.service, least=0.8)) == 1
    with pytest.raises(Invalid, match="one memory"):
        near.service.set_distinct(a, a[-8:], ME)


def pair_of(service: MemoryService, **second: Any) -> tuple[str, str]:
    first = service.add(Draft(content="a red house", tags=("home",), metadata={"k": 1, "only": "a"}), ME).memory.id
    return first, service.add(Draft(content="the red house", **second), ME).memory.id


def test_merge_is_one_action(service: MemoryService) -> None:
    a, b = pair_of(service, tags=("red", "home"), metadata={"k": 2, "more": True})
    before = (service.get(a, ME), service.get(b, ME))
    merged = service.merge(
        a, b, ME, content="The house is red", expected=before[0].version, expected_other=before[1].version
    )
    assert merged.deleted == b
    kept = service.get(a, ME)
    assert (kept.content, kept.tags) == ("The house is red", ("home", "red"))
    assert kept.metadata == {"k": 1, "only": "a", "more": True}
    assert kept.supersedes == b
    assert [memory.id for memory in service.chain(a, ME).members] == [b, a]
    with pytest.raises(NotFound):
        service.get(b, ME)
    assert service.log(ME)[0][0].kind == "merge"
    service.undo(ME)
    for was in before:
        now = service.get(was.id, ME)
        assert (now.content, now.tags, now.metadata, now.supersedes) == (was.content, was.tags, was.metadata, None)
    service.undo(ME, redo=True)
    assert service.get(a, ME).content == "The house is red"


def test_merge_without_a_text_keeps_it(service: MemoryService) -> None:
    a, b = pair_of(service, supersedes=None)
    service.edit(b, {"supersedes": a}, ME)
    kept = service.merge(a, b, ME).memory
    assert (kept.content, kept.supersedes) == ("a red house", None)


def test_merge_changes_nothing_where_it_can_not(service: MemoryService) -> None:
    a, b = pair_of(service)
    version = service.get(b, ME).version
    service.edit(b, {"tags": ["new"]}, ME)
    with pytest.raises(Conflict) as changed:
        service.merge(a, b, ME, content="x", expected_other=version)
    assert changed.value.code == "changed"
    with pytest.raises(Conflict):
        service.merge(a, b, ME, content="x", expected=version)
    with pytest.raises(Invalid, match="one memory"):
        service.merge(a, a, ME)
    private = service.add(Draft(content="a house that is red", privacy="local"), ME).memory.id
    with pytest.raises(Invalid) as leak:
        service.merge(a, private, ME)
    assert leak.value.code == "privacy_differs"
    assert service.get(a, ME).content == "a red house"
    assert service.get(b, ME).tags == ("new",)
    assert service.merge(private, a, ME).deleted == a


def test_a_whole_store_with_the_model(open_recall: Callable[..., Any], model: Any) -> None:
    recall = open_recall(model)
    recall.service.nearness = Nearness(recall.store, recall.vectors, recall.index)
    recall.add(
        "The user's favourite editor is Neovim with the LazyVim setup.", "Anna is allergic to peanuts.",
        "User lives in Berlin, Germany", "We deploy to production every Tuesday at 10.",
    )  # fmt: skip
    recall.add("User prefers Neovim (LazyVim) as the editor.", "Anna has a peanut allergy.", "User moved to Munich in May 2024",
               "User lives in Berlin")  # fmt: skip
    assert [pair.a.content for pair in scan(recall.service)] == [
        "User lives in Berlin", "Anna has a peanut allergy.", "User prefers Neovim (LazyVim) as the editor."
    ]  # fmt: skip


def test_what_is_no_duplicate_is_not_near_either(near: Any) -> None:
    a, b = near.add("a red house", "house, a red")
    assert [pair.b.id for pair in near.service.similar(a, ME)] == [b]
    near.service.set_distinct(a, b, ME)
    assert near.service.similar(a, ME) == []


def test_only_texts_of_pairs_that_are_told_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def counted(text: str) -> Any:
        compared.append(text)
        return words(text)

    monkeypatch.setattr(pairs, "words", counted)
    a = Memory("a", "the newest", created_at="9")
    others = {f"{n:02}": Memory(f"{n:02}", f"text {n}", created_at=f"{n:02}") for n in range(40)}
    found = {id: (0.9 + (id in ("07", "31")) * 0.05, "meaning") for id in others}
    told = pairs.of_one(a, found, others, frozenset({frozenset(("a", "39"))}))
    assert [(pair.b.id, pair.score, pair.place.given) for pair in told] == [
        ("31", 0.95, 0),
        ("07", 0.95, 1),
        ("38", 0.9, 2),
    ]
    assert set(compared) == {a.content, *(pair.b.content for pair in told)}
