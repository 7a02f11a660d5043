"""Sync push of 500-op batches through the app, beside plain batched inserts of the same rows through asyncpg."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from fastapi import Request

from bench import text
from bench.harness import Options, Row, Sample, info, main, share
from hosted.app import make_app
from hosted.db.engine import Database
from hosted.db.migrate import upgrade
from hosted.dev import cluster as postgres
from hosted.identity.principal import Principal, current, owner
from hosted.memories.service import Backend
from hosted.ops.events import Bus
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce

BATCH = 500


def _batch(clock: Clock, told: list[dict[str, Any]]) -> bytes:
    ops = []
    for item in told:
        fields = {"content": item["content"], "tags": ["travel", "bench"], "client": "cli", "thread": item.get("thread"),
                  "created_at": "2026-01-01T00:00:00.000Z", "metadata": {"n": 1}}  # fmt: skip
        ops.append(Op(clock.tick(), new_id(), fields, (), "cli", new_nonce()).sealed().text())
    return ('{"device":"laptop","ops":[' + ",".join(ops) + "]}").encode()


async def _floor(conn: asyncpg.Connection[asyncpg.Record], rows: dict[str, list[asyncpg.Record]]) -> float:
    """Seconds for the same rows, as another tenant's, one transaction."""
    user = uuid.uuid4()
    start = time.perf_counter()
    async with conn.transaction():
        await conn.execute("SELECT set_config('app.user_id', $1, true)", str(user))
        for table, records in rows.items():
            names = list(records[0].keys())
            marks = ", ".join(f"${n}" for n in range(1, len(names) + 1))
            sql = f"INSERT INTO jmem.{table} ({', '.join(names)}) VALUES ({marks})"
            await conn.executemany(sql, [(user, *tuple(record)[1:]) for record in records])
    return time.perf_counter() - start


async def _run(cluster: postgres.Cluster, rounds: int) -> tuple[list[float], list[float], list[float]]:
    url = cluster.url("bench", "app")
    database = Database(url, pool_size=2)
    app = make_app(Backend(database, Bus()), identity=None)

    async def let_in(request: Request) -> Principal:
        return Principal(uuid.UUID(request.headers["x-user"]), Actor("web"), "session")

    app.dependency_overrides[current] = app.dependency_overrides[owner] = let_in
    conn, behind = await asyncpg.connect(url), await asyncpg.connect(cluster.url("bench"))
    told = list(text.memories(BATCH * (rounds + 2), seed=7))
    clock, user = Clock(), str(uuid.uuid4())
    headers = {"x-user": user, "content-type": "application/json"}
    pushes: list[float] = []
    again: list[float] = []
    floors: list[float] = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as http:
        for number in range(rounds + 2):
            body = _batch(clock, told[number * BATCH : (number + 1) * BATCH])
            took = []
            for _ in range(2):
                start = time.perf_counter()
                answer = await http.post("/api/v1/sync/push", content=body, headers=headers)
                took.append(time.perf_counter() - start)
                assert len(json.loads(answer.content)["acked"]) == BATCH, answer.text[:300]
            rows = {
                table: await behind.fetch(
                    f"SELECT {await behind.fetchval(_WRITTEN, table)} FROM jmem.{table}"
                    f" WHERE user_id = $1 ORDER BY seq DESC LIMIT {BATCH}",
                    uuid.UUID(user),
                )
                for table in ("ops", "memories")
            }
            floor = await _floor(conn, rows)
            if number >= 2:
                pushes.append(took[0])
                again.append(took[1])
                floors.append(floor)
    await conn.close()
    await behind.close()
    await database.close()
    return pushes, again, floors


_WRITTEN = """
SELECT string_agg(column_name, ', ' ORDER BY column_name <> 'user_id') FROM information_schema.columns
WHERE table_schema = 'jmem' AND table_name = $1 AND is_generated = 'NEVER'"""
"""The columns that a write gives, the tenant's first."""


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    folder = Path(tempfile.mkdtemp(prefix="jmem-bench-"))
    cluster = postgres.start(folder)
    try:
        cluster.psql("postgres", "CREATE DATABASE bench", "CREATE ROLE app LOGIN")
        asyncio.run(upgrade(cluster.url("bench"), application_url=cluster.url("bench", "app")))
        pushes, again, floors = asyncio.run(_run(cluster, 8 if options.quick else 40))
    finally:
        cluster.stop()
        shutil.rmtree(folder)
    rate, plain = (Sample(tuple(BATCH / seconds for seconds in taken)) for taken in (pushes, floors))
    return [
        share("push of 500 ops", rate.p50, plain.p50, "ops/s", 0.5),
        info("push of 500 known ops", Sample(tuple(BATCH / seconds for seconds in again)).p50, "ops/s"),
    ]


if __name__ == "__main__":
    main("push", "Sync push beside plain batched inserts", bench)
