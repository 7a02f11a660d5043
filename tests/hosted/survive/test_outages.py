"""What the backend stands on goes away: it says so, loses nothing that it acknowledged, and is back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hosted.db.migrate import upgrade
from hosted.dev import cluster as postgres
from hosted.dev.cluster import UNSAFE, Cluster
from tests.hosted.conftest import APP
from tests.hosted.identity.conftest import Running
from tests.hosted.world import Person, World, served, sign_up, until

BRIEF_S = 0.3
"""How long a request waits for a connection that there is not."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Postgres of these tests' own, which they may stop."""
    folder = Path(tempfile.mkdtemp(prefix="jmem-outage-"))
    made = postgres.start(folder, UNSAFE)
    made.psql("postgres", "CREATE DATABASE jmem", f"CREATE ROLE {APP} LOGIN")
    asyncio.run(upgrade(made.url("jmem"), application_url=made.url("jmem", APP)))
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def world(cluster: Cluster, supabase: Running) -> Iterator[World]:
    """Two connections to Postgres."""
    with served(cluster.url("jmem", APP), cluster.url("jmem"), supabase, database_pool_size=2) as made:
        yield made


@contextlib.contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    """Postgres is away for a while, and comes back where it was."""
    data = str(cluster.folder / "data")
    postgres._run(cluster.programs, "pg_ctl", "stop", "-D", data, "-m", "fast", "-w")
    try:
        yield
    finally:
        options = {"listen_addresses": "", "unix_socket_directories": str(cluster.sockets), **UNSAFE}
        flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        postgres._run(
            cluster.programs, "pg_ctl", "start", "-D", data, "-w", "-l", str(cluster.folder / "log"), "-o", flags
        )


