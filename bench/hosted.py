"""A page of memories and a search by words through the app, beside the bare SQL that each needs, over 50 full accounts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import uvloop
from starlette.types import ASGIApp

from bench import text
from bench.harness import Options, Row, Sample, info, main, ratio_of, say
from hosted.app import make_app
from hosted.db.engine import Database
from hosted.db.fulltext import TERM
from hosted.db.migrate import upgrade
from hosted.dev import cluster as postgres
from hosted.identity.principal import Principal
from hosted.memories.service import Backend
from hosted.ops import feed
from hosted.ops.events import Bus
from hosted.ops.rows import COLUMNS
from jmem.core.actor import Actor
from jmem.core.clock import Clock
from jmem.core.model import Op, new_id, new_nonce
from jmem.core.terms import query_terms

PAGE = 100
BATCH = 500
_TENANT = "SELECT set_config('app.user_id', $1, true)"
_LIST = (
    f"SELECT {COLUMNS}, (SELECT true FROM jmem.memories s WHERE s.user_id = m.user_id AND s.supersedes = m.id LIMIT 1)"
    " FROM jmem.memories m WHERE m.user_id = $1 AND m.content IS NOT NULL AND NOT m.deleted"
    " AND m.state = 'active' AND (m.expires_at IS NULL OR m.expires_at > $2)"
    f" ORDER BY m.created_at DESC, m.id DESC LIMIT {PAGE + 1}"
)
_MATCH = (
    "SELECT f.term, f.total, f.ids, f.ranks, f.lengths FROM jmem.matching(ARRAY(SELECT "
    + TERM.format("u.word")
    + " FROM unnest($1::text[]) WITH ORDINALITY u (word, n) ORDER BY n), 2000) f"
)
_ROWS = f"SELECT {COLUMNS} FROM jmem.memories m WHERE m.user_id = $1 AND m.id = ANY ($2::text[])"
_STOCK = "SELECT count(*) FROM jmem.memories m WHERE m.user_id = $1 AND m.content IS NOT NULL AND NOT m.deleted"
NOW = "2026-11-22T00:00:00.000Z"


async def fill(database: Database, users: list[uuid.UUID], each: int) -> None:
    """Accounts with memories as real ones have them."""
    clock = Clock()
    for number, user in enumerate(users):
        told = list(text.memories(each, seed=number + 1))
        for start in range(0, each, BATCH):
            ops = [
                Op(clock.tick(), new_id(), {
                    "content": item["content"], "tags": item.get("tags", []), "client": "cli", "thread": item["thread"],
                    "occurred_at": _moment(item), "created_at": _moment(item),
                    **({"speaker": item["speaker"]} if "speaker" in item else {}),
                }, (), "cli", new_nonce()).sealed()
                for item in told[start : start + BATCH]
            ]  # fmt: skip
            outcomes = await feed.push(database, Bus(), user, "laptop", [json.loads(op.text()) for op in ops])
            assert all(outcome.code is None for outcome in outcomes), outcomes[0]


def _moment(item: dict[str, Any]) -> str:
    return str(item["occurred_at"]).replace("Z", ".000Z")


async def bare_list(conn: asyncpg.Connection[asyncpg.Record], user: uuid.UUID) -> None:
    """What a page has to ask Postgres, and no more: the tenant, and its newest memories, with whether something newer is said."""
    async with conn.transaction():
        await conn.execute(_TENANT, str(user))
        await conn.fetch(_LIST, user, NOW)


async def bare_search(conn: asyncpg.Connection[asyncpg.Record], user: uuid.UUID, question: str) -> None:
    """What a search by words has to ask: the tenant, which rows have the words, how many there are, the best of them."""
    async with conn.transaction():
        await conn.execute(_TENANT, str(user))
        found = await conn.fetch(_MATCH, query_terms(question))
        await conn.fetchval(_STOCK, user)
        ids = list(dict.fromkeys(id for record in found for id in record["ids"] or ()))
        await conn.fetch(_ROWS, user, ids[:10])


@dataclass(frozen=True)
class Asker:
    """Asks the app as its server does, without the cost of a client and a connection."""

    app: ASGIApp

    async def __call__(self, user: uuid.UUID, method: str, path: str, query: str = "", body: Any = None) -> None:
        """Ask, and see that the answer is good."""
        told = b"" if body is None else json.dumps(body).encode()
        headers = [(b"authorization", b"Bearer %s" % str(user).encode()), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": method,
            "path": f"/api/v1{path}", "raw_path": f"/api/v1{path}".encode(), "query_string": query.encode(),
            "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("bench", 80),
        }  # fmt: skip
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": told, "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        await self.app(scope, receive, send)
        assert said[0]["status"] == 200, said
        assert any(message.get("body", b"").startswith(b"{") for message in said[1:]), said


class LetIn:
    """Takes an account's id for the proof that it is asked by its owner: tokens are not what is measured here."""

    async def of_bearer(self, token: str) -> Principal:
        """Who asks."""
        return Principal(uuid.UUID(token), Actor("web"), "session")


