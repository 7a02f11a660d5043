"""Identity's tables and functions, made by a role that is no superuser, as hosted databases have it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from hosted.db.engine import Database
from hosted.db.migrate import downgrade, upgrade
from hosted.dev import cluster as postgres
from hosted.dev.cluster import UNSAFE, Cluster
from hosted.identity import keys, secret
from hosted.identity.lookup import Lookup, Rights
from hosted.identity.tables import metadata


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of its own: roles are a cluster's, and here nobody but the owner may have made them."""
    folder = Path(tempfile.mkdtemp(prefix="jmem-cluster-"))
    made = postgres.start(folder, UNSAFE)
    made.psql(
        "postgres", "CREATE ROLE owner LOGIN CREATEROLE", "CREATE ROLE app LOGIN", "CREATE DATABASE d OWNER owner"
    )
    yield made
    made.stop()
    shutil.rmtree(folder)


def test_an_owner_without_a_superusers_powers_migrates_up_and_down(cluster: Cluster) -> None:
    owner, app = cluster.url("d", "owner"), cluster.url("d", "app")

    async def use() -> None:
        user, database, behind = uuid.uuid4(), Database(app, pool_size=1), Database(owner, pool_size=1)
        async with database.tenant(user) as conn:
            made = await keys.create(conn, user, "api", Rights("claude"))
        holder = await Lookup(database.engine).key(secret.digest(made.text) or b"")
        assert holder
        assert holder.user_id == user
        async with behind.engine.connect() as conn:
            assert (await conn.execute(text("SELECT count(*) FROM jmem.api_keys"))).scalar_one() == 0
            owners = text(
                "SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE prosecdef AND pronamespace = 'jmem'::regnamespace"
            )
            found = set((await conn.execute(owners)).scalars())
            assert "jmem_lookup" in found
            assert not found & {"owner", "app", "jmem_app"}
        await database.close()
        await behind.close()

    async def run() -> None:
        for _ in range(2):
            await upgrade(owner, application_url=app)
            await use()
            await downgrade(owner, "0001")
        await downgrade(owner, "base")

    asyncio.run(run())


async def test_the_tables_are_as_queries_name_them(owner_url: str) -> None:
    database, ours = Database(owner_url, pool_size=1), {"api_keys", "grants", "sign_outs", "deletions", "tombstones"}

    def compare(conn: Connection) -> list[object]:
        options = {
            "compare_type": True, "include_schemas": True,
            "include_name": lambda name, kind, parents: name == "jmem" if kind == "schema" else kind != "table" or name in ours,
        }  # fmt: skip
        context = MigrationContext.configure(conn, opts=options)
        return [found for found in compare_metadata(context, metadata) if not _is_anothers(found, ours)]

    async with database.engine.connect() as conn:
        differences = await conn.run_sync(compare)
    await database.close()
    assert {table.name for table in metadata.tables.values()} >= ours
    assert differences == []


def _is_anothers(found: object, ours: set[str]) -> bool:
    """Whether a difference is that a table of another part was not looked at."""
    return isinstance(found, tuple) and found[0] in ("add_table", "add_index") and not ours & {
        getattr(found[1], "name", ""), getattr(getattr(found[1], "table", None), "name", "")
    }  # fmt: skip
