"""`serve`, `migrate`, `check`, `backup` and `restore` as processes, over a database as a platform has it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from hosted.operate import checks, sealed
from hosted.operate.checks import check
from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.world import sign_up

PATIENCE_S = 60


@pytest.fixture(scope="module")
def empty(databases: Databases) -> Iterator[str]:
    """The name of a database without anything."""
    name = databases.make("template1")
    yield name
    databases.drop(name)


@pytest.fixture(scope="module")
def environment(databases: Databases, empty: str, supabase: Running) -> dict[str, str]:
    """What a deployment sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3]), "PORT": str(port),
        "DATABASE_URL": databases.cluster.url(empty, APP), "MIGRATION_DATABASE_URL": databases.cluster.url(empty),
        "SUPABASE_URL": supabase.url, "SUPABASE_ANON_KEY": supabase.settings.publishable_key,
        "SUPABASE_SERVICE_KEY": supabase.settings.secret_key, "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "BACKUP_KEY": sealed.new_key(), "RATE_WRITE": "0",
    }  # fmt: skip


def run(environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hosted", *command], env=dict(environment), capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


def told(found: list[checks.Check]) -> dict[str, tuple[str, str | None]]:
    return {each.name: (each.state, each.mends) for each in found}


async def test_a_deployment_from_the_first_migration_to_a_restore(
    environment: dict[str, str], supabase: Running, tmp_path: Path
) -> None:
    assert told(await check(environment))["schema"] == ("fail", "python -m hosted migrate")
    for _ in range(2):  # a second time changes nothing
        migrated = run(environment, "migrate")
        assert migrated.returncode == 0, migrated.stderr
    found = told(await check(environment))
    assert {name for name, (state, _) in found.items() if state == "fail"} == set()
    assert found["role"][0] == found["service key"][0] == found["publishable key"][0] == "ok"

    with _serving(environment) as (serving, http):
        assert http.get("/ready").json()["status"] == "ready"
        assert run(environment, "health").returncode == 0
        person = sign_up(http, supabase)
        person.add("kept in a copy")
        taken = run(environment, "serve")
        assert (taken.returncode, "fix:" in taken.stderr) == (6, True)
        late = _slowly(environment, person.token)
        serving.send_signal(signal.SIGTERM)
        assert late() == 201, "what is under way is answered"
        assert serving.stdout is not None
        lines = [json.loads(line) for line in serving.stdout.read().splitlines()]
        assert serving.wait(PATIENCE_S) == 0
    assert [each for each in lines if each["event"] == "request" and each["status"] == "201"]
    assert person.token not in json.dumps(lines)
    assert run(environment, "health").returncode == 1

    copy = tmp_path / "copy"
    made = run(environment, "backup", "--to", str(copy))
    assert made.returncode == 0, made.stderr
    assert run(environment, "restore", "--from", str(copy), "--verify").returncode == 0
    refused = run(environment, "restore", "--from", str(copy))
    assert (refused.returncode, "--force" in refused.stderr) == (6, True)
    restored = run(environment, "restore", "--from", str(copy), "--force")
    assert restored.returncode == 0, restored.stderr


@contextlib.contextmanager
def _serving(environment: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    command = [sys.executable, "-m", "hosted", "serve"]
    with (
        subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(base_url=environment["PUBLIC_URL"], timeout=30) as http,
    ):
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "serving"
            yield process, http
        finally:
            process.kill()


def _slowly(environment: Mapping[str, str], token: str) -> Callable[[], int]:
    """Begin a request whose body is not whole yet; what is returned sends the rest, and gives the status."""
    body = json.dumps({"content": "sent while it ended"}).encode()
    connection = socket.create_connection(("127.0.0.1", int(environment["PORT"])))
    head = (
        f"POST /api/v1/memories HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:5])
    time.sleep(0.3)  # the server takes it up

    def rest() -> int:
        time.sleep(0.5)
        with connection:
            connection.sendall(body[5:])
            return int(connection.recv(4096).split()[1])

    return rest


async def test_findings_name_the_setting_that_mends_them(
    environment: dict[str, str], databases: Databases, empty: str
) -> None:
    run(environment, "migrate")

    async def mends(**changes: str) -> dict[str, tuple[str, str | None]]:
        return told(await check({**environment, **changes}))

    assert (await mends(DATABASE_URL="postgresql://u@127.0.0.1:1/d"))["database"] == ("fail", "DATABASE_URL")
    assert (await mends(DATABASE_URL="nonsense"))["database"] == ("fail", "DATABASE_URL")
    assert (await mends(DATABASE_URL=databases.cluster.url(empty)))["role"] == ("fail", "DATABASE_URL")
    assert (await mends(DATABASE_POOL_SIZE="many"))["settings"] == ("fail", "DATABASE_POOL_SIZE")
    assert (await mends(MIGRATION_DATABASE_URL=environment["DATABASE_URL"]))["migrations"][0] == "warn"
    assert (await mends(SUPABASE_URL="http://127.0.0.1:1"))["supabase"] == ("fail", "SUPABASE_URL")
    assert (await mends(SUPABASE_SERVICE_KEY="wrong"))["service key"] == ("fail", "SUPABASE_SERVICE_KEY")
    assert (await mends(QDRANT_HOST="http://127.0.0.1", QDRANT_PORT="1"))["qdrant"][0] == "fail"
    assert (await mends(QDRANT_HOST="http://127.0.0.1", QDRANT_PORT="1", EMBEDDER_PROVIDER="openai"))["embedder"] == (
        "fail", "OPENAI_API_KEY")  # fmt: skip
    assert (await mends(LLM_PROVIDER="openai"))["extraction"] == ("fail", "OPENAI_API_KEY")
    assert (await mends(PUBLIC_URL="http://memory.example.com"))["address"] == ("fail", "PUBLIC_URL")
    assert (await mends(PUBLIC_URL=""))["address"] == ("warn", "PUBLIC_URL")


async def test_findings_hold_no_password(environment: dict[str, str]) -> None:
    found = await check({**environment, "DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d?password=hunter3"})
    assert "hunter" not in json.dumps([each.document() for each in found])
