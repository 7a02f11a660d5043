"""A first sync up and down beside the raw transfer and commit of the same bytes; what one machine tells another, and when."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from bench import text
from bench.harness import Options, Row, Sample, below, info, main, ratio_of, say
from bench.home import temporary_home, wait_for
from bench.hosted_soak import UNLIMITED
from bench.sync_wire import Line
from jmem.core.actor import Actor
from jmem.core.drafts import Draft
from jmem.core.service import MemoryService
from jmem.core.store import Store

PAGE = 500
MEMORIES, MANY, QUICK = 10_000, 100_000, 2_000
GROWTH_MB = 150.0
EMAIL, PASSWORD = "bench@example.com", "a long password"


# ---- the account ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """A running `python -m hosted dev`, and somebody who is signed up."""

    url: str
    token: str
    user: uuid.UUID
    database_url: str


@contextlib.contextmanager
def hosted() -> Iterator[dict[str, Any]]:
    """The backend as a process of its own, which takes as many requests as come; where it is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JMEM_")} | UNLIMITED
    process = subprocess.Popen([sys.executable, "-m", "hosted", "dev", "--port", "0", "--json"],
                               stdout=subprocess.PIPE, env=kept)  # fmt: skip
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def sign_up(told: dict[str, Any], email: str) -> Account:
    """Somebody new."""
    headers = {"apikey": told["publishable_key"]}
    asked = {"email": email, "password": PASSWORD}
    answer = httpx.post(f"{told['supabase_url']}/auth/v1/signup", json=asked, headers=headers).raise_for_status().json()
    return Account(told["url"], answer["access_token"], uuid.UUID(answer["user"]["id"]), told["migration_database_url"])


# ---- a device, as a process of its own -------------------------------------------------------


