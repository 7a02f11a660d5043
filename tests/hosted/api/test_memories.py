"""Memories over HTTP: the shapes and codes of the daemon."""

from __future__ import annotations

import asyncio
import json
import uuid
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from hosted.api.events import _stream
from hosted.api.sync import _hints
from hosted.db.engine import Database
from hosted.memories.service import Backend
from jmem.core.clock import Clock, wall_ms
from jmem.core.model import Op, new_id, new_nonce
from tests.hosted.api.conftest import Client
from tests.hosted.isolation.requests import app as whole_app
from tests.hosted.letin import bearer


async def test_a_memory_is_added_read_changed_and_deleted(me: Client) -> None:
    added = await me.add("I prefer aisle seats", tags=["travel"], metadata={"a": 1.5})
    assert added["client"] == "web"
    assert added["duplicate"] is False
    assert added["similar"] == []
    again = await me.ask("POST", "/memories", {"content": "I prefer aisle seats"})
    assert again.status_code == 200
    assert again.json()["duplicate"] is True
    got = (await me.ask("GET", f"/memories/{added['id'][-8:]}")).json()
    assert got == {n: v for n, v in added.items() if n not in ("duplicate", "similar", "differs")}
    stale = await me.ask("PATCH", f"/memories/{added['id']}", {"content": "x"}, headers={"If-Match": '"0"'})
    assert (stale.status_code, stale.json()["code"]) == (409, "changed")
    edited = await me.ask(
        "PATCH", f"/memories/{added['id']}", {"add_tags": ["seat"]}, headers={"If-Match": f'"{added["version"]}"'}
    )
    assert edited.json()["tags"] == ["travel", "seat"]
    assert (await me.ask("DELETE", f"/memories/{added['id']}")).json() == {"deleted": [added["id"]], "missing": []}
    gone = await me.ask("GET", f"/memories/{added['id']}")
    assert (gone.status_code, gone.json()["code"], gone.json()["deleted"]) == (404, "not_found", True)
    assert (await me.ask("POST", f"/memories/{added['id']}/restore")).json()["deleted"] is False
    purged = (await me.ask("DELETE", f"/memories/{added['id']}", params={"purge": "true"})).json()["purged"]
    assert purged[0]["id"] == added["id"]
    assert {r["result"] for r in purged[0]["receipt"]} == {"erased"}
    assert (await me.ask("GET", f"/memories/{added['id']}")).json()["purged"] is True


