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
from hosted.ops.apply import apply
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
    database = Database(url, pool_size=1)
    async with database.tenant(user) as conn:
        await apply(conn, user, ops, device="d")
    await database.close()
    return user


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
