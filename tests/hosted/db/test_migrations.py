"""Migrations: from empty, from every revision on a filled database, down and up again; and the tables as queries name them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from hosted.db.engine import Database
from hosted.db.migrate import downgrade, revisions, upgrade
from hosted.db.tables import metadata
from hosted.ops import feed
from hosted.ops.events import Bus
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce
from tests.hosted.conftest import APP, Databases


@pytest.fixture
def empty(databases: Databases) -> Iterator[str]:
    """A database without anything."""
    name = databases.make("template1")
    yield name
    databases.drop(name)


async def fill(url: str) -> uuid.UUID:
    user, clock = uuid.uuid4(), Clock()
    ops = [
        Op(
            clock.tick(),
            new_id(),
            {"content": f"memory {n} of the sea", "tags": ["a"], "client": "cli"},
            (),
            "cli",
            new_nonce(),
        ).sealed()
        for n in range(30)
    ]
    first, second = ops[0], ops[1]
    ops += [  # two texts of one memory that were written apart, and two of which one was written in sight of the other
        Op(clock.tick(), first.id, {"content": "one of the lake"}, (first.stamp,), "cli", new_nonce()).sealed(),
        Op(clock.tick(), first.id, {"content": "one of the river"}, (first.stamp,), "cli", new_nonce()).sealed(),
        Op(
            clock.tick(), second.id, {"content": "two of the lake", "odd\0": "\0"}, (second.stamp,), "cli", new_nonce()
        ).sealed(),
    ]
    database = Database(url, pool_size=1)
    await feed.push(database, Bus(), user, "d", [{**op.body(), "digest": op.digest} for op in ops])
    await database.close()
    return user


async def marked(url: str, user: uuid.UUID) -> list[str]:
    """The live texts of memories with texts that were written apart."""
    conn = await asyncpg.connect(url)
    try:
        found = await conn.fetch("SELECT content FROM jmem.memories WHERE user_id = $1 AND apart ORDER BY id", user)
        return [record["content"] for record in found]
    finally:
        await conn.close()


async def count(url: str, user: uuid.UUID) -> int:
    conn = await asyncpg.connect(url)
    try:
        return int(
            await conn.fetchval("SELECT count(*) FROM jmem.memories WHERE user_id = $1 AND content IS NOT NULL", user)
        )
    finally:
        await conn.close()


async def test_down_and_up_from_every_revision_on_a_filled_database(databases: Databases, empty: str) -> None:
    owner, app = databases.cluster.url(empty), databases.cluster.url(empty, APP)
    await upgrade(owner, application_url=app)
    user = await fill(app)
    steps = revisions()
    for revision in reversed(steps[:-1]):
        await downgrade(owner, revision)
        assert await count(owner, user) == 30
        await upgrade(owner)
        assert await count(owner, user) == 30
        assert await marked(owner, user) == ["one of the river"]
        await fill(app)
    await downgrade(owner, "base")
    conn = await asyncpg.connect(owner)
    left = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'jmem'")
    await conn.close()
    assert [row["tablename"] for row in left] == ["alembic_version"]
    for revision in steps:  # one by one, as a deployment that was never late
        await upgrade(owner, revision, application_url=app)
    await fill(app)
    await upgrade(owner)


async def test_what_was_written_apart_is_marked_for_an_owner_whom_row_level_security_binds(
    databases: Databases, empty: str
) -> None:
    owner, app = databases.cluster.url(empty), databases.cluster.url(empty, APP)
    await upgrade(owner, application_url=app)
    users = [await fill(app) for _ in range(2)]
    await downgrade(owner, "0012")
    conn = await asyncpg.connect(owner)
    role = f"bound_{empty}"
    try:
        await conn.execute(
            f"CREATE ROLE {role} LOGIN; ALTER SCHEMA jmem OWNER TO {role}; GRANT CREATE ON DATABASE {empty} TO {role}"
        )
        for table in await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'jmem'"):
            await conn.execute(f"ALTER TABLE jmem.{table['tablename']} OWNER TO {role}")
        await upgrade(databases.cluster.url(empty, role), "0013")
        assert [await marked(owner, user) for user in users] == [["one of the river"]] * 2
        forced = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relname IN ('memories', 'ops') AND relforcerowsecurity"
        )
        assert len(forced) == 2
    finally:
        await conn.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")
        await conn.close()


async def test_the_tables_are_as_queries_name_them(databases: Databases, database_name: str) -> None:
    database = Database(databases.cluster.url(database_name))

    def compare(conn: Connection) -> list[object]:
        named = {table.name for table in metadata.tables.values()}
        options = {
            "compare_type": True, "include_schemas": True,
            "include_name": lambda name, kind, parents: name == "jmem" if kind == "schema" else kind != "table" or name in named,
        }  # fmt: skip
        return list(compare_metadata(MigrationContext.configure(conn, opts=options), metadata))

    async with database.engine.connect() as conn:
        differences = await conn.run_sync(compare)
    await database.close()
    assert differences == []