async def test_lists_go_page_by_page_and_count(me: Client) -> None:
    for n in range(7):
        await me.add(f"memory {n}", tags=["even"] if n % 2 == 0 else [], occurred_at=f"2023-05-0{n + 1}")
    seen: list[str] = []
    cursor = None
    while True:
        page = (
            await me.ask(
                "GET", "/memories", params={"limit": 3, "count": "true", **({"cursor": cursor} if cursor else {})}
            )
        ).json()
        assert page["total"] == 7
        seen += [memory["content"] for memory in page["memories"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"memory {n}" for n in reversed(range(7))]
    even = (await me.ask("GET", "/memories", params={"tag": "even", "sort": "occurred"})).json()["memories"]
    assert [memory["content"] for memory in even] == ["memory 0", "memory 2", "memory 4", "memory 6"]
    since = (await me.ask("GET", "/memories", params={"since": "2023-05-06", "until": "2023-05-06"})).json()["memories"]
    assert [memory["content"] for memory in since] == ["memory 5"]
    assert (await me.ask("GET", "/tags")).json() == {"tags": [{"tag": "even", "count": 4}]}
    stats = (await me.ask("GET", "/stats")).json()
    assert (stats["memories"], stats["clients"], stats["tags"]) == (7, {"web": 7}, 1)


async def test_a_batch_is_one_action(me: Client) -> None:
    kept = await me.add("kept")
    results = (await me.ask("POST", "/memories/batch", {"operations": [
        {"op": "add", "content": "one"}, {"op": "add", "content": "one"}, {"op": "edit", "id": kept["id"], "content": "edited"},
        {"op": "delete", "id": "ffffffff"}, {"op": "sing"},
    ]})).json()["results"]  # fmt: skip
    assert [r["status"] for r in results] == [201, 200, 200, 404, 422]
    undone = (await me.ask("POST", "/undo", {})).json()
    assert [u["kind"] for u in undone["undone"]] == ["batch"]
    assert undone["changed"] == 2
    assert [m["content"] for m in (await me.ask("GET", "/memories")).json()["memories"]] == ["kept"]
    history = (await me.ask("GET", f"/memories/{kept['id']}/history")).json()
    assert [r["kind"] for r in history["revisions"]] == ["add", "edit", "undo"]
    log = (await me.ask("GET", "/log")).json()["actions"]
    assert [(a["kind"], a["preview"]) for a in log] == [("undo", "one"), ("batch", "one"), ("add", "kept")]


async def test_refusals_have_the_daemons_codes(me: Client, http: httpx.AsyncClient) -> None:
    cases = [
        ("POST", "/memories", {"content": "x", "colour": 1}, 422, "unknown_field"),
        ("POST", "/memories", {"content": " "}, 422, "invalid"),
        ("POST", "/memories", {"content": "x" * 70_000}, 413, "too_large"),
        ("POST", "/memories", {"content": "x", "privacy": "local"}, 422, "local"),
        ("POST", "/memories", {"content": "a\0b"}, 422, "invalid"),
        ("GET", "/memories?limit=0", None, 422, "invalid"),
        ("GET", "/memories?sort=-created&cursor=nonsense", None, 422, "bad_cursor"),
        ("GET", "/memories?thread=a%00b", None, 200, None),
        ("GET", "/memories/xyz", None, 422, "invalid"),
        ("GET", "/memories/ffffffff", None, 404, "not_found"),
        ("GET", "/nothing", None, 404, "no_route"),
        ("PUT", "/memories", {}, 405, "wrong_method"),
        ("POST", "/undo?n=1", {}, 422, "unknown_field"),
    ]
    for method, path, body, status, code in cases:
        found = await me.ask(method, path, body)
        assert (found.status_code, found.json().get("code")) == (status, code), (method, path, found.text)
        if code is not None:
            assert found.headers["content-type"] == "application/problem+json"
    nobody = await http.get("/api/v1/memories")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthorized")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    large = await http.post("/api/v1/memories", content=b" " * (9 << 20), headers=bearer(me.user))
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


async def test_another_account_sees_and_changes_nothing(me: Client, other: Client) -> None:
    mine = await me.add("mine alone", tags=["secret"])
    id = mine["id"]
    for method, path, body in (
        ("GET", f"/memories/{id}", None), ("PATCH", f"/memories/{id}", {"content": "theirs"}), ("DELETE", f"/memories/{id}", None),
        ("GET", f"/memories/{id}/history", None), ("POST", f"/memories/{id}/restore", {}),
        ("DELETE", f"/memories/{id}?purge=true", None), ("GET", f"/log?id={id}", None),
    ):  # fmt: skip
        assert (await other.ask(method, path, body)).status_code == 404, path
    assert (await other.ask("GET", "/memories")).json()["memories"] == []
    assert (await other.ask("GET", "/tags")).json()["tags"] == []
    assert (await other.ask("POST", "/undo", {})).json()["changed"] == 0
    assert (await me.ask("GET", f"/memories/{id}")).json()["content"] == "mine alone"


async def test_a_device_syncs_with_what_the_page_writes(me: Client, other: Client) -> None:
    hello = (await me.ask("GET", "/sync/hello")).json()
    assert abs(hello["now"] - wall_ms()) < 5_000
    assert hello["limits"]["push_ops"] == 500
    op = Op(Clock().tick(), new_id(), {"content": "from a device", "client": "cli"}, (), "cli", new_nonce()).sealed()
    pushed = (
        await me.ask("POST", "/sync/push", {"device": "laptop", "ops": [json.loads(op.text()), {"stamp": "?"}]})
    ).json()
    assert (pushed["acked"], pushed["rejected"]) == ([op.stamp], [{"stamp": "?", "code": "bad_op"}])
    added = await me.add("from the page")
    assert added["version"] > op.stamp
    pulled = (await me.ask("GET", "/sync/pull", params={"device": "laptop", "limit": 1})).json()
    assert pulled["ops"] == [{"stamp": op.stamp, "digest": op.digest}]
    assert pulled["more"] is True
    rest = (await me.ask("GET", "/sync/pull", params={"device": "laptop", "cursor": pulled["cursor"]})).json()
    assert rest["ops"][0]["set"]["content"] == "from the page"
    assert Op.parse(json.dumps(rest["ops"][0])).sealed().digest == rest["ops"][0]["digest"]
    wrong = await other.ask("GET", "/sync/pull", params={"cursor": rest["cursor"]})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "cursor_invalid")
    for cursor in ("x", "1:zz", "-1:"):
        assert (await me.ask("GET", "/sync/pull", params={"cursor": cursor})).status_code == 422