async def timed(work: Awaitable[Any]) -> float:
    """Wall milliseconds of one awaited thing."""
    start = time.perf_counter()
    await work
    return (time.perf_counter() - start) * 1000


async def _run(
    cluster: postgres.Cluster, users: int, each: int, rounds: int
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[Sample, Sample]]]:
    """CPU of a request (ms here, ms in Postgres), and the times of each kind with those of its floor."""
    url = cluster.url("bench", "app")
    database = Database(url, pool_size=2)
    people = [uuid.uuid4() for _ in range(users)]
    say(f"filling {users} accounts with {each:,} memories each")
    await fill(database, people, each)
    cluster.psql("bench", "ANALYZE")
    conn = await asyncpg.connect(url)
    rng = random.Random(3)
    questions = text.questions(rounds + 5)
    cpu: dict[str, tuple[float, float]] = {}
    taken: dict[str, tuple[list[float], list[float]]] = {"list": ([], []), "search": ([], [])}
    ask = Asker(make_app(Backend(database, Bus()), identity=LetIn()))
    for number in range(rounds + 5):
        user, question = rng.choice(people), questions[number]
        asked = {"query": question, "mode": "text"}
        pairs: dict[str, tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]] = {
            "list": (partial(ask, user, "GET", "/memories", f"limit={PAGE}"), partial(bare_list, conn, user)),
            "search": (partial(ask, user, "POST", "/search", "", asked), partial(bare_search, conn, user, question)),
        }
        for name, (whole, bare) in pairs.items():
            first, second = (whole, bare) if number % 2 else (bare, whole)  # who comes second finds the pages warm
            times = [await timed(first()), await timed(second())]
            if number >= 5:
                taken[name][0].append(times[0 if number % 2 else 1])
                taken[name][1].append(times[1 if number % 2 else 0])
    for name, method, path, query, body in (
        ("list", "GET", "/memories", f"limit={PAGE}", None), ("search", "POST", "/search", "", {"mode": "text"}),
    ):  # fmt: skip
        own, servers = time.process_time(), _servers_cpu(cluster)
        for number in range(rounds):
            asked = body and {**body, "query": questions[number]}
            await ask(people[number % users], method, path, query, asked)
        used = [(time.process_time() - own) * 1000 / rounds, (_servers_cpu(cluster) - servers) * 1000 / rounds]
        cpu[name] = (used[0], used[1])
    await conn.close()
    await database.close()
    return cpu, {name: (Sample(tuple(whole)), Sample(tuple(bare))) for name, (whole, bare) in taken.items()}


def _servers_cpu(cluster: postgres.Cluster) -> float:
    """Seconds of CPU that Postgres' processes have used."""
    pid = int((cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    used = 0.0
    for process in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:2])
    return used


async def sizes(cluster: postgres.Cluster, memories: int) -> tuple[float, float]:
    """Bytes that a memory takes in Postgres: its row, ops and indexes; and those of them that are indexes."""
    conn = await asyncpg.connect(cluster.url("bench"))
    whole, indexes = await conn.fetchrow(
        "SELECT sum(pg_total_relation_size(oid)), sum(pg_indexes_size(oid)) FROM pg_class"
        " WHERE relnamespace = 'jmem'::regnamespace AND relkind = 'r'"
    )
    await conn.close()
    return float(whole) / memories, float(indexes) / memories


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    users, each, rounds = (5, 500, 60) if options.quick else (50, 2_000, 400)
    folder = Path(tempfile.mkdtemp(prefix="jmem-bench-"))
    cluster = postgres.start(folder)
    try:
        cluster.psql("postgres", "CREATE DATABASE bench", "CREATE ROLE app LOGIN")
        asyncio.run(upgrade(cluster.url("bench"), application_url=cluster.url("bench", "app")))
        cpu, taken = uvloop.run(_run(cluster, users, each, rounds))  # as the server that runs it
        whole, indexes = asyncio.run(sizes(cluster, users * each))
    finally:
        cluster.stop()
        shutil.rmtree(folder)
    rows = []
    for name, title in (("list", f"GET /memories, a page of {PAGE}"), ("search", "search by words")):
        measured, floor = taken[name]
        rows.append(ratio_of(f"{title}, p95", measured.quantile(0.95), floor.quantile(0.95), "ms", 3.0))
        rows.append(info(f"{title}, p50", measured.p50, "ms", floor=floor.p50))
        rows.append(info(f"{title}, CPU of the application", cpu[name][0], "ms"))
        rows.append(info(f"{title}, CPU of Postgres", cpu[name][1], "ms"))
    rows += [info("a memory in Postgres", whole, "bytes"), info("of it indexes", indexes, "bytes")]
    return rows


if __name__ == "__main__":
    main("hosted", "The hosted account beside bare SQL", bench)