def device(folder: Path, url: str, token: str, fill: int) -> None:
    """Exchange once; prints the seconds it took, what went, and MB beyond what the process had before."""
    from sync.engine import Engine
    from sync.remote import Remote

    store = Store.open(folder)
    if fill:
        _fill(store, folder, fill)
    with httpx.Client(timeout=60) as http:
        remote = Remote(url, store.store_id, lambda refused: token, http)
        engine = Engine(store, remote, lambda taken: None)
        remote.hello()
        process = psutil.Process()
        idle, peak, ended = process.memory_info().rss, [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            start = time.perf_counter()
            progress = engine.exchange()
            seconds = time.perf_counter() - start
        finally:
            ended.set()
            watcher.join()
    store.close()
    print(json.dumps({"seconds": seconds, "sent": progress.sent, "received": progress.received,
                      "growth_mb": max(0, peak[0] - idle) / 1e6}))  # fmt: skip


def _fill(store: Store, folder: Path, count: int) -> None:
    from jmem.core.access import AccessLog

    access = AccessLog(folder)
    service = MemoryService(store, access)
    drafts = [Draft(item["content"], tags=("travel", "bench"), thread=item["thread"]) for item in text.memories(count)]
    for start in range(0, count, PAGE):
        service.add_many(drafts[start : start + PAGE], Actor("cli"))
    access.close()


def run_device(folder: Path, account: Account, fill: int = 0) -> dict[str, Any]:
    """`device` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.sync", "--device", str(folder), "--url", account.url, "--token", account.token,
         "--fill", str(fill)],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ---- the floors -------------------------------------------------------------------------------


def transfer(size: int) -> float:
    """Seconds for so many bytes over a loopback connection, a page's worth at a time, each acknowledged."""
    listening = socket.create_server(("127.0.0.1", 0))

    def drain() -> None:
        taken, _ = listening.accept()
        with taken:
            while data := taken.recv(1 << 16):
                taken.sendall(data[:1])

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    start = time.perf_counter()
    with socket.create_connection(listening.getsockname()) as out:
        for _ in range(0, size, 1 << 16):
            out.sendall(bytes(1 << 16))
            out.recv(1 << 16)
    listening.close()
    return time.perf_counter() - start


async def postgres_floor(account: Account) -> float:
    """Seconds for the account's rows once more, as another one's: ops and memories, a transaction a page."""
    conn = await asyncpg.connect(account.database_url)
    other, took = uuid.uuid4(), 0.0
    tables: dict[str, tuple[str, str]] = {}
    for table in ("ops", "memories"):
        columns = await conn.fetch(
            "SELECT column_name::text AS name FROM information_schema.columns WHERE table_schema = 'jmem' AND table_name = $1"
            " AND is_generated = 'NEVER' AND column_name <> 'user_id' ORDER BY ordinal_position", table)  # fmt: skip
        names = [record["name"] for record in columns]
        marks = ", ".join(f"${n}" for n in range(2, len(names) + 2))
        tables[table] = (
            ", ".join(names),
            f"INSERT INTO jmem.{table} (user_id, {', '.join(names)}) VALUES ($1, {marks})",
        )
    last: int = await conn.fetchval("SELECT max(seq) FROM jmem.ops WHERE user_id = $1", account.user)
    for start in range(0, last, PAGE):
        pages = {
            table: await conn.fetch(
                f"SELECT {names} FROM jmem.{table} WHERE user_id = $1 AND seq > $2 AND seq <= $3", account.user, start, start + PAGE)
            for table, (names, _) in tables.items()
        }  # fmt: skip
        began = time.perf_counter()
        async with conn.transaction():
            for table, rows in pages.items():
                await conn.executemany(tables[table][1], [(other, *row) for row in rows])
        took += time.perf_counter() - began
    for table in tables:
        await conn.execute(f"DELETE FROM jmem.{table} WHERE user_id = $1", other)
    await conn.close()
    return took


def sqlite_floor(source: Path, folder: Path) -> float:
    """Seconds for a store's rows once more in another one: ops, memories, tags and full text, a durable commit a page."""
    Store.open(folder).close()
    conn = sqlite3.connect(folder / "memories.db", isolation_level=None)
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA secure_delete = ON")
    conn.execute("PRAGMA temp_store = MEMORY")
    conn.execute("PRAGMA cache_size = -16000")
    conn.execute("ATTACH ? AS there", (str(source / "memories.db"),))
    took = 0.0
    conn.execute("INSERT INTO actions SELECT * FROM there.actions WHERE id NOT IN (SELECT id FROM actions)")
    (last,) = conn.execute("SELECT max(seq) FROM there.ops").fetchone()
    for start in range(0, last, PAGE):
        span = (start, start + PAGE)
        pages = {
            "ops": conn.execute("SELECT * FROM there.ops WHERE seq > ? AND seq <= ?", span).fetchall(),
            "memories": conn.execute("SELECT * FROM there.memories WHERE seq > ? AND seq <= ?", span).fetchall(),
        }
        rowids = json.dumps([row[0] for row in pages["memories"]])
        chosen = "rowid IN (SELECT value FROM json_each(?))"
        pages["memory_tags"] = conn.execute(f"SELECT * FROM there.memory_tags WHERE {chosen}", (rowids,)).fetchall()
        words = conn.execute(f"SELECT rowid, text, context FROM there.memory_fts WHERE {chosen}", (rowids,)).fetchall()
        began = time.perf_counter()
        conn.execute("BEGIN IMMEDIATE")
        for table, rows in pages.items():
            if rows:
                conn.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        conn.executemany("INSERT INTO memory_fts (rowid, text, context) VALUES (?, ?, ?)", words)
        conn.execute("COMMIT")
        took += time.perf_counter() - began
    conn.close()
    return took


# ---- the measures -----------------------------------------------------------------------------


def first_sync(told: dict[str, Any], count: int, place: Path) -> list[Row]:
    """Up from one device, down to another."""
    account = sign_up(told, f"{count}-{EMAIL}")
    say(f"{count:,} memories up")
    up = run_device(place / "up", account, count)
    say(f"{count:,} memories down")
    down = run_device(place / "down", account)
    assert up["sent"] == down["received"] == count, (up, down)
    with contextlib.closing(sqlite3.connect(place / "up" / "memories.db")) as conn:
        (size,) = conn.execute("SELECT sum(length(CAST(payload AS BLOB))) FROM ops").fetchone()
    wire = transfer(size)
    rows = asyncio.run(postgres_floor(account))
    store = sqlite_floor(place / "up", place / "floor")
    name = f"first sync of {count:,}"
    return [
        ratio_of(f"{name}, up", up["seconds"], wire + rows, "s", 3.0),
        ratio_of(f"{name}, down", down["seconds"], wire + store, "s", 3.0),
        below(f"{name}, up: memory over idle", up["growth_mb"], "MB", GROWTH_MB),
        below(f"{name}, down: memory over idle", down["growth_mb"], "MB", GROWTH_MB),
        info(f"{name}: bytes", size / 1e6, "MB"),
    ]


def together(told: dict[str, Any], rounds: int, idle_s: float) -> list[Row]:
    """Two daemons: from a write on one to its hit on the other, and what an idle minute costs."""
    sign_up(told, EMAIL)
    with contextlib.ExitStack() as stack:
        line = Line(told["url"])
        stack.callback(line.close)
        homes = [stack.enter_context(temporary_home()) for _ in range(2)]
        apis = []
        for home in homes:
            home.start()
            apis.append(stack.enter_context(contextlib.closing(home.api())))
            apis[-1].must("POST", "/account/login", {"url": line.url, "email": EMAIL, "password": PASSWORD})
        for api in apis:
            wait_for(lambda api=api: _listens(api), 60, "sync is on")  # type: ignore[misc]
        taken = []
        for n in range(rounds + 2):
            word = f"zebra{uuid.uuid4().hex[:10]}"
            start = time.perf_counter()
            apis[n % 2].add(f"the word of the day is {word}")
            wait_for(lambda w=word, api=apis[1 - n % 2]: api.search(w, mode="text")["results"], 20, "the word")  # type: ignore[misc]
            if n >= 2:
                taken.append(time.perf_counter() - start)
        say(f"idle for {idle_s:g} s")
        time.sleep(3)
        before = line.up + line.down
        time.sleep(idle_s)
        idle = (line.up + line.down - before) * 60 / idle_s / len(homes)
    sample = Sample(tuple(taken))
    return [
        below("a write is found on another machine, p50", sample.p50, "s", 1.0, spread=sample.spread),
        below("a write is found on another machine, worst", max(taken), "s", 1.0),
        below("an idle device, a minute", idle, "bytes", 1024),
    ]


def _listens(api: Any) -> bool:
    status = api.must("GET", "/sync")
    return bool(status["state"] == "on" and status["streaming"])


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    place = Path(tempfile.mkdtemp(prefix="jmem-bench-"))
    try:
        with hosted() as told:
            rows = first_sync(told, QUICK if options.quick else MEMORIES, place / "some")
            if options.rest.full:
                rows += first_sync(told, MANY, place / "many")
            return rows + together(told, 5 if options.quick else 30, 30 if options.quick else 120)
    finally:
        shutil.rmtree(place)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help=f"also a first sync of {MANY:,}")


if __name__ == "__main__":
    if "--device" in sys.argv:
        asked = argparse.ArgumentParser()
        for option, kind in (("--device", Path), ("--url", str), ("--token", str), ("--fill", int)):
            asked.add_argument(option, type=kind)
        given = asked.parse_args()
        device(given.device, given.url, given.token, given.fill)
    else:
        main("sync", "Sync beside the raw transfer and commit of the same bytes", bench, _more)