async def test_hints_come_when_something_is_written(app: FastAPI, me: Client) -> None:
    class Asked:
        backend: Backend = app.state.backend
        principal = type("Who", (), {"user_id": me.user})
        request = SimpleNamespace(state=SimpleNamespace())

    hints = _hints(Asked())  # type: ignore[arg-type]
    assert await anext(hints) == b"retry: 1000\n\n"
    assert b'{"seq":0}' in await anext(hints)
    waiting = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    await me.add("something")
    assert b'{"seq":1}' in await asyncio.wait_for(waiting, 10)
    await hints.aclose()  # type: ignore[attr-defined]


async def test_changes_are_told_from_any_place_on(app: FastAPI, me: Client) -> None:
    class Asked:
        backend: Backend = app.state.backend
        principal = type("Who", (), {"user_id": me.user})
        request = SimpleNamespace(state=SimpleNamespace())

    def data(event: bytes) -> list[dict[str, Any]]:
        return [json.loads(line[6:]) for line in event.decode().splitlines() if line.startswith("data: ")]

    one = await me.add("one")
    await me.ask("PATCH", f"/memories/{one['id']}", {"state": "paused"})
    told = _stream(Asked(), 0)  # type: ignore[arg-type]
    await anext(told)
    assert data(await anext(told)) == [{"store": str(me.user), "seq": 0}]
    found = data(await anext(told))
    assert [(e["seq"], e["id"], e["kind"], e["client"]) for e in found] == [
        (1, one["id"], "add", "web"),
        (2, one["id"], "pause", "web"),
    ]
    waiting = asyncio.ensure_future(anext(told))
    await asyncio.sleep(0)
    await me.ask("DELETE", f"/memories/{one['id']}")
    assert [e["kind"] for e in data(await asyncio.wait_for(waiting, 10))] == ["delete"]
    await told.aclose()  # type: ignore[attr-defined]
    restored = _stream(Asked(), 99)  # type: ignore[arg-type]
    await anext(restored)
    assert (await anext(restored)).startswith(b"id: 3\nevent: reset")
    await restored.aclose()  # type: ignore[attr-defined]
    assert (await me.ask("GET", "/events", params={"since": "-1"})).status_code == 422


async def test_the_database_being_away_is_told_as_such(app: FastAPI, me: Client) -> None:
    await me.add("here")
    away = Database("postgresql://nobody@/nowhere?host=/nonexistent")
    app.state.backend = Backend(away, app.state.backend.bus)
    found = await me.ask("GET", "/memories")
    assert (found.status_code, found.json()["code"], found.headers["retry-after"]) == (503, "unavailable", "1")
    await away.close()


async def test_a_full_pool_is_told_as_such(app: FastAPI, me: Client, database_url: str) -> None:
    small = Database(database_url, pool_size=1, timeout=0.2)
    app.state.backend = Backend(small, app.state.backend.bus)
    async with small.tenant(uuid.uuid4()):
        found = await me.ask("GET", "/memories")
    assert (found.status_code, found.json()["code"]) == (503, "busy")
    await small.close()


async def test_the_openapi_document_has_every_route_and_what_it_takes(app: FastAPI, http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert "Problem" in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/api/v1/"):
                continue
            assert ("requestBody" in operation) == (method in ("post", "patch")), (method, path)
            assert operation["description"], path
            assert {"401", "422", "503", "default"} <= set(operation["responses"]), path


def test_every_route_is_in_the_document() -> None:
    whole = whole_app()
    tables = [getattr(one, "original_router", None) for one in whole.routes]
    routes = [route for table in tables if table is not None for route in table.routes] + list(whole.routes)
    served = {
        f"{method.lower()} {route.path}"
        for route in routes if isinstance(route, Route) and route.path.startswith("/api/v1/")
        for method in route.methods or ()
    }  # fmt: skip
    described = {f"{method} {path}" for path, item in whole.openapi()["paths"].items() for method in item}
    assert len(served) > 40
    assert served - described == set()


@pytest.mark.parametrize("path", ["/memories", "/log", "/tags", "/stats", "/sync/hello"])
async def test_routes_take_no_unknown_parameter(me: Client, path: str) -> None:
    found = await me.ask("GET", path, params={"user_id": str(uuid.uuid4())})
    assert (found.status_code, found.json()["code"]) == (422, "unknown_field")


async def test_an_address_that_a_route_names_is_no_id_of_another(me: Client):
    answer = await me.ask("PATCH", "/memories/batch", {"content": "x"})
    assert (answer.status_code, answer.headers["allow"], answer.json()["code"]) == (405, "POST", "wrong_method")
    answer = await me.ask("PUT", "/memories")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
