from __future__ import annotations

import random

import pytest

from jmem.core import texts as text
from jmem.core.model import now_iso
from jmem.core.service import Actor, Draft, MemoryService
from jmem.core.store import fts
from tests.core.conftest import User

ME = Actor("cli")


def turn(service: MemoryService, word: str, day: int, **more) -> str:
    draft = Draft(word, thread=more.pop("thread", "t"), occurred_at=f"2023-05-{day:02d}T10:00:00Z", **more)
    return service.add(draft, ME).memory.id


def check(user: User) -> None:
    assert user.store.write(lambda tx: fts.check(tx.conn)) == []


def words(context: str | None) -> list[str]:
    assert context is not None
    return [line.split("] ")[-1] for line in context.splitlines()]


@pytest.fixture
def ids(user: User) -> dict[str, str]:
    return {w: turn(user.service, w, day) for day, w in enumerate(("one", "two", "three", "four", "five"), 1)}


def test_the_text_has_the_date_in_words_the_speaker_and_the_tags(user: User):
    id = turn(user.service, "went hiking", 8, speaker="Ann", tags=("sport", "outdoor life"))
    for query in ('"08 May 2023"', "ann", "hike", "outdoor", "text : went"):
        assert user.texts(query) == [id], query
    assert text.date_words(None) == ""
    assert text.date_words("2023-12-31T23:00:00.000Z") == "31 December 2023"


def test_context_is_two_before_and_one_after(user: User, ids: dict[str, str]):
    assert words(user.context(ids["one"])) == ["two"]
    assert words(user.context(ids["two"])) == ["one", "three"]
    assert words(user.context(ids["four"])) == ["two", "three", "five"]
    assert words(user.context(ids["five"])) == ["three", "four"]
    assert user.texts("context : four") == sorted([ids["three"], ids["five"]])


def test_another_thread_and_no_thread_give_no_context(user: User, ids: dict[str, str]):
    other = turn(user.service, "other", 3, thread="u")
    none = user.service.add(Draft("alone", occurred_at="2023-05-03T10:00:00Z"), ME).memory.id
    assert user.context(other) == ""
    assert user.context(none) == ""
    assert words(user.context(ids["two"])) == ["one", "three"]


def test_a_memory_in_the_middle_joins_its_neighbours(user: User, ids: dict[str, str]):
    middle = user.service.add(Draft("middle", thread="t", occurred_at="2023-05-02T20:00:00Z"), ME).memory.id
    assert words(user.context(middle)) == ["one", "two", "three"]
    assert words(user.context(ids["two"])) == ["one", "middle"]
    assert words(user.context(ids["three"])) == ["two", "middle", "four"]
    assert words(user.context(ids["four"])) == ["middle", "three", "five"]
    assert words(user.context(ids["five"])) == ["three", "four"]


HIDING = {
    "delete": lambda s, id: s.delete(id, ME),
    "pause": lambda s, id: s.edit(id, {"state": "paused"}, ME),
    "archive": lambda s, id: s.edit(id, {"state": "archived"}, ME),
    "expire": lambda s, id: s.edit(id, {"expires_at": "2999-01-01"}, ME),
    "move": lambda s, id: s.edit(id, {"thread": "u"}, ME),
    "leave": lambda s, id: s.edit(id, {"thread": None}, ME),
    "purge": lambda s, id: s.purge(id, ME),
    "edit": lambda s, id: s.edit(id, {"content": "changed"}, ME),
    "batch": lambda s, id: s.batch([{"op": "delete", "id": id}], ME),
}


@pytest.mark.parametrize("how", HIDING)
def test_what_is_hidden_leaves_every_context_at_once(user: User, ids: dict[str, str], how: str):
    HIDING[how](user.service, ids["three"])
    assert user.texts("context : three") == []
    if how != "edit":
        assert words(user.context(ids["four"])) == ["one", "two", "five"]
        assert words(user.context(ids["two"])) == ["one", "four"]
    check(user)


def test_what_comes_back_is_context_again(user: User, ids: dict[str, str]):
    user.service.delete(ids["three"], ME)
    user.service.restore(ids["three"], ME)
    assert words(user.context(ids["four"])) == ["two", "three", "five"]
    user.service.edit(ids["three"], {"state": "paused"}, ME)
    user.service.undo(ME)
    assert words(user.context(ids["four"])) == ["two", "three", "five"]
    check(user)


def test_an_expired_memory_gives_no_context_and_its_text_is_found_only_by_itself(user: User, ids: dict[str, str]):
    late = turn(user.service, "soon", 6, expires_at=now_iso())
    assert user.context(late) == ""
    assert words(user.context(ids["five"])) == ["three", "four"]


