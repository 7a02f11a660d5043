"""What was done to an account is written down with it, told to its owner alone, and can't be changed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from hosted.api.keys import routes as key_routes
from hosted.app import make_app
from hosted.db.engine import Database, driver
from hosted.identity import audit, grants, keys
from hosted.identity.lookup import Lookup, Rights
from hosted.identity.principal import Identity
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from jmem.core.paging import encode_cursor
from tests.hosted.api.conftest import Client

SECRET = "the combination is 7-3-9"


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """With the routes of keys, which need no service of the account."""
    app.include_router(key_routes.router)
    return app


async def entries(me: Client, **query: Any) -> list[dict[str, Any]]:
    answer = await me.ask("GET", "/audit", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


async def test_the_life_of_a_key(me: Client) -> None:
    made = (await me.ask("POST", "/keys", {"name": "backup", "client": "script"})).json()
    await me.ask("PATCH", f"/keys/{made['id']}", {"write": False})
    rotated = (await me.ask("POST", f"/keys/{made['id']}/rotate", {})).json()
    await me.ask("DELETE", f"/keys/{made['id']}", headers={"X-Request-ID": "revoked-by-me"})
    newest, *_ = found = await entries(me)
    assert [entry["what"] for entry in found] == ["key.revoked", "key.rotated", "key.changed", "key.made"]
    assert [entry["target"] for entry in found] == [made["id"], rotated["id"], made["id"], made["id"]]
    assert found[1]["detail"] == {"replaces": made["id"]}
    assert (newest["client"], newest["via"], newest["request"]) == ("web", "session", "revoked-by-me")
    assert newest["address"] == "127.0.0.1"
    assert made["key"] not in str(found)
    assert rotated["key"] not in str(found)


async def test_connections_programs_and_sessions(me: Client, database: Database) -> None:
    async with database.tenant(me.user) as conn:
        made = await keys.create(conn, me.user, "connector", Rights("claude"))
        await keys.rotate(conn, me.user, made.key.id, timedelta(0))
        await grants.allow(conn, me.user, "prog", "A Program", Rights("cursor"))
        await grants.change(conn, me.user, "prog", Rights("cursor", write=False))
        await grants.revoke(conn, me.user, "prog")
        await grants.sign_out(conn, me.user, "one")
        await grants.sign_out(conn, me.user)
    found = await entries(me)
    assert [entry["what"] for entry in reversed(found)] == [
        "connection.made", "connection.rotated", "program.allowed", "program.changed", "program.revoked", "session.ended",
        "session.ended",
    ]  # fmt: skip
    assert [entry["detail"]["every"] for entry in found[:2]] == [True, False]
    assert found[0]["address"] is None  # by nobody's request


async def test_what_is_forgotten_for_ever_is_noted_without_its_text(me: Client, owner_url: str) -> None:
    one, two = await me.add(SECRET), await me.add("another text")
    await me.ask("DELETE", f"/memories/{one['id']}?purge=true")
    await me.ask("POST", "/memories/batch", {"operations": [{"op": "purge", "id": two["id"]}]})
    found = await entries(me)
    assert [(entry["what"], entry["detail"]) for entry in found] == [
        ("memories.purged", {"count": 1, "ids": [two["id"]]}), ("memories.purged", {"count": 1, "ids": [one["id"]]}),
    ]  # fmt: skip
    conn = await asyncpg.connect(owner_url)
    rows = await conn.fetch("SELECT * FROM jmem.audit WHERE user_id = $1", me.user)
    await conn.close()
    assert "combination" not in str([dict(row) for row in rows])


async def test_what_leaves_the_account(me: Client) -> None:
    await me.add(SECRET)
    answer = await me.ask("GET", "/export")
    assert SECRET in answer.text
    (entry,) = await entries(me)
    assert (entry["what"], entry["detail"], entry["via"]) == ("account.exported", {"format": "jsonl"}, "session")


async def test_what_was_not_done_is_not_noted(me: Client, database: Database) -> None:
    async def in_vain() -> None:
        async with database.tenant(me.user) as conn:
            await keys.create(conn, me.user, "api", Rights("x"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_vain()
    assert await entries(me) == []


async def test_pages(me: Client) -> None:
    for number in range(5):
        await me.ask("POST", "/keys", {"name": f"key {number}"})
    whole = await entries(me)
    seen, cursor = [], None
    for _ in range(3):
        answer = (await me.ask("GET", "/audit", params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
        seen += answer["entries"]
        cursor = answer["next_cursor"]
    assert cursor is None
    assert seen == whole
    assert len(whole) == 5
    id = str(uuid.uuid4())
    made = [encode_cursor(audit.SORT, at, id) for at in ("0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00", "soon")]
    for wrong in ("nonsense", *made, encode_cursor(audit.SORT, "2026-01-01T00:00:00+00:00", "no id")):
        answer = await me.ask("GET", "/audit", params={"cursor": wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor"), wrong


async def test_nobody_sees_anothers(me: Client, other: Client) -> None:
    await me.ask("POST", "/keys", {"name": "mine"})
    assert len(await entries(me)) == 1
    assert await entries(other) == []


@pytest.mark.parametrize(
    "change", ["UPDATE jmem.audit SET what = 'nothing'", "DELETE FROM jmem.audit", "TRUNCATE jmem.audit"]
)
async def test_entries_can_only_be_added(me: Client, database: Database, change: str) -> None:
    await me.ask("POST", "/keys", {"name": "mine"})
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant(me.user) as conn:
            await driver(conn).execute(change)
    assert len(await entries(me)) == 1


@pytest.fixture
async def doorkeeper(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The app with its own identity, where keys are concerned."""
    known = Identity(cast(Any, None), Lookup(database.engine))
    served = make_app(Backend(database, Bus()), identity=known)
    transport = httpx.ASGITransport(served, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://jmem.test") as client:
        yield client


async def test_refusals_in_a_row_are_noted_once(
    doorkeeper: httpx.AsyncClient, database: Database, user: uuid.UUID
) -> None:
    async with database.tenant(user) as conn:
        made = await keys.create(conn, user, "api", Rights("script"))
        await keys.revoke(conn, user, made.key.id)
    headers = {"Authorization": f"Bearer {made.text}"}
    for number in range(25):
        answer = await doorkeeper.get("/api/v1/memories", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "key_revoked")
        assert str(user) not in answer.text
        if number == 5:
            assert await refusals(database, user) == []
    (entry,) = await refusals(database, user)
    assert entry.detail == {"code": "key_revoked"}
    assert (entry.client, entry.address) == (None, "127.0.0.1")


async def refusals(database: Database, user: uuid.UUID) -> list[audit.AuditEntry]:
    async with database.tenant(user) as conn:
        found, _ = await audit.page(driver(conn), user, 50, None)
    return [entry for entry in found if entry.what == "auth.refused"]


async def test_a_restricted_key_does_not_read_it(
    doorkeeper: httpx.AsyncClient, database: Database, user: uuid.UUID
) -> None:
    async with database.tenant(user) as conn:
        whole = await keys.create(conn, user, "api", Rights("script"))
        less = await keys.create(conn, user, "api", Rights("reader", delete=False))
    for key, status in ((whole, 200), (less, 403)):
        answer = await doorkeeper.get("/api/v1/audit", headers={"Authorization": f"Bearer {key.text}"})
        assert answer.status_code == status
