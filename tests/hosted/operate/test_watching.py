"""Health, readiness, metrics and the log of a backend that is served as a deployment is."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import re
import time
from collections.abc import Iterator

import httpx
import pytest
import structlog
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from hosted.operate import health, logs
from tests.hosted.conftest import Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.world import World, served, until

TOKEN = "metrics-token"


@pytest.fixture(scope="module")
def world(database_url: str, owner_url: str, supabase: Running) -> Iterator[World]:
    with served(database_url, owner_url, supabase, metrics_token=TOKEN) as made:
        yield made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What is logged, as in production; logging is as it was afterwards."""
    root = logging.getLogger()
    before, level, usual = list(root.handlers), root.level, structlog.get_config()
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.configure(**usual)


def metrics(world: World) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels."""
    for census in world.app.state.metrics._censuses:
        census._known.at = float("-inf")
    answer = world.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text) for sample in family.samples
    }  # fmt: skip


def value(world: World, name: str, **labels: str) -> float:
    return metrics(world).get((name, frozenset(labels.items())), 0.0)


def test_health_asks_nobody(world: World, databases: Databases, database_name: str) -> None:
    assert world.http.get("/health").json()["status"] == "ok"
    assert world.http.head("/health").status_code == 200
    assert world.http.get("/ready").json() == {
        "status": "ready", "database": "ok", "qdrant": "ok", "supabase": "ok"}  # fmt: skip
    databases.cluster.psql("postgres", f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS false")
    try:
        databases.cluster.psql(
            "postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_name}'"
        )
        answer = until(lambda: (a := world.http.get("/ready")).status_code == 503 and a, "ready without a database")
        assert answer.json()["database"] == "unavailable"
        assert world.http.get("/health").json()["status"] == "ok"
    finally:
        databases.cluster.psql("postgres", f"ALTER DATABASE {database_name} ALLOW_CONNECTIONS true")
    until(lambda: world.http.get("/ready").status_code == 200, "not ready again")


def test_who_asks_whether_it_is_ready_is_told_of_a_full_pool_as_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = world.app.state.backend.database
    monkeypatch.setattr(health, "PATIENCE_S", 0.3)
    until(lambda: world.http.get("/ready").json()["database"] == "ok", "not ready")
    time.sleep(health.DATABASE_KEPT_S + 0.05)

    async def full() -> set[tuple[int, str]]:
        async with contextlib.AsyncExitStack() as stack:
            while not database.full:
                await stack.enter_async_context(database.engine.connect())
            async with httpx.AsyncClient(base_url=world.url, timeout=10) as http:
                told = await asyncio.gather(*(http.get("/ready") for _ in range(20)))
            return {(one.status_code, one.json()["database"]) for one in told}

    assert world.run(full()) == {(200, "busy")}
    monkeypatch.setattr(health, "BUSY_S", 0.0)
    time.sleep(health.DATABASE_KEPT_S + 0.05)
    assert world.run(full()) == {(503, "unavailable")}
    until(lambda: world.http.get("/ready").json()["database"] == "ok", "not ready again")


def test_a_database_that_is_behind_is_not_ready_and_a_newer_one_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "DATABASE_KEPT_S", 0.0)
    (now,) = world.query("SELECT version_num FROM jmem.alembic_version")
    try:
        world.query("UPDATE jmem.alembic_version SET version_num = '0001'")
        answer = world.http.get("/ready")
        assert (answer.status_code, answer.json()["database"]) == (503, "behind")
        world.query("UPDATE jmem.alembic_version SET version_num = '9999'")
        assert world.http.get("/ready").status_code == 200
    finally:
        world.query("UPDATE jmem.alembic_version SET version_num = $1", now["version_num"])


def test_without_qdrant_a_replica_is_degraded_and_ready(database_url: str, owner_url: str, supabase: Running) -> None:
    with served(database_url, owner_url, supabase, changed=without_qdrant) as world:
        answer = world.http.get("/ready")
        assert (answer.status_code, answer.json()["status"], answer.json()["qdrant"]) == (
            200,
            "degraded",
            "unavailable",
        )


def without_qdrant(app: FastAPI) -> None:
    index = app.state.backend.index

    async def away() -> None:
        raise ConnectionRefusedError

    index.vectors.client.get_collections = away


def test_metrics_are_for_who_has_the_token(world: World, database_url: str, owner_url: str, supabase: Running) -> None:
    assert world.http.get("/metrics").status_code == 401
    assert world.http.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert world.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    with served(database_url, owner_url, supabase, vectors=False) as other:
        assert other.http.get("/metrics", headers={"authorization": "Bearer x"}).status_code == 404


def test_requests_are_counted_by_their_routes_template(world: World) -> None:
    ada = world.person()
    memory = ada.add("a memory of the sea")
    route = {"route": "/api/v1/memories/{id}", "method": "GET"}
    before = value(world, "jmem_http_request_seconds_count", **route, status="200")
    ada.must("GET", f"/memories/{memory['id']}")
    assert ada.ask("GET", "/api/v1/memories/ffffffff").status_code == 404
    found = metrics(world)
    assert found[("jmem_http_request_seconds_count", frozenset({**route, "status": "200"}.items()))] == before + 1
    assert found[("jmem_http_request_seconds_count", frozenset({**route, "status": "404"}.items()))] >= 1
    world.http.get("/somewhere/secret-path")
    world.http.request("BREW", "/pot")
    labels = {label for _, labels in metrics(world) for label in labels}
    assert not [text for _, text in labels if memory["id"] in text or "secret" in text or text == "BREW"]
    assert value(world, "jmem_operation_seconds_count", operation="add", outcome="ok") >= 1
    assert value(world, "jmem_operation_seconds_count", operation="get", outcome="not_found") >= 1
    assert value(world, "jmem_db_query_seconds_count", verb="insert") >= 1


def test_who_was_let_in_and_who_was_not_is_counted(world: World) -> None:
    before = value(world, "jmem_auth_total", outcome="session"), value(world, "jmem_auth_total", outcome="bad_token")
    world.person().must("GET", "/memories")
    assert world.http.get("/api/v1/memories", headers={"authorization": "Bearer x.y.z"}).status_code == 401
    assert value(world, "jmem_auth_total", outcome="session") == before[0] + 1
    assert value(world, "jmem_auth_total", outcome="bad_token") == before[1] + 1


def test_accounts_retention_and_adoption_are_counted_over_all(world: World) -> None:
    before = metrics(world)
    ada, ben = world.person(), world.person()
    for person in (ada, ben):
        person.add("something")
        made = person.must("POST", "/connections", {"client": "claude" if person is ada else "my-own-robot"})
        with httpx.Client() as assistant:
            asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            headers = {"accept": "application/json, text/event-stream"}
            assert assistant.post(made["http"], json=asked, headers=headers).status_code < 500
    world.query("UPDATE jmem.sync_heads SET created_at = now() - interval '10 days' WHERE user_id = $1", ada.user)
    after = metrics(world)

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after.get(key, 0) - before.get(key, 0)

    assert grown("jmem_accounts") == 2
    assert grown("jmem_accounts_active", days="1") == 2
    assert grown("jmem_cohort_accounts", days="7") == 1
    assert grown("jmem_cohort_retained", days="7") == 1
    assert grown("jmem_mcp_accounts", client="claude") == 1
    assert grown("jmem_mcp_accounts", client="other") == 1
    assert grown("jmem_mcp_accounts_any") == 2
    assert grown("jmem_ops") == 2
    assert after[("jmem_census_up", frozenset())] == 1


def test_the_log_has_the_request_and_nothing_of_its_contents(world: World, log: io.StringIO) -> None:
    ada = world.person("secretive")
    ada.add("the treasure is under the old oak")
    made = ada.must("POST", "/connections", {"client": "claude"})
    world.http.post(made["http"].removeprefix(world.url), json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    answer = ada.ask("POST", "/api/v1/search", json={"query": "treasure"}, headers={"X-Request-Id": "request-0001"})
    assert answer.headers["x-request-id"] == "request-0001"
    world.http.get("/health")
    written = until(lambda: "request-0001" in log.getvalue() and log.getvalue(), "no line of the request")
    lines = [json.loads(line) for line in written.splitlines()]
    (line,) = [each for each in lines if each.get("request_id") == "request-0001" and each["event"] == "request"]
    assert line.items() >= {"route": "/api/v1/search", "method": "POST", "status": "200", "via": "session"}.items()
    assert line["ms"] > 0
    (call,) = [each for each in lines if each.get("route", "").startswith("/mcp/")]
    assert (call["via"], call["client"]) == ("connector", "claude")
    assert not [each for each in lines if each.get("route") == "/health"]
    key = made["http"].rpartition("/")[2]
    for secret in ("treasure", "oak", ada.email, ada.token, key, str(ada.user)):
        assert secret not in written


def test_a_failure_is_logged_with_its_place_and_without_its_words(log: io.StringIO) -> None:
    logger = logging.getLogger("somewhere")
    try:
        raise ValueError("the treasure is under the old oak")
    except ValueError:
        logger.exception("it failed")
    logger.warning(
        "asked %s", "postgresql://me:hunter2@host/db /mcp/claude/http/jmc_abcdefghijklmnop Bearer eyJabcdefgh.x.y"
    )
    first, second = (json.loads(line) for line in log.getvalue().splitlines())
    assert first["error"] == "ValueError"
    assert any("test_watching.py" in place for place in first["traceback"])
    assert "treasure" not in log.getvalue()
    assert not re.search("hunter2|jmc_abc|eyJabc", second["event"])
