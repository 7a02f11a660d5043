"""Row-level security: either it or the filter alone keeps tenants apart."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hosted.db.engine import Database, driver
from hosted.db.tables import TENANT_TABLES
from hosted.ops import feed
from hosted.ops.events import Bus
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce

NAMES = [table.name for table in TENANT_TABLES]


async def fill(database: Database, user: uuid.UUID) -> str:
    id = new_id()
    one = Op(Clock().tick(), id, {"content": "mine", "client": "cli"}, (), "cli", new_nonce()).sealed()
    await feed.push(database, Bus(), user, "d", [{**one.body(), "digest": one.digest}])
    return id


async def test_a_forgotten_filter_shows_nothing_of_others(database: Database, user: uuid.UUID) -> None:
    id = await fill(database, user)
    async with database.tenant(user) as conn:  # positive control
        assert (await conn.execute(text("SELECT id FROM memories"))).scalars().all() == [id]
    async with database.tenant(uuid.uuid4()) as conn:
        for name in NAMES:
            assert (await conn.execute(text(f"SELECT count(*) FROM {name}"))).scalar() == 0
        done = await conn.execute(text("UPDATE memories SET content = 'theirs'"))
        assert done.rowcount == 0


async def test_without_a_tenant_there_is_nothing(database: Database, user: uuid.UUID) -> None:
    await fill(database, user)
    async with database.engine.connect() as conn:
        for name in NAMES:
            assert (await conn.execute(text(f"SELECT count(*) FROM jmem.{name}"))).scalar() == 0
    with pytest.raises(TypeError):
        async with database.tenant(str(user)):  # type: ignore[arg-type]
            pass


async def test_what_could_not_be_committed_is_not_taken_for_done(database: Database, user: uuid.UUID) -> None:
    id = await fill(database, user)

    async def swallowed() -> None:
        async with database.tenant(user) as conn:
            await conn.execute(text("UPDATE memories SET content = 'lost'"))
            with suppress(DBAPIError):  # Postgres takes a failed transaction's COMMIT, and rolls it back
                await conn.execute(text("SELECT 1 / 0"))

    with pytest.raises(asyncpg.InterfaceError, match="nothing of it was committed"):
        await swallowed()
    async with database.tenant(user) as conn:
        kept = await conn.execute(text("SELECT content FROM memories WHERE id = :id"), {"id": id})
        assert kept.scalar_one() != "lost"


async def test_a_row_for_another_tenant_is_refused(database: Database, user: uuid.UUID) -> None:
    await fill(database, user)
    for sql in (
        "INSERT INTO sync_heads (user_id) VALUES (:other)",
        "INSERT INTO refused (user_id, stamp) VALUES (:other, 's')",
        "UPDATE memories SET user_id = :other",
    ):
        with pytest.raises(DBAPIError, match="row-level security"):
            async with database.tenant(user) as conn:
                await conn.execute(text(sql), {"other": uuid.uuid4()})


async def test_the_application_owns_nothing_and_deletes_nothing(database: Database, user: uuid.UUID) -> None:
    await fill(database, user)
    for sql in ("DELETE FROM ops", "TRUNCATE ops", "ALTER TABLE ops DISABLE ROW LEVEL SECURITY", "DROP TABLE ops",
                "CREATE TABLE jmem.mine (x int)", "SET LOCAL ROLE postgres"):  # fmt: skip
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner|violates"):
            async with database.tenant(user) as conn:
                await conn.execute(text(sql))


async def test_system_roles_do_one_thing_each(database: Database, user: uuid.UUID) -> None:
    await fill(database, user)
    other = uuid.uuid4()
    await fill(database, other)
    async with database.system("jmem_metrics") as conn:
        assert (await conn.execute(text("SELECT count(DISTINCT user_id) FROM memories"))).scalar() >= 2  # type: ignore[operator]
    for sql in ("SELECT content FROM memories", "SELECT payload FROM ops", "DELETE FROM memories"):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with database.system("jmem_metrics") as conn:
                await conn.execute(text(sql))
    async with database.system("jmem_deletion", user) as conn:
        assert (await conn.execute(text("DELETE FROM memories"))).rowcount == 1
    async with database.tenant(other) as conn:
        assert (await conn.execute(text("SELECT count(*) FROM memories"))).scalar() == 1
    async with database.tenant(user) as conn:
        assert (await conn.execute(text("SELECT count(*) FROM memories"))).scalar() == 0


async def test_every_table_with_a_user_is_protected(database: Database) -> None:
    async with database.engine.connect() as conn:
        found = await conn.execute(text(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'"
            " WHERE c.relnamespace = 'jmem'::regnamespace AND c.relkind = 'r'"))  # fmt: skip
        protected = dict(found.all())
    assert set(NAMES) <= set(protected)
    assert all(protected.values()), protected


async def test_connections_that_the_server_closed_are_replaced(
    database: Database, owner_url: str, user: uuid.UUID
) -> None:
    await fill(database, user)
    async with database.tenant(user), database.tenant(user), database.tenant(user):
        pass  # there are three now
    owner = Database(owner_url)
    async with owner.engine.connect() as conn:
        await conn.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                " WHERE datname = current_database() AND pid <> pg_backend_pid()"))  # fmt: skip
    await owner.close()
    async with database.tenant(user) as conn:
        assert (await conn.execute(text("SELECT count(*) FROM memories"))).scalar() == 1


async def test_who_is_cancelled_as_a_transaction_begins_is(
    database: Database, user: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def slow(self: asyncpg.Connection[asyncpg.Record], query: str, *args: Any, **named: Any) -> str:
        begun.set()
        await asyncio.sleep(9)
        return ""

    async def ask() -> None:
        async with database.tenant(user):
            pass

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "execute", slow)
        asked = asyncio.create_task(ask())
        await begun.wait()
        patch.undo()  # another try would go well
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    await ask()


async def test_a_connection_that_breaks_in_a_write_takes_nothing_with_it(database: Database, user: uuid.UUID) -> None:
    id = await fill(database, user)

    end = "SELECT pg_terminate_backend(pg_backend_pid())"

    async def broken() -> None:
        async with database.tenant(user) as conn:
            await driver(conn).execute("UPDATE memories SET content = 'half'")
            await driver(conn).execute(end)

    async def noticed() -> None:
        async with database.tenant(user) as conn:
            await conn.execute(text("UPDATE memories SET content = 'half'"))
            await conn.execute(text(end))

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await broken()
    with pytest.raises(DBAPIError):
        await noticed()
    async with database.tenant(user) as conn:
        assert (await conn.execute(text("SELECT id, content FROM memories"))).all() == [(id, "mine")]
