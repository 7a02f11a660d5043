from __future__ import annotations

import base64

import pytest

from jmem.core import idparts
from jmem.core.errors import Ambiguous, Invalid, NotFound
from jmem.core.filter import Filter
from jmem.core.listing import RARE
from jmem.core.paging import encode_cursor
from jmem.core.service import Actor, Draft, MemoryService
from tests.core.conftest import User

ME = Actor("cli")


def put(user: User, id: str, text: str) -> str:
    from jmem.core.store import oplog

    user.store.write(lambda tx: oplog.write(tx, oplog.begin_action(tx, "cli", "add"), id, {"content": text}, "cli"))
    return id


# ---- pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["-created", "created", "-updated", "updated", "-occurred", "occurred"])
def test_pages_hold_every_memory_once_in_order(service: MemoryService, sort: str):
    days = [5, 3, 3, 9, 1, 7, 2]  # equal values too
    for n, day in enumerate(days):
        service.add(
            Draft(f"m{n}", created_at=f"2023-01-{day:02d}", occurred_at=f"2022-01-{10 - day:02d}" if n % 2 else None),
            ME,
        )
    service.edit(service.list(Filter(), ME, limit=1).memories[0].id, {"content": "changed"}, ME)
    key = {
        "created": lambda m: m.created_at,
        "updated": lambda m: m.updated_at,
        "occurred": lambda m: m.occurred_at or m.created_at,
    }
    seen, cursor = [], None
    while True:
        page = service.list(Filter(), ME, limit=2, cursor=cursor, sort=sort)
        seen += page.memories
        cursor = page.next_cursor
        if cursor is None:
            break
    by = key[sort.removeprefix("-")]
    assert len({m.id for m in seen}) == len(days) == len(seen)
    assert seen == sorted(seen, key=lambda m: (by(m), m.id), reverse=sort.startswith("-"))


def test_what_is_added_meanwhile_does_not_shift_pages(service: MemoryService):
    for n in range(4):
        service.add(Draft(f"m{n}"), ME)
    first = service.list(Filter(), ME, limit=2)
    service.add(Draft("newest"), ME)
    second = service.list(Filter(), ME, limit=2, cursor=first.next_cursor)
    assert [m.content for m in (*first.memories, *second.memories)] == ["m3", "m2", "m1", "m0"]


def test_the_last_page_has_no_cursor(service: MemoryService):
    for n in range(4):
        service.add(Draft(f"m{n}"), ME)
    assert service.list(Filter(), ME, limit=4).next_cursor is None
    assert service.list(Filter(), ME, limit=3).next_cursor is not None


def test_a_cursor_belongs_to_its_sort(service: MemoryService):
    for n in range(3):
        service.add(Draft(f"m{n}"), ME)
    cursor = service.list(Filter(), ME, limit=1).next_cursor
    assert cursor is not None
    for bad in ({"cursor": cursor, "sort": "created"}, {"cursor": "x"}, {"cursor": "é"}, {"cursor": cursor[:-3]}, {"cursor": ""},
                {"sort": "size"}, {"limit": 0}, {"limit": 1001}, {"limit": True}):  # fmt: skip
        with pytest.raises(Invalid):
            service.list(Filter(), ME, **bad)


def test_filters_together(service: MemoryService):
    a = service.add(
        Draft("a", tags=("x", "y"), client="claude", thread="t", source="s", occurred_at="2023-05-08T00:00:00Z"), ME
    )
    b = service.add(Draft("b", tags=("x",), privacy="local", occurred_at="2023-05-09T00:00:00Z"), ME)

    def found(**conditions) -> str:
        return "".join(m.content for m in service.list(Filter(**conditions), ME, sort="created").memories)

    assert a.memory.created_at <= b.memory.created_at
    assert found(tags=("x",)) == "ab"
    assert found(tags=("x", "y")) == "a"
    assert found(clients=("claude",)) == "a"
    assert found(clients=("claude", "cli")) == "ab"
    assert found(privacy="local") == "b"
    assert found(privacy="synced") == "a"
    assert found(privacy="neither") == ""
    assert found(thread="t") == found(source="s") == "a"
    assert found(since="2023-05-09T00:00:00.000Z") == "b"
    assert found(until="2023-05-09T00:00:00.000Z") == "a"
    assert found(since="2023-05-08T00:00:00.000Z", until="2023-05-10T00:00:00.000Z", tags=("y",)) == "a"
    assert found(visible=("y", "z")) == "a"
    assert found(visible=()) == ""