def test_moving_in_time_moves_the_context(user: User, ids: dict[str, str]):
    user.service.edit(ids["one"], {"occurred_at": "2023-05-30T10:00:00Z"}, ME)
    assert words(user.context(ids["one"])) == ["four", "five"]
    assert words(user.context(ids["two"])) == ["three"]
    assert words(user.context(ids["five"])) == ["three", "four", "one"]
    check(user)


def test_a_long_neighbour_is_cut(user: User):
    turn(user.service, "long " * 1000, 1)
    id = turn(user.service, "short", 2)
    assert len(user.context(id) or "") == text.CONTEXT_CHARS


def test_a_whole_conversation_in_one_commit(user: User):
    days = list(range(1, 29))
    random.Random(5).shuffle(days)
    drafts = [Draft(f"turn{day}", thread="t", occurred_at=f"2023-05-{day:02d}T10:00:00Z") for day in days]
    added = user.service.add_many(drafts, ME)
    ids = {day: a.memory.id for day, a in zip(days, added, strict=True)}
    for day in (1, 2, 10, 28):
        near = [d for d in (day - 2, day - 1, day + 1) if 1 <= d <= 28]
        assert words(user.context(ids[day])) == [f"turn{d}" for d in near]
    check(user)


@pytest.mark.parametrize("seed", range(6))
def test_changes_all_over_a_thread_in_one_commit(user: User, seed: int):
    rng = random.Random(seed)

    def place() -> dict[str, str]:
        return {"thread": rng.choice("tu"), "occurred_at": f"2023-05-{rng.randint(1, 28):02d}T10:00:00Z"}

    held = [a.memory.id for a in user.service.add_many([Draft(f"n{n}", **place()) for n in range(40)], ME)]
    for _ in range(4):
        steps: list[dict[str, object]] = [{"op": "add", "content": f"n{rng.random()}", **place()} for _ in range(3)]
        for id in rng.sample(held, 9):
            change = rng.choice([place(), {"state": "paused"}, {"content": f"n{rng.random()}"}, {"thread": None}])
            steps.append(rng.choice([{"op": "delete", "id": id}, {"op": "edit", "id": id, **change}]))
        done = user.service.batch(steps, ME)
        assert all(one.error is None for one in done)
        gone = {step["id"] for step in steps if step["op"] == "delete"}
        held = sorted({id for id in held if id not in gone} | {one.memory.id for one in done[:3] if one.memory})
        threads: dict[object, list[tuple[str, str, str]]] = {}
        for id in held:
            memory = user.service.get(id, ME)
            if memory.state == "active":
                assert memory.occurred_at is not None
                threads.setdefault(memory.thread, []).append((memory.occurred_at, id, memory.content))
        for thread, turns in threads.items():
            said = [content for *_, content in sorted(turns)]
            for n, (_, id, _) in enumerate(sorted(turns)):
                near = said[max(0, n - 2) : n] + said[n + 1 : n + 2] if thread else []
                assert words(user.context(id)) == near
        check(user)


def test_deleted_and_changed_text_is_found_no_more(user: User):
    id = user.service.add(Draft("zebra crossing", tags=("stripes",)), ME).memory.id
    user.service.edit(id, {"content": "pelican", "tags": []}, ME)
    assert user.texts("zebra OR stripes") == []
    assert user.texts("pelican") == [id]
    user.service.delete(id, ME)
    assert user.texts("pelican") == []
    check(user)


def test_the_index_is_rebuilt_and_its_faults_are_named(user: User, ids: dict[str, str]):
    def damage(tx) -> None:
        tx.conn.execute("UPDATE memory_fts SET text = 'wrong' WHERE rowid = 1")
        tx.conn.execute("DELETE FROM memory_fts WHERE rowid = 2")
        tx.conn.execute("INSERT INTO memory_fts (rowid, text, context) VALUES (99, 'ghost', '')")

    user.store.write(damage)
    found = user.store.write(lambda tx: fts.check(tx.conn))
    assert len(found) == 3
    assert user.store.rebuild_fts() == 5
    check(user)
    assert words(user.context(ids["four"])) == ["two", "three", "five"]


def test_segments_are_merged_while_nobody_waits(user: User):
    for n in range(80):
        user.service.add(Draft(f"memory number {n}"), ME, similar=False)
    user.store.outside(lambda conn: None)
    with user.store.reader() as conn:
        (segments,) = conn.execute("SELECT COUNT(DISTINCT segid) FROM memory_fts_idx").fetchone()
    assert segments <= 24
    assert len(user.texts("memory")) == 80
