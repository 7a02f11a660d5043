"""Identity's tables and functions, made by a role that is no superuser, as hosted databases have it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from hosted.db.engine import Database
from hosted.db.migrate import downgrade, upgrade
from hosted.dev import cluster as postgres
from hosted.dev.cluster import UNSAFE, Cluster
from hosted.identity import keys, secret
from hosted.identity.lookup import Lookup, Rights


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
            assert (await conn.execute(owners)).scalars().all() == ["jmem_lookup"]
        await database.close()
        await behind.close()

    async def run() -> None:
        for _ in range(2):
            await upgrade(owner, "0002", application_url=app)
            await use()
            await downgrade(owner, "0001")
        await downgrade(owner, "base")

    asyncio.run(run())