def test_common_tags_and_long_spans_are_walked_in_order(service: MemoryService, monkeypatch: pytest.MonkeyPatch):
    for n in range(8):
        service.add(Draft(f"m{n}", tags=("x",), occurred_at=f"2023-01-0{n + 1}"), ME)
    expected = service.list(Filter(tags=("x",), since="2023"), ME).memories
    monkeypatch.setattr("jmem.core.listing.RARE", 3)
    assert RARE > 3
    assert service.list(Filter(tags=("x",), since="2023"), ME).memories == expected
    assert len(expected) == 8


# ---- ids --------------------------------------------------------------------------------------

A = "0199f3a1-c2d4-7b3e-9c1a-0123456789ab"
B = "0199f3a1-c2d4-7b3e-9c1a-ffff456789ab"
C = "0199f3a1-c2d5-7b3e-9c1a-aaaa11112222"


@pytest.fixture
def three(user: User) -> MemoryService:
    for id, text in ((A, "alpha"), (B, "beta"), (C, "gamma")):
        put(user, id, text)
    return user.service


@pytest.mark.parametrize(("part", "text"), [
    (A, "alpha"), (A.upper(), "alpha"), ("0123456789ab", "alpha"), ("3456789ab", "alpha"), ("f456789ab", "beta"), ("2222", "gamma"),
    ("0199f3a1-c2d5", "gamma"), ("c2d5", "gamma"), ("9c1a-aaaa", "gamma"), ("9c1aaaaa", "gamma"), ("9c1aaaaa1111", "gamma"),
    ("1a-ffff456789ab", "beta"), (" 0123456789ab ", "alpha"),
])  # fmt: skip
def test_any_unique_part_of_an_id_will_do(three: MemoryService, part: str, text: str):
    assert three.get(part, ME).content == text


@pytest.mark.parametrize(("part", "count"), [("0199", "3"), ("456789ab", "2"), ("9c1a", "3"), ("7b3e-9c1a", "3")])
def test_a_part_of_several_ids_lists_them(three: MemoryService, part: str, count: str):
    with pytest.raises(Ambiguous) as caught:
        three.get(part, ME)
    assert caught.value.status == 409
    assert count in caught.value.message
    assert {c["preview"] for c in caught.value.detail["candidates"]} <= {"alpha", "beta", "gamma"}


@pytest.mark.parametrize("part", ["", "abc", "zzzz", "%%%%", "0123456789ab'", "----", "a-b-", "x" * 40, 5, None])
def test_what_can_be_no_part_of_an_id(three: MemoryService, part):
    with pytest.raises(Invalid) as caught:
        three.get(part, ME)
    assert caught.value.detail["field"] == "id"


def test_no_memory_like_that(three: MemoryService):
    for part in ("ffff", "beef", "0199f3a1-c2d4-7b3e-9c1a-000000000000"):
        if part == "ffff":
            assert three.get(part, ME).content == "beta"
            continue
        with pytest.raises(NotFound):
            three.get(part, ME)


def test_deleted_memories_take_part_only_where_they_are_meant(three: MemoryService):
    three.delete(A, ME)
    assert three.get("456789ab", ME).content == "beta"
    with pytest.raises(Ambiguous):
        three.history("456789ab", ME)


def test_short_ids_are_unique_suffixes(three: MemoryService):
    assert three.short_ids([A, B, C]) == {A: "3456789ab", B: "f456789ab", C: "112222"}
    for id, short in three.short_ids([A, B, C]).items():
        assert three.get(short, ME).id == id


def test_previews_are_one_short_line():
    assert idparts.preview(" a\n\tb ") == "a b"
    assert idparts.preview("x" * 80) == "x" * 80
    assert len(idparts.preview("x" * 81)) == 80
    assert idparts.preview(" " * 400 + "x").endswith("…")


@pytest.mark.parametrize("values", [[2**63, "x"], [-(2**70), "x"], ["\ud800", "x"]])
def test_a_cursor_that_the_database_cannot_take_is_refused(service: MemoryService, values: list[object]):
    with pytest.raises(Invalid) as caught:
        service.list(Filter(), ME, cursor=encode_cursor("-created", *values))
    assert caught.value.code == "bad_cursor"


def test_a_cursor_that_is_nested_too_deeply_is_refused(service: MemoryService):
    with pytest.raises(Invalid) as caught:
        service.list(Filter(), ME, cursor=base64.urlsafe_b64encode(b"[" * 40_000).decode())
    assert caught.value.code == "bad_cursor"
