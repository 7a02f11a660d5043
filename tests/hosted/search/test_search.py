"""Search of an account: what is found, what is not, and what it says when a part of it is away."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from hosted.dev.qdrant.errors import QdrantError
from jmem.core.actor import Actor
from jmem.core.errors import Invalid, Refused
from jmem.core.filter import Filter
from jmem.core.model import new_id, now_iso
from jmem.core.query import SearchQuery
from tests.hosted.search.conftest import OWNER, Place


async def test_words_and_meaning_find_memories(place: Place) -> None:
    seat = await place.add("I prefer aisle seats on long flights", tags=("travel",))
    nora = await place.add("My sister Nora is allergic to walnuts")
    await place.add("The staging database runs Postgres 15 on port 5433")
    outcome = await place.ask("which seats on flights", explain=True)
    assert (outcome.mode, outcome.degraded, outcome.confident) == ("hybrid", None, True)
    assert outcome.hits[0].memory.id == seat
    told = outcome.hits[0].explain or {}
    assert told["text"]["rank"] == 1
    assert told["vector"]["rank"] == 1
    assert told["terms"] == ["seats", "flights"]
    assert (await place.ids("walnut allergies", mode="text"))[0] == nora  # stems
    assert (await place.ids("sister", mode="vector"))[0] == nora
    assert outcome.hits[0].score >= outcome.hits[-1].score


async def test_a_question_about_nothing_known_is_not_confident(place: Place) -> None:
    await place.add("I prefer aisle seats on long flights")
    outcome = await place.ask("zymurgy quincunx")
    assert not outcome.confident
    assert (await place.ask("zymurgy", mode="text")).hits == []


async def test_what_was_just_written_is_found_before_it_is_indexed(place: Place) -> None:
    await place.drain()
    place.drained = False
    id = await place.add("The spare key lies under the blue pot")
    assert await place.ids("spare key") == [id]


@pytest.mark.parametrize(
    ("content", "query"),
    [
        ("Café Zoë hat geöffnet", "cafe zoe"), ("see /etc/nginx/nginx.conf", "nginx"), ("mail bob@example.com", "example"),
        ("it's Nora's", "nora"), ("ДОМ у моря", "дом"), ("well-known fact", "known"), ("port:5433", "5433"),
        ("x" * 300, "x" * 300), ("a'b\\c\"d&|!():*<->", "b"), ("über ÉCOLE", "ecole"),
    ],
)  # fmt: skip
async def test_words_are_runs_of_letters_and_digits(place: Place, content: str, query: str) -> None:
    id = await place.add(content)
    found = await place.ids(query, mode="text")
    assert found == ([id] if len(query) < 65 else [])  # a word of a question has at most 64 letters


@pytest.mark.parametrize(
    "query", ["'", "\\", "a & ! |", "%_", "NOT", "the of and", "\0x", "\ud800", "(" * 500, "w " * 5000]
)
async def test_no_question_is_syntax(place: Place, query: str) -> None:
    await place.add("plain")
    await place.ask(query)


async def test_dates_and_speakers_are_words(place: Place) -> None:
    id = await place.add("We met at the lake", occurred_at="2023-05-08T10:00:00.000Z", speaker="Caroline")
    await place.add("We met at the lake", occurred_at="2024-01-08T10:00:00.000Z", speaker="Ann")
    assert (await place.ids("what happened in May 2023", mode="text"))[0] == id
    assert (await place.ids("what did Caroline say", mode="text"))[0] == id


async def test_filters_are_inside_both_legs(place: Place) -> None:
    wanted = await place.add("coffee with Bob", tags=("work", "food"), source="mail", thread="t")
    for n in range(130):  # more than either leg's pool
        await place.add(f"coffee coffee with Bob {n}", tags=("other",))
    for mode in ("hybrid", "text", "vector"):
        assert await place.ids("coffee with Bob", mode=mode, tags=("work",)) == [wanted]
        assert await place.ids("coffee with Bob", mode=mode, thread="t") == [wanted]
        assert await place.ids("coffee with Bob", mode=mode, source="mail") == [wanted]
        assert await place.ids("coffee with Bob", mode=mode, tags=("none",)) == []


async def test_states_times_and_expiry(place: Place) -> None:
    old = await place.add("coffee", occurred_at="2020-01-01T00:00:00.000Z")
    archived = await place.add("coffee later", state="archived")
    expired = await place.add("coffee for a day", expires_at="2024-01-01T00:00:00.000Z")
    for mode in ("hybrid", "text", "vector"):
        assert await place.ids("coffee", mode=mode) == [old]
        assert await place.ids("coffee", mode=mode, states=("archived",)) == [archived]
        assert await place.ids("coffee", mode=mode, until="2021-01-01T00:00:00.000Z") == [old]
        assert await place.ids("coffee", mode=mode, since="2021-01-01T00:00:00.000Z") == []
        assert set(await place.ids("coffee", mode=mode, expired=True)) == {old, expired}


async def test_what_is_deleted_or_purged_is_gone_at_once(place: Place) -> None:
    deleted, purged, kept = [await place.add(f"coffee number {n}") for n in range(3)]
    await place.drain()
    place.drained = False  # the index still has all three
    await place.memories.delete(deleted, OWNER)
    await place.memories.purge(purged, OWNER)
    for mode in ("hybrid", "text", "vector"):
        assert await place.ids("coffee number", mode=mode) == [kept]


async def test_a_clients_scope_holds(place: Place) -> None:
    mine = await place.add("coffee at work", tags=("work",))
    hidden = await place.add("coffee at the therapist", tags=("private",), thread="t")
    await place.add("and then we talked", tags=("work",), thread="t")
    claude = Actor("claude", tags=("work",), owner=False)
    for mode in ("hybrid", "text", "vector"):
        assert hidden not in await place.ids("coffee therapist", claude, mode=mode)
    assert (await place.ids("coffee", claude))[0] == mine
    assert await place.ids("therapist", claude, mode="text") == []  # nor by the neighbour in its thread
    assert await place.ids("coffee", Actor("none", tags=(), owner=False)) == []
    with pytest.raises(Refused):
        await place.ids("coffee", Actor("writer", read=False))


async def test_neighbours_in_a_thread_count(place: Place) -> None:
    for n, content in enumerate(["Shall we go to Lisbon?", "Yes, in June", "I book the flights", "What a storm"]):
        moment = f"2024-03-01T00:0{n}:00.000Z"
        await place.add(content, thread="t", occurred_at=moment)
    found = [hit.memory.content for hit in await place.hits("Lisbon", mode="text")]
    assert found == ["Shall we go to Lisbon?", "Yes, in June", "I book the flights"]
    first = (await place.memories.list(replace(_all(), thread="t"), OWNER, sort="occurred")).memories[0]
    await place.memories.delete(first.id, OWNER)
    assert await place.ids("Lisbon", mode="text") == []


def _all():  # type: ignore[no-untyped-def]
    from jmem.core.filter import Filter

    return Filter()


async def test_equal_texts_are_folded(place: Place) -> None:
    first, second = new_id(), new_id()
    account = place.account()
    await account.push(
        account.op(first, content="Rent is due on the third"), account.op(second, content="rent is  due on the third")
    )
    (hit,) = await place.hits("when is rent due")
    assert {hit.memory.id, *hit.also} == {first, second}
    assert len(await place.ids("when is rent due", fold=False)) == 2


async def test_what_supersedes_stands_above(place: Place) -> None:
    old = await place.add("My address is Elm Street 4, Springfield, address address")
    new = await place.add("Moved to Oak Road 9", supersedes=old)
    hits = await place.hits("what is my address on Elm Street", explain=True)
    assert [hit.memory.id for hit in hits[:2]] == [new, old]
    assert hits[1].memory.superseded_by == new
    assert (hits[1].explain or {})["superseded_by"] == new


async def test_no_older_one_is_named_that_is_hidden(place: Place) -> None:
    older = await place.add("The plan of Tuesday", tags=("private",))
    await place.add("The plan of Wednesday", tags=("work",), supersedes=older)
    for actor, named in ((OWNER, older), (Actor("cursor", tags=("work",), owner=False), None)):
        first, *_ = await place.hits("Wednesday", actor)
        assert (first.memory.content, first.memory.supersedes) == ("The plan of Wednesday", named)


async def test_another_account_with_the_same_ids_sees_nothing(place: Place) -> None:
    id = new_id()
    account = place.account()
    await account.set(id, content="Ann's secret recipe")
    await place.drain()
    mine, place.user = place.user, uuid.uuid4()
    other = place.account()
    await other.set(id, content="Bob's bicycle")
    for mode in ("hybrid", "text", "vector"):
        assert [hit.memory.content for hit in await place.hits("secret recipe bicycle", mode=mode)] == ["Bob's bicycle"]
    place.user = mine
    for mode in ("hybrid", "text", "vector"):
        assert [hit.memory.content for hit in await place.hits("secret recipe bicycle", mode=mode)] == [
            "Ann's secret recipe"
        ]


async def test_without_qdrant_writes_go_on_and_search_is_by_words(place: Place) -> None:
    id = await place.add("coffee at noon")
    await place.drain()

    def down(kind: str) -> None:
        raise QdrantError(503, "down")

    place.store.before, place.drained = down, False
    other = await place.add("coffee at night")
    outcome = await place.ask("coffee")
    assert outcome.mode == "text"
    assert outcome.degraded == "the vector index answered 503"
    assert {hit.memory.id for hit in outcome.hits} == {id, other}
    assert (await place.ask("coffee", mode="vector")).mode == "text"


async def test_an_embedder_that_fails_is_said_and_left_alone_for_a_while(place: Place) -> None:
    id = await place.add("coffee at noon")
    await place.drain()
    place.source.broken, place.drained = True, False
    outcome = await place.ask("coffee now")
    assert [hit.memory.id for hit in outcome.hits] == [id]
    assert outcome.degraded is not None
    assert ["coffee now"] in place.source.asked
    assert (await place.ask("coffee again")).degraded == "the embedder failed a moment ago"
    assert ["coffee again"] not in place.source.asked


async def test_before_the_index_is_ready_search_is_by_words(place: Place) -> None:
    place.drained = False
    id = await place.add("coffee at noon")
    outcome = await place.ask("coffee")
    assert ([hit.memory.id for hit in outcome.hits], outcome.mode) == ([id], "text")
    assert outcome.degraded == "the vector index was not reached yet"


@pytest.mark.parametrize(("query", "fields"), [("", {}), ("  \0 ", {}), ("x", {"mode": "best"}), ("x", {"limit": 0})])
async def test_what_is_no_search_is_refused(place: Place, query: str, fields: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        await place.ask(query, **fields)


async def test_it_looks_back(place: Place) -> None:
    kept = await place.add("the harbour of Oslo is cold", tags=("city",))
    moved = await place.add("I live in Rome near the harbour", tags=("home",))
    gone = await place.add("the harbour has a lighthouse")
    await asyncio.sleep(0.002)
    then = now_iso()
    await asyncio.sleep(0.002)
    await place.memories.edit(moved, {"content": "I live in Oslo", "tags": ["now"]}, OWNER)
    await place.memories.delete(gone, OWNER)
    await place.add("a new harbour")
    await place.drain()

    async def asked(text: str, actor: Actor = OWNER, **fields: Any) -> dict[str, str]:
        query = SearchQuery(text, filter=Filter(**fields), as_of=then, mode="text")
        hits = (await place.memories.search(query, actor)).hits
        return {hit.memory.id: hit.memory.content for hit in hits}

    assert await asked("harbour") == {
        kept: "the harbour of Oslo is cold", moved: "I live in Rome near the harbour", gone: "the harbour has a lighthouse",
    }  # fmt: skip
    assert list(await asked("Rome")) == [moved]
    assert list(await asked("Oslo")) == [kept]
    assert list(await asked("harbour", tags=("home",))) == [moved]
    assert await asked("harbour", tags=("now",)) == {}
    hybrid = await place.memories.search(SearchQuery("harbour", as_of=then), OWNER)
    assert {hit.memory.id for hit in hybrid.hits} == {kept, moved, gone}
    with pytest.raises(Refused):
        await asked("harbour", Actor("claude", tags=("home",), owner=False))
    await place.memories.purge(gone, OWNER)
    assert set(await asked("harbour")) == {kept, moved}
