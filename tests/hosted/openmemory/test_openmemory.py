"""The requests that OpenMemory's own interface and its clients send, field by field."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx
import pytest

from hosted.app import make_app
from hosted.db.engine import Database
from hosted.edge.context import current
from hosted.identity import keys
from hosted.identity.lookup import Lookup, Rights
from hosted.identity.principal import Identity
from hosted.memories.activity import Activity
from hosted.memories.service import Backend
from hosted.ops.events import Bus

SOMEBODY = "a-user-of-openmemory"


@dataclass(frozen=True)
class Program:
    """A program with a key."""

    http: httpx.AsyncClient
    key: str
    user: uuid.UUID

    async def ask(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        sent = {} if body is None else {"json": body}
        return await self.http.request(
            method, f"/openmemory/api/v1{path}", headers=headers, params=params or None, **sent
        )

    async def must(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        answer = await self.ask(method, path, body, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def add(self, text: str, **fields: Any) -> dict[str, Any]:
        sent = {"user_id": SOMEBODY, "text": text, "infer": False, "app": "openmemory", **fields}
        found: dict[str, Any] = await self.must("POST", "/memories/", sent)
        return found

    async def texts(self, **filter: Any) -> list[str]:
        found = await self.must("POST", "/memories/filter", {"user_id": SOMEBODY, **filter})
        return [item["content"] for item in found["items"]]


@pytest.fixture
async def http(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    backend = Backend(database, Bus(), activity=Activity(database))
    app = make_app(backend, identity=Identity(cast(Any, None), Lookup(database.engine)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://jmem.test") as client:
        yield client


async def program(http: httpx.AsyncClient, database: Database, user: uuid.UUID, **rights: Any) -> Program:
    async with database.tenant(user) as conn:
        made = await keys.create(conn, user, "api", replace(Rights("script"), **rights))
    return Program(http, made.text, user)


@pytest.fixture
async def me(http: httpx.AsyncClient, database: Database) -> Program:
    return await program(http, database, uuid.uuid4())


async def test_add_and_read(me: Program) -> None:
    added = await me.add("I prefer aisle seats", metadata={"source": "chat"})
    assert added["content"] == added["text"] == "I prefer aisle seats"
    assert (added["app_name"], added["state"], added["user_id"]) == ("openmemory", "active", str(me.user))
    found = await me.must("GET", f"/memories/{added['id']}", user_id=SOMEBODY)
    assert set(found) == {
        "id",
        "text",
        "content",
        "created_at",
        "state",
        "app_id",
        "app_name",
        "categories",
        "metadata_",
    }
    assert (found["text"], found["metadata_"], found["categories"]) == ("I prefer aisle seats", {"source": "chat"}, [])
    assert isinstance(found["created_at"], int)
    assert str(uuid.UUID(found["app_id"])) == added["app_id"]


async def test_its_pages(me: Program) -> None:
    for number in range(5):
        await me.add(f"fact number {number}")
    page = await me.must("GET", "/memories/", user_id=SOMEBODY, page=2, size=2)
    assert [item["content"] for item in page["items"]] == ["fact number 2", "fact number 1"]
    assert (page["total"], page["page"], page["size"], page["pages"]) == (5, 2, 2, 3)
    upwards = await me.texts(page=1, size=10, sort_column="created_at", sort_direction="asc")
    assert upwards == [f"fact number {number}" for number in range(5)]
    assert await me.texts(page=9, size=10) == []


async def test_search(me: Program) -> None:
    await me.add("Anna plays the cello in an orchestra")
    await me.add("The boat is moored in Kiel")
    found = await me.must("GET", "/memories/", user_id=SOMEBODY, search_query="cello", page=1, size=10)
    assert found["items"][0]["content"].startswith("Anna")
    assert (await me.texts(search_query="boat in Kiel", page=1, size=1))[0].startswith("The boat")


async def test_filters(me: Program) -> None:
    one = await me.add("written by cursor", app="cursor")
    await me.add("written by claude", app="claude")
    await me.add("archived", app="claude")
    await tagged(me, one["id"], ["work", "tools"])
    archived = (await me.texts(page=1, size=10)).index("archived")
    ids = [item["id"] for item in (await me.must("GET", "/memories/"))["items"]]
    await me.must("POST", "/memories/actions/archive", [ids[archived]], user_id=str(uuid.uuid4()))
    assert await me.texts(app_ids=[one["app_id"]]) == ["written by cursor"]
    assert await me.texts() == ["written by claude", "written by cursor"]
    assert len(await me.texts(show_archived=True)) == 3
    assert await me.texts(app_ids=[str(uuid.uuid4())]) == []
    named = (await me.must("GET", "/memories/categories", user_id=SOMEBODY))["categories"]
    assert {category["name"] for category in named} == {"work", "tools"}
    assert await me.texts(category_ids=[category["id"] for category in named]) == ["written by cursor"]
    assert await me.texts(category_ids=[str(uuid.uuid4())]) == []
    listed = await me.must("GET", "/memories/", categories="work,other")
    assert [item["content"] for item in listed["items"]] == ["written by cursor"]
    now = one_created = (await me.must("GET", f"/memories/{one['id']}"))["created_at"]
    assert await me.texts(from_date=now + 60) == []
    assert len(await me.texts(from_date=now - 60, to_date=one_created + 60)) == 2


async def tagged(me: Program, id: str, tags: list[str]) -> None:
    headers = {"Authorization": f"Bearer {me.key}"}
    assert (await me.http.patch(f"/api/v1/memories/{id}", json={"tags": tags}, headers=headers)).status_code == 200


async def test_update(me: Program) -> None:
    added = await me.add("old text")
    body = {"memory_id": added["id"], "memory_content": "new text", "user_id": SOMEBODY}
    assert (await me.must("PUT", f"/memories/{added['id']}", body))["content"] == "new text"
    assert await me.texts() == ["new text"]


async def test_delete_and_what_is_not_there(me: Program) -> None:
    added = await me.add("to be deleted")
    body = {"memory_ids": [added["id"], str(uuid.uuid4())], "user_id": SOMEBODY}
    assert (await me.must("DELETE", "/memories/", body))["message"] == "Successfully deleted 1 memories"
    gone = await me.ask("GET", f"/memories/{added['id']}", user_id=SOMEBODY)
    assert gone.status_code == 404
    assert gone.json()["detail"] == gone.json()["title"]


async def test_pause_and_resume(me: Program) -> None:
    one, two = await me.add("first", app="cursor"), await me.add("second", app="claude")

    async def states() -> dict[str, str]:
        return {item["content"]: item["state"] for item in (await me.must("GET", "/memories/"))["items"]}

    async def set_state(**asked: Any) -> None:
        await me.must("POST", "/memories/actions/pause", {"user_id": SOMEBODY, **asked})

    await set_state(memory_ids=[one["id"]], all_for_app=True, state="paused")
    assert await states() == {"first": "paused", "second": "active"}
    await set_state(global_pause=True)
    assert await states() == {"first": "paused", "second": "paused"}
    await set_state(app_id=two["app_id"], state="active")
    assert await states() == {"first": "paused", "second": "active"}
    await tagged(me, two["id"], ["work"])
    (category,) = (await me.must("GET", "/memories/categories"))["categories"]
    await set_state(category_ids=[category["id"]])
    assert await states() == {"first": "paused", "second": "paused"}
    await set_state(memory_ids=[one["id"]], state="deleted")
    assert await states() == {"second": "paused"}
    missing = await me.ask("POST", "/memories/actions/pause", {"memory_ids": [str(uuid.uuid4())], "user_id": SOMEBODY})
    assert missing.status_code == 404


async def test_who_got_a_memory_and_what_is_related(me: Program) -> None:
    added = await me.add("Anna plays the cello", app="cursor")
    await me.add("Anna's cello is from Cremona", app="claude")
    await me.must("GET", "/memories/", search_query="cello")
    log = await me.must("GET", f"/memories/{added['id']}/access-log", page=1, page_size=10)
    assert log["total"] == len(log["logs"]) >= 1
    assert log["logs"][0]["app_name"] == "script"
    related = await me.must("GET", f"/memories/{added['id']}/related", user_id=SOMEBODY)
    assert [item["content"] for item in related["items"]] == ["Anna's cello is from Cremona"]


async def test_apps_and_counts(me: Program) -> None:
    await me.add("one", app="cursor")
    await me.add("two", app="cursor")
    await me.add("three", app="claude")
    await me.must("GET", "/memories/", search_query="one")
    apps = await me.must("GET", "/apps/", page=1, page_size=10, sort_by="memories", sort_direction="desc")
    assert [(app["name"], app["total_memories_created"]) for app in apps["apps"][:2]] == [("cursor", 2), ("claude", 1)]
    assert {app["name"] for app in apps["apps"]} == {"cursor", "claude", "script"}
    cursor = apps["apps"][0]
    assert (await me.must("GET", "/apps/", name="CURS"))["total"] == 1
    assert (await me.must("GET", f"/apps/{cursor['id']}"))["total_memories_created"] == 2
    wrote = await me.must("GET", f"/apps/{cursor['id']}/memories", page=1, page_size=1)
    assert (wrote["total"], len(wrote["memories"])) == (2, 1)
    script = next(app for app in apps["apps"] if app["name"] == "script")
    got = await me.must("GET", f"/apps/{script['id']}/accessed", page=1, page_size=10)
    assert got["memories"][0]["memory"]["app_name"] in ("cursor", "claude")
    assert got["memories"][0]["access_count"] >= 1
    assert (await me.ask("GET", f"/apps/{uuid.uuid4()}")).status_code == 404
    for path in ("/stats", "/stats/"):
        stats = await me.must("GET", path, user_id=SOMEBODY)
        assert (stats["total_memories"], stats["total_apps"]) == (3, 3)


async def test_configuration_is_read_only_and_tells_no_secret(me: Program) -> None:
    config = await me.must("GET", "/config/")
    assert config["mem0"]["embedder"]["provider"] == "bundled"
    assert (await me.ask("PUT", "/config/", config)).status_code == 405


async def test_every_spelling_of_an_address(me: Program) -> None:
    for path in (
        "/memories",
        "/memories/",
        "/memories/categories",
        "/memories/categories/",
        "/apps",
        "/apps/",
        "/config",
    ):
        assert (await me.ask("GET", path)).status_code == 200, path


async def test_the_user_that_a_request_names_is_nobody(
    me: Program, http: httpx.AsyncClient, database: Database
) -> None:
    other = await program(http, database, uuid.uuid4())
    mine = await me.add("only mine", user_id=str(other.user))
    assert await other.texts(user_id=str(me.user)) == []
    assert (await other.ask("GET", f"/memories/{mine['id']}", user_id=str(me.user))).status_code == 404
    body = {"memory_ids": [mine["id"]], "user_id": str(me.user)}
    assert (await other.must("DELETE", "/memories/", body))["message"] == "Successfully deleted 0 memories"
    assert (
        await other.ask("PUT", f"/memories/{mine['id']}", {"memory_content": "x", "user_id": str(me.user)})
    ).status_code == 404
    assert (await other.ask("POST", "/memories/actions/archive", {"memory_ids": [mine["id"]]})).status_code == 404
    assert await me.texts(user_id=str(other.user)) == ["only mine"]


async def test_only_a_key_opens_it(me: Program, http: httpx.AsyncClient, database: Database) -> None:
    url = "/openmemory/api/v1/memories/"
    assert (await http.get(url, headers={"X-API-Key": me.key})).status_code == 200
    nobody = await http.get(url, params={"user_id": str(me.user)})
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthorized")
    assert "WWW-Authenticate" in nobody.headers
    both = await http.get(url, headers={"X-API-Key": me.key, "Authorization": f"Bearer {me.key}"})
    assert both.status_code == 401
    async with database.tenant(me.user) as conn:
        url_key = await keys.create(conn, me.user, "connector", Rights("claude"))
    assert (await http.get(url, headers={"X-API-Key": url_key.text})).status_code == 401
    assert current.get() is None


async def test_a_restricted_key_does_what_it_may(http: httpx.AsyncClient, database: Database) -> None:
    user = uuid.uuid4()
    owner = await program(http, database, user)
    reader = await program(http, database, user, write=False, delete=False)
    added = await owner.add("to be read")
    assert await reader.texts() == ["to be read"]
    assert (await reader.ask("POST", "/memories/", {"text": "no", "infer": False})).status_code == 403
    assert (await reader.ask("DELETE", "/memories/", {"memory_ids": [added["id"]]})).status_code == 403
    assert (await reader.ask("GET", f"/memories/{added['id']}/access-log")).status_code == 403
    scoped = await program(http, database, user, tags=("work",))
    assert await scoped.texts() == []
    written = await scoped.add("of work", app="pretends-to-be-another")
    assert (written["app_name"], written["categories"]) == ("script", ["work"])


async def test_text_is_kept_whole_where_there_is_no_model(me: Program) -> None:
    added = await me.add("I moved to Bonn. I like it there.", infer=True)
    assert added["content"] == "I moved to Bonn. I like it there."


async def test_the_last_moment_that_can_be_asked_for(me: Program) -> None:
    await me.add("of now")
    assert await me.texts(from_date=0, to_date=253_402_214_400, page=100_000, size=100) == []
    assert await me.texts(from_date=0, to_date=253_402_214_400) == ["of now"]


async def test_bad_requests_are_problems(me: Program) -> None:
    for method, path, body in (
        ("POST", "/memories/", {"user_id": SOMEBODY}), ("POST", "/memories/", {"text": ""}), ("DELETE", "/memories/", {"memory_ids": ["x"]}),
        ("GET", "/memories/?size=1000", None), ("POST", "/memories/filter", {"page": 0}),
        ("POST", "/memories/filter", {"to_date": 253_402_300_799}), ("GET", "/memories/?categories=a%00b", None),
        ("PUT", "/memories/not-an-id", {"memory_content": "x"}),
    ):  # fmt: skip
        answer = await me.ask(method, path, body)
        assert answer.status_code == 422, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@pytest.mark.parametrize(("path", "field"), [
    ("/memories/filter", "app_ids"), ("/memories/filter", "category_ids"), ("/memories/actions/pause", "category_ids"),
])  # fmt: skip
async def test_lists_of_ids_are_bounded(me: Program, path: str, field: str) -> None:
    many = [str(uuid.uuid4()) for _ in range(1001)]
    refused = await me.ask("POST", path, {"user_id": SOMEBODY, field: many})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    taken = await me.ask("POST", path, {"user_id": SOMEBODY, field: many[1:]})
    assert taken.status_code == 200 or taken.json()["code"] == "empty"  # no such category: nothing to pause
