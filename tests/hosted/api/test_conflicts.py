"""Texts that were written apart, over HTTP: every way in which they come and go, the list, and settling them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from hosted.db.engine import Database, driver
from hosted.memories.conflicts import _PAGE, APART
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from hosted.ops.tree import mend
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.errors import Refused
from jmem.core.model import MAX_ANSWER_BYTES, Op, new_id, new_nonce
from tests.hosted.api.conftest import Client

CLOCK = Clock()


async def push(me: Client, *ops: Op) -> None:
    sent = [json.loads(op.text()) for op in ops]
    told = (await me.ask("POST", "/sync/push", {"device": "laptop", "ops": sent})).json()
    assert told["acked"] == [op.stamp for op in ops], told


def op(id: str, fields: dict[str, Any], base: tuple[str, ...] = (), *, purge: bool = False) -> Op:
    return Op(CLOCK.tick(), id, fields, base, "cli", new_nonce(), purge).sealed()


async def apart(me: Client, content: str = "green tea", **fields: Any) -> str:
    """A memory of which a machine wrote another text, without having heard of the one that is here."""
    added = await me.add(f"tea {uuid.uuid4().hex[:6]}", **fields)
    CLOCK.see(added["version"])  # the machine's text is the later one
    await push(me, op(added["id"], {"content": content}))
    return str(added["id"])


async def listed(me: Client) -> dict[str, list[str]]:
    told = (await me.ask("GET", "/conflicts")).json()
    assert told["next_cursor"] is None
    return {one["memory"]["id"]: [version["content"] for version in one["versions"]] for one in told["conflicts"]}


async def test_the_list_tells_who_wrote_what_the_live_one_first(me: Client, other: Client) -> None:
    id = await apart(me)
    (one,) = (await me.ask("GET", "/conflicts")).json()["conflicts"]
    live, kept = one["versions"]
    assert (one["memory"]["id"], one["memory"]["content"]) == (id, "green tea")
    assert [(v["client"], v["where"], v["live"]) for v in (live, kept)] == [("cli", "laptop", True), ("web", "", False)]
    assert live["stamp"] > kept["stamp"]
    assert live["at"] >= kept["at"]
    assert (await me.ask("GET", "/conflicts", params={"id": id[-8:]})).json()["conflicts"] == [one]
    assert await listed(other) == {}
    assert (await other.ask("GET", "/conflicts", params={"id": id})).status_code == 404


@pytest.mark.parametrize(("how", "live", "others"), [
    ({"how": "keep", "version": "1"}, "green tea", 0), ({"how": "keep", "version": "2"}, "tea", 0),
    ({"how": "both"}, "green tea", 1), ({"how": "both", "version": "2"}, "tea", 1),
    ({"how": "text", "content": "any tea"}, "any tea", 0),
])  # fmt: skip
async def test_each_way_settles_it_and_one_undo_takes_it_back(
    me: Client, how: dict[str, Any], live: str, others: int
) -> None:
    id = await apart(me, tags=["drinks"])
    (one,) = (await me.ask("GET", "/conflicts")).json()["conflicts"]
    stamps = [version["stamp"] for version in one["versions"]]
    settled = (await me.ask("POST", f"/conflicts/{id}", {**how, "stamps": stamps})).json()
    assert settled["memory"]["content"].startswith(live)
    assert [memory["tags"] for memory in settled["others"]] == [["drinks"]] * others
    assert await listed(me) == {}
    again = await me.ask("POST", f"/conflicts/{id}", how)
    assert (again.status_code, again.json()["code"]) == (404, "no_conflict")
    history = (await me.ask("GET", f"/memories/{id}/history")).json()
    assert (len(history["revisions"]), len(history["heads"])) == (3, 1)
    await me.ask("POST", "/undo", {})
    assert (await me.ask("GET", f"/memories/{id}")).json()["content"] == "green tea"
    assert len((await me.ask("GET", "/memories")).json()["memories"]) == 1
    assert await listed(me) == {}


@pytest.mark.parametrize(("body", "status", "code"), [
    ({"how": "keep"}, 422, "empty"), ({"how": "keep", "version": "3"}, 404, "no_version"), ({"how": "text"}, 422, "empty"),
    ({"how": "text", "content": "my password: hunter2xyz9!Q"}, 422, "secret_found"),
    ({"how": "both", "stamps": ["000000000000-0000-00000000"]}, 409, "changed"), ({"how": "none"}, 422, "invalid"),
])  # fmt: skip
async def test_what_is_refused_changes_nothing(me: Client, body: dict[str, Any], status: int, code: str) -> None:
    id = await apart(me)
    before = await listed(me)
    answer = await me.ask("POST", f"/conflicts/{id}", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await listed(me) == before


async def test_every_way_in_which_ops_come_marks_and_clears(me: Client, database: Database) -> None:
    edited, purged, deleted, informed, same, blank = [await apart(me) for _ in range(6)]
    assert set(await listed(me)) == {edited, purged, deleted, informed, same, blank}
    await me.ask("PATCH", f"/memories/{edited}", {"content": "black tea"})
    await me.ask("DELETE", f"/memories/{purged}", params={"purge": "true"})
    await me.ask("DELETE", f"/memories/{deleted}")
    heads = {id: (await me.ask("GET", f"/memories/{id}/history")).json()["heads"] for id in (informed, same)}
    await push(me, op(informed, {"content": "red tea"}, tuple(heads[informed])), op(blank, {}, purge=True))
    await push(me, op(same, {"content": "green tea"}, tuple(heads[same][:1])))
    assert set(await listed(me)) == set()
    await me.ask("POST", f"/memories/{deleted}/restore", {})
    assert set(await listed(me)) == {deleted}
    await me.ask("POST", "/undo", {"n": 1})
    assert set(await listed(me)) == set()
    fresh = new_id()
    await push(me, op(fresh, {"content": "one"}), op(fresh, {"content": "two"}))
    assert (await listed(me))[fresh] == ["two", "one"]


async def test_a_copy_without_its_text_that_is_made_whole_later_counts(me: Client) -> None:
    added = await me.add("tea")
    CLOCK.see(added["version"])
    id = str(added["id"])
    whole = op(id, {"content": "green tea"})
    await push(me, whole.blanked())
    assert await listed(me) == {}
    await push(me, whole)
    assert await listed(me) == {id: ["green tea", "tea"]}


async def test_a_mark_that_is_wrong_is_mended_with_its_row(me: Client, database: Database) -> None:
    id = await apart(me)
    for wrong in (False, True):
        async with database.tenant(me.user) as conn:
            await conn.execute(text("UPDATE jmem.memories SET apart = :wrong"), {"wrong": wrong})
        mended = await mend(database, Bus(), me.user, [id])
        assert mended == ([] if wrong else [id])
        assert list(await listed(me)) == [id]


async def test_pages_go_on_behind_their_cursor_and_have_room_in_an_answer(me: Client) -> None:
    ids = sorted([await apart(me) for _ in range(5)])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        told = (await me.ask("GET", "/conflicts", params={"limit": 2, **cursor})).json()
        seen += [one["memory"]["id"] for one in told["conflicts"]]
        if told["next_cursor"] is None:
            break
        cursor = {"cursor": told["next_cursor"]}
    assert seen == ids
    assert (await me.ask("GET", "/conflicts", params={"cursor": "nonsense"})).json()["code"] == "bad_cursor"


async def test_long_texts_are_read_no_further_than_an_answer_has_room(me: Client, database: Database) -> None:
    for n in range(12):
        await apart(me, f"{n} " + "x" * 60_000)
    memories = Backend(database, Bus()).of(me.user)
    found, cursor = await memories.conflicts(Actor("web"), limit=100)
    assert 3 < len(found) < 12
    assert sum(len(v.content) for one in found for v in one.versions) > MAX_ANSWER_BYTES
    rest, end = await memories.conflicts(Actor("web"), limit=100, cursor=cursor)
    assert (len(found) + len(rest), end) == (12, None)
    first = await me.ask("GET", "/conflicts", params={"limit": 100})
    assert len(first.content) <= MAX_ANSWER_BYTES
    assert first.json()["next_cursor"]


async def test_the_list_and_the_count_read_nothing_but_conflicts(
    me: Client, database: Database, owner_url: str
) -> None:
    operations = [{"op": "add", "content": f"memory {n}"} for n in range(1000)]
    assert (await me.ask("POST", "/memories/batch", {"operations": operations})).status_code == 200
    await apart(me)
    behind = await asyncpg.connect(owner_url)
    await behind.execute("ANALYZE jmem.memories")
    await behind.close()
    async with database.tenant(me.user) as conn:
        raw = driver(conn)
        count = f"SELECT count(*) FROM jmem.memories m WHERE m.user_id = $1 AND {APART}"
        for sql, values in ((_PAGE, (me.user, "", 51)), (count, (me.user,))):
            plan = "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN {sql}", *values))
            assert "memories_apart" in plan


async def test_search_finds_the_live_text_alone(me: Client) -> None:
    id = await apart(me, "chamomile in the evening")
    for query, found in (("chamomile", [id]), ("tea", [])):
        told = (await me.ask("POST", "/search", {"query": query, "mode": "text"})).json()
        assert [memory["id"] for memory in told["results"]] == found


async def test_programs_that_see_a_part_see_no_conflict_and_settle_none(me: Client, database: Database) -> None:
    id = await apart(me, tags=["a"])
    memories = Backend(database, Bus()).of(me.user)
    for actor in (Actor("claude", tags=("a",), owner=False), Actor("reader", write=False, owner=False)):
        with pytest.raises(Refused):
            await memories.settle(id, actor, "both")
    with pytest.raises(Refused):
        await memories.conflicts(Actor("claude", tags=("a",), owner=False))
    assert list(await listed(me)) == [id]