def refused(answer: httpx.Response, *codes: str) -> None:
    """A clear word that it can't be done now."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] in codes
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["fix"]


class Writers:
    """Write without a pause, and note what was acknowledged."""

    def __init__(self, world: World, count: int) -> None:
        self.acknowledged: list[str] = []
        self.refusals: list[httpx.Response] = []
        self.strange: list[str] = []
        self._ended = threading.Event()
        self._world = world
        self.me = world.person()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(count)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def _write(self) -> None:
        with httpx.Client(base_url=self._world.url, timeout=20) as http:
            me = Person(http, self.me.email, self.me.user, self.me.token, self.me.refresh)
            while not self._ended.is_set():
                text = uuid.uuid4().hex
                try:
                    answer = me.ask("POST", "/api/v1/memories", json={"content": text})
                except httpx.HTTPError as error:
                    self.strange.append(repr(error))
                    continue
                if answer.status_code == 201:
                    self.acknowledged.append(text)
                elif answer.status_code == 503:
                    self.refusals.append(answer)
                    time.sleep(0.02)
                else:
                    self.strange.append(f"{answer.status_code} {answer.text}")


def test_postgres_is_restarted_under_load(cluster: Cluster, world: World) -> None:
    with Writers(world, 3) as writers:
        until(lambda: len(writers.acknowledged) > 20, "no write gets through at first")
        with stopped(cluster):
            until(lambda: len(writers.refusals) > 5, "nobody is told")
            assert world.http.get("/health").status_code == 200  # no reason to end the process
            assert world.http.get("/ready").status_code == 503  # but one to ask another
        before = len(writers.acknowledged)
        until(lambda: len(writers.acknowledged) > before + 20, "it does not come back by itself")
    assert not writers.strange, writers.strange[:3]
    for answer in writers.refusals:
        refused(answer, "unavailable", "busy")
    found: set[str] = set()
    cursor = None
    while True:
        page = writers.me.must("GET", "/memories", params={"limit": 1000, **({"cursor": cursor} if cursor else {})})
        found |= {memory["content"] for memory in page["memories"]}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert set(writers.acknowledged) <= found
    until(lambda: world.http.get("/ready").status_code == 200, "it does not get ready again")
    world.indexed(writers.me.user)


def search(me: Person, words: str) -> dict[str, Any]:
    found: dict[str, Any] = me.must("POST", "/search", {"query": words})
    return found


def test_qdrant_is_down(world: World) -> None:
    me = world.person()
    me.add("the boat has a red sail")
    world.indexed(me.user)
    assert search(me, "sail")["mode"] == "hybrid"

    def down(kind: str) -> None:
        raise httpx.ConnectError("connection refused")

    world.store.before = down
    try:
        added = me.add("the mast is of spruce")
        found = search(me, "spruce mast")
        assert [hit["id"] for hit in found["results"]][:1] == [added["id"]]
        assert found["mode"] == "text"
        assert "vector index" in found["degraded"]
        me.must("DELETE", f"/memories/{added['id']}")
        forgotten = me.add("to be forgotten")["id"]
        receipt = me.must("DELETE", f"/memories/{forgotten}", params={"purge": "true"})["purged"][0]["receipt"]
        (index,) = [place for place in receipt if place["place"] == "vector index"]
        assert "to be done" in index["result"]
        assert {place["result"] for place in receipt if place != index} == {"erased"}
    finally:
        world.store.before = lambda kind: None
    world.indexed(me.user)
    found = search(me, "sail")
    assert (found["mode"], "degraded" in found) == ("hybrid", False)
    ids = {p.payload["id"] for c in world.store.collections.values() for p in c.tenants[str(me.user)].values()}
    assert ids == {memory["id"] for memory in me.must("GET", "/memories")["memories"]}


def test_the_embedder_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hosted.vectors.embed.REST_S", 0.2)  # for which questions spare one that failed
    me = world.person()
    world.source.broken = True
    try:
        added = me.add("a lighthouse on the cape")
        found = search(me, "lighthouse")
        assert [hit["id"] for hit in found["results"]] == [added["id"]]
        assert (found["mode"], "embedder" in found["degraded"]) == ("text", True)
    finally:
        world.source.broken = False
    world.indexed(me.user)
    until(lambda: search(me, "lighthouse cape")["mode"] == "hybrid", "questions are not embedded again")


def test_the_pool_is_exhausted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.app.state.backend.database.engine.pool, "_timeout", BRIEF_S)
    me = world.person()
    me.add("kept")
    database = world.app.state.backend.database
    held, given = threading.Event(), threading.Event()

    async def hold() -> None:
        async with database.tenant(uuid.uuid4()), database.tenant(uuid.uuid4()):
            held.set()
            await asyncio.to_thread(given.wait, 20)

    holding = asyncio.run_coroutine_threadsafe(hold(), world.loop[0])
    assert held.wait(10)
    began = time.monotonic()
    refused(me.ask("GET", "/api/v1/memories"), "busy")
    refused(me.ask("POST", "/api/v1/memories", json={"content": "not now"}), "busy")
    assert time.monotonic() - began < 20 * BRIEF_S
    assert world.http.get("/health").status_code == 200
    given.set()
    holding.result(10)
    assert [memory["content"] for memory in me.must("GET", "/memories")["memories"]] == ["kept"]


def raw(world: World, text: str, *, window: int = 0) -> socket.socket:
    """A connection on which something was sent."""
    made = socket.socket()
    if window:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    made.settimeout(20)
    host, _, port = world.url.removeprefix("http://").partition(":")
    made.connect((host, int(port)))
    made.sendall(text.encode())
    return made


def test_slow_clients_hold_no_connection_to_postgres(world: World) -> None:
    """More of them than there are connections: some never finish what they send, some never read, some only listen."""
    me = world.person()
    operations = [{"op": "add", "content": f"{n} {'long ' * 100}"} for n in range(800)]
    me.must("POST", "/memories/batch", {"operations": operations})
    head = f"host: jmem\r\nauthorization: Bearer {me.token}\r\n"
    slow = [
        *(raw(world, f"POST /api/v1/memories HTTP/1.1\r\n{head}content-length: 500\r\n\r\n{{") for _ in range(4)),
        *(raw(world, f"GET /api/v1/memories?limit=1000 HTTP/1.1\r\n{head}\r\n", window=1024) for _ in range(4)),
        *(
            raw(world, f"GET /api/v1/{path} HTTP/1.1\r\n{head}\r\n")
            for path in ("events", "sync/events")
            for _ in range(6)
        ),
    ]
    try:
        for one in slow[4:]:
            assert one.recv(12) == b"HTTP/1.1 200"
        in_transaction = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state LIKE 'idle in transaction%'"
        )
        until(lambda: world.query(in_transaction, APP)[0][0] == 0, "a transaction is held open")
        for n in range(10):
            assert me.ask("POST", "/api/v1/memories", json={"content": f"quick {n}"}).status_code == 201
            assert me.ask("GET", "/api/v1/memories?limit=1").status_code == 200
    finally:
        for one in slow:
            one.close()
    listeners = world.app.state.backend.bus.count
    until(lambda: listeners() == 0, "those who went are still listened for")


def test_somebody_who_hangs_up_in_a_write_leaves_nothing_open(world: World) -> None:
    me = sign_up(world.http, world.supabase)
    body = '{"operations":[' + ",".join(f'{{"op":"add","content":"{n}"}}' for n in range(500)) + "]}"
    head = f"host: jmem\r\nauthorization: Bearer {me.token}\r\ncontent-length: {len(body)}\r\n"
    for _ in range(5):
        raw(world, f"POST /api/v1/memories/batch HTTP/1.1\r\n{head}\r\n{body}").close()
    until(lambda: world.app.state.backend.database.engine.pool.checkedout() == 0, "a connection is not given back")
    count = me.must("GET", "/memories", params={"count": "true", "limit": 1})["total"]
    assert count in (0, 500)  # equal texts are stored once, and whole batches or none
