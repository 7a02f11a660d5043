"""What is sent twice with one Idempotency-Key is done once, whatever happens in between."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg
import httpx
import pytest

from hosted.db.engine import Database
from hosted.edge import idempotency
from hosted.identity.principal import Principal
from hosted.memories.service import Memories
from jmem.core.actor import Actor
from tests.hosted.api.conftest import Client

ADD = {"content": "The spare key is under the third stone"}


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


async def count(me: Client) -> int:
    found: int = (await me.ask("GET", "/memories?count=true")).json()["total"]
    return found


async def sql(url: str, statement: str, *values: Any) -> list[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return list(await conn.fetch(statement, *values))
    finally:
        await conn.close()


async def let_time_pass(url: str, me: Client) -> None:
    await sql(url, "UPDATE jmem.answers SET busy_until = now() - interval '1 second' WHERE user_id = $1", me.user)


async def test_the_same_request_gets_the_same_answer_and_is_done_once(me: Client) -> None:
    headers = key()
    first = await me.ask("POST", "/memories", ADD, headers=headers)
    again = await me.ask("POST", "/memories", ADD, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(me) == 1


async def test_without_a_key_it_is_a_duplicate_that_says_so(me: Client) -> None:
    await me.ask("POST", "/memories", ADD)
    assert (await me.ask("POST", "/memories", ADD)).json()["duplicate"] is True


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_changes_and_deletions_too(me: Client, method: str) -> None:
    added = await me.add("a fact")
    headers, body = key(), {"tags": ["a"]} if method == "PATCH" else None
    first = await me.ask(method, f"/memories/{added['id']}", body, headers=headers)
    again = await me.ask(method, f"/memories/{added['id']}", body, headers=headers)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    actions = (await me.ask("GET", "/log")).json()["actions"]
    assert len(actions) == 2


async def test_another_request_with_the_key_is_refused(me: Client) -> None:
    headers = key()
    added = (await me.ask("POST", "/memories", ADD, headers=headers)).json()
    for method, path, body in (
        ("POST", "/memories", {"content": "something else"}), ("POST", "/undo", {}),
        ("PATCH", f"/memories/{added['id']}", ADD),
    ):  # fmt: skip
        answer = await me.ask(method, path, body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_reuse")
    assert await count(me) == 1


async def test_another_version_to_be_changed_is_another_request(me: Client) -> None:
    added, headers = await me.add("a fact"), key()
    path = f"/memories/{added['id']}"
    assert (
        await me.ask("PATCH", path, {"tags": ["a"]}, headers={**headers, "If-Match": added["version"]})
    ).status_code == 200
    again = await me.ask("PATCH", path, {"tags": ["a"]}, headers={**headers, "If-Match": "another"})
    assert again.json()["code"] == "idempotency_reuse"


async def test_another_account_may_use_the_same_key(me: Client, other: Client) -> None:
    headers = key()
    mine = (await me.ask("POST", "/memories", ADD, headers=headers)).json()
    theirs = (await other.ask("POST", "/memories", ADD, headers=headers)).json()
    assert mine["id"] != theirs["id"]
    assert (await count(me), await count(other)) == (1, 1)


def test_nobody_is_handed_the_answer_to_somebody_who_may_do_more() -> None:
    user = uuid.uuid4()
    asked = [
        Principal(user, Actor("web"), "session"), Principal(user, Actor("api"), "api_key", key_id=uuid.uuid4()),
        Principal(user, Actor("api"), "api_key", key_id=uuid.uuid4()),
        Principal(uuid.uuid4(), Actor("web"), "session"),
    ]  # fmt: skip
    assert len({idempotency._reservation(one, "the same key", b"").key for one in asked}) == 4


async def test_twins_at_once_are_done_once(me: Client) -> None:
    headers = key()
    answers = await asyncio.gather(*(me.ask("POST", "/memories", ADD, headers=headers) for _ in range(4)))
    done = [answer for answer in answers if answer.status_code == 201]
    busy = [answer for answer in answers if answer.status_code == 409]
    assert len(done) + len(busy) == 4
    assert len({answer.content for answer in done}) == 1
    assert all(answer.json()["code"] == "in_progress" and answer.headers["retry-after"] == "1" for answer in busy)
    assert await count(me) == 1


async def test_a_twin_that_comes_meanwhile_is_told_to_come_back(me: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go, add = asyncio.Event(), asyncio.Event(), Memories.add

    async def slowly(self: Memories, *args: Any, **named: Any) -> Any:
        entered.set()
        await go.wait()
        return await add(self, *args, **named)

    monkeypatch.setattr(Memories, "add", slowly)
    headers = key()
    first = asyncio.create_task(me.ask("POST", "/memories", ADD, headers=headers))
    await entered.wait()
    twin = await me.ask("POST", "/memories", ADD, headers=headers)
    assert (twin.status_code, twin.json()["code"]) == (409, "in_progress")
    go.set()
    assert (await first).status_code == 201
    assert (await me.ask("POST", "/memories", ADD, headers=headers)).headers["idempotency-replayed"] == "true"


async def test_a_failure_is_not_kept(me: Client) -> None:
    headers = key()
    added = await me.add("a fact")
    await me.ask("DELETE", f"/memories/{added['id']}")
    path, body = f"/memories/{added['id']}", {"tags": ["a"]}
    assert (await me.ask("PATCH", path, body, headers=headers)).status_code == 404
    await me.ask("POST", f"/memories/{added['id']}/restore", {})
    assert (await me.ask("PATCH", path, body, headers=headers)).json()["tags"] == ["a"]


class Died(BaseException):
    """A process that is gone: nothing is tidied up."""


async def died(*args: object) -> bool:
    raise Died


async def test_it_is_done_anew_after_a_death_before_the_commit(
    me: Client, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = key()
    with monkeypatch.context() as patch:
        patch.setattr(Memories, "add", died)
        patch.setattr(idempotency, "_quietly", died)
        with pytest.raises(Died):
            await me.ask("POST", "/memories", ADD, headers=headers)
    assert (await me.ask("POST", "/memories", ADD, headers=headers)).json()["code"] == "in_progress"
    await let_time_pass(owner_url, me)
    assert (await me.ask("POST", "/memories", ADD, headers=headers)).status_code == 201
    assert await count(me) == 1


async def test_after_a_death_past_the_commit_it_says_that_it_was_done(
    me: Client, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = key()
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_quietly", died)
        with pytest.raises(Died):
            await me.ask("POST", "/memories", ADD, headers=headers)
    await let_time_pass(owner_url, me)
    answer = await me.ask("POST", "/memories", ADD, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "answer_gone")
    assert await count(me) == 1


async def test_whoever_lost_the_reservation_commits_nothing(
    me: Client, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go, add = asyncio.Event(), asyncio.Event(), Memories.add

    async def first_slowly(self: Memories, *args: Any, **named: Any) -> Any:
        if not entered.is_set():
            entered.set()
            await go.wait()
        return await add(self, *args, **named)

    monkeypatch.setattr(Memories, "add", first_slowly)
    headers = key()
    slow = asyncio.create_task(me.ask("POST", "/memories", ADD, headers=headers))
    await entered.wait()
    await let_time_pass(owner_url, me)
    second = await me.ask("POST", "/memories", {"content": ADD["content"]}, headers=headers)
    assert second.status_code == 201
    await me.ask("DELETE", f"/memories/{second.json()['id']}")  # so that it would not be a duplicate
    go.set()
    lost = await slow
    assert (lost.status_code, lost.json()["code"]) == (409, "in_progress")
    assert await count(me) == 0
    assert len(await sql(owner_url, "SELECT 1 FROM jmem.ops WHERE user_id = $1", me.user)) == 2


async def test_neither_key_nor_answer_can_be_read_in_the_database(me: Client, owner_url: str) -> None:
    headers = key()
    await me.ask("POST", "/memories", ADD, headers=headers)
    (row,) = await sql(owner_url, "SELECT * FROM jmem.answers WHERE user_id = $1", me.user)
    whole = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
    assert row["sealed"]
    assert b"spare key" not in whole
    assert headers["Idempotency-Key"].encode() not in whole


async def test_forgetting_for_ever_forgets_kept_answers_and_keeps_its_own(me: Client, owner_url: str) -> None:
    headers, mine = key(), key()
    added = (await me.ask("POST", "/memories", ADD, headers=headers)).json()
    receipt = await me.ask("DELETE", f"/memories/{added['id']}?purge=true", headers=mine)
    rows = await sql(owner_url, "SELECT sealed FROM jmem.answers WHERE user_id = $1 AND forgotten", me.user)
    assert [row["sealed"] for row in rows] == [None]
    gone = await me.ask("POST", "/memories", ADD, headers=headers)
    assert (gone.status_code, gone.json()["code"]) == (409, "answer_gone")
    assert (await me.ask("DELETE", f"/memories/{added['id']}?purge=true", headers=mine)).content == receipt.content


async def test_an_answer_under_way_is_not_kept_when_something_is_forgotten_meanwhile(
    me: Client, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, headers = idempotency._quietly, key()

    async def after_a_purge(*args: Any) -> bool:
        monkeypatch.setattr(idempotency, "_quietly", keep)
        found = (await me.ask("GET", "/memories")).json()["memories"]
        await me.ask("DELETE", f"/memories/{found[0]['id']}?purge=true")
        return await keep(*args)

    monkeypatch.setattr(idempotency, "_quietly", after_a_purge)
    assert (await me.ask("POST", "/memories", ADD, headers=headers)).status_code == 201
    (row,) = await sql(owner_url, "SELECT state, sealed FROM jmem.answers WHERE user_id = $1", me.user)
    assert (row["state"], row["sealed"]) == ("answered", None)


async def test_answers_are_kept_for_a_day(me: Client, other: Client, owner_url: str, database: Database) -> None:
    headers = key()
    first = await me.ask("POST", "/memories", ADD, headers=headers)
    await other.ask("POST", "/memories", ADD, headers=headers)
    await sql(owner_url, "UPDATE jmem.answers SET created_at = now() - interval '25 hours' WHERE user_id = $1", me.user)
    again = await me.ask("POST", "/memories", ADD, headers=headers)  # before anybody swept
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    await sql(owner_url, "UPDATE jmem.answers SET created_at = now() - interval '25 hours' WHERE user_id = $1", me.user)
    assert await idempotency.sweep(database) >= 1
    left = await sql(
        owner_url, "SELECT user_id FROM jmem.answers WHERE user_id = ANY ($1::uuid[])", [me.user, other.user]
    )
    assert [row["user_id"] for row in left] == [other.user]


@pytest.mark.parametrize("wrong", ["", "x" * 256, "not\tprintable", '""'])
async def test_what_is_no_key_is_refused(me: Client, wrong: str) -> None:
    answer = await me.ask("POST", "/memories", ADD, headers={"Idempotency-Key": wrong})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_idempotency_key")
    assert await count(me) == 0


async def test_a_key_in_quotes_is_the_same_key(me: Client) -> None:
    await me.ask("POST", "/memories", ADD, headers={"Idempotency-Key": "0c97af2e"})
    again = await me.ask("POST", "/memories", ADD, headers={"Idempotency-Key": '"0c97af2e"'})
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_search_writes_nothing_and_keeps_nothing(me: Client, owner_url: str) -> None:
    answer = await me.ask("POST", "/search", {"query": "key"}, headers=key())
    assert answer.status_code == 200
    assert await sql(owner_url, "SELECT 1 FROM jmem.answers WHERE user_id = $1", me.user) == []


async def test_writing_routes_say_that_they_take_it(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    takes = {
        (method, path)
        for path, methods in paths.items()
        for method, route in methods.items()
        if any(one.get("name") == "Idempotency-Key" for one in route.get("parameters", ()))
    }
    assert ("post", "/api/v1/memories") in takes
    assert ("delete", "/api/v1/memories/{id}") in takes
    assert not {("post", "/api/v1/search"), ("get", "/api/v1/memories")} & takes
