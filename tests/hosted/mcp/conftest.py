"""Two replicas on one database, each a process of its own, and people with their programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from hosted.app import app_of, read_settings
from hosted.operate import serving
from tests.hosted.conftest import APP, Databases
from tests.hosted.identity.conftest import Running
from tests.hosted.world import UNLIMITED

PUBLIC = "http://jmem.example"
ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Replica:
    """A served backend."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def at(self, address: str) -> str:
        """An address of the backend, at this replica."""
        return self.url + urlsplit(address).path


@contextlib.contextmanager
def replica(environment: dict[str, str]) -> Iterator[Replica]:
    """One replica with these settings."""
    with tempfile.NamedTemporaryFile(prefix="jmem-replica-", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("replica.py"))],
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=log, text=True,
            cwd=ROOT,
        )  # fmt: skip
        assert process.stdout is not None
        with process.stdout:
            try:
                url = process.stdout.readline().strip()
                assert url, Path(log.name).read_text()
                yield Replica(url, process, Path(log.name))
            finally:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture(scope="session")
def supabase() -> Iterator[Running]:
    """A double of the project."""
    with Running() as running:
        yield running


@pytest.fixture(scope="session")
def database_name(databases: Databases) -> Iterator[str]:
    """One for all modules, whose people are their own."""
    with databases.one() as name:
        yield name


@pytest.fixture(scope="session")
def database_url(databases: Databases, database_name: str) -> str:
    """As the application logs in."""
    return databases.cluster.url(database_name, APP)


@pytest.fixture(scope="session")
def environment(supabase: Running, database_url: str) -> dict[str, str]:
    """The settings of every replica."""
    return {
        "DATABASE_URL": database_url, "SUPABASE_URL": supabase.url, "PUBLIC_URL": PUBLIC, "DATABASE_POOL_SIZE": "5",
        "SUPABASE_ANON_KEY": supabase.settings.publishable_key, "SUPABASE_SERVICE_KEY": supabase.settings.secret_key,
        "QDRANT_HOST": "", "OPENAI_API_KEY": "", **{name.upper(): str(value) for name, value in UNLIMITED.items()},
    }  # fmt: skip


@pytest.fixture(scope="session")
def replicas(environment: dict[str, str]) -> Iterator[tuple[Replica, Replica]]:
    """Two of them, which start side by side."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        one, two = pool.map(stack.enter_context, [replica(environment), replica(environment)])
        yield one, two


@dataclass
class Person:
    """Somebody with an account."""

    email: str
    user: str
    token: str
    url: str

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=30)

    def must(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.ask(method, path, body)
        assert answer.is_success, answer.text
        return answer.json()

    def connect(self, client: str = "claude", **rights: Any) -> dict[str, Any]:
        """A personal URL."""
        made: dict[str, Any] = self.must("POST", "/connections", {"client": client, **rights})
        return made


def sign_up(supabase: Running, url: str) -> Person:
    """Somebody new, who asks the backend at this address."""
    email = f"{uuid.uuid4().hex[:12]}@example.com"
    headers = {"apikey": supabase.settings.publishable_key}
    told = httpx.post(
        f"{supabase.settings.issuer}/signup", json={"email": email, "password": PASSWORD}, headers=headers
    )
    found = told.raise_for_status().json()
    return Person(email, found["user"]["id"], found["access_token"], url)


@pytest.fixture
def person(supabase: Running, replicas: tuple[Replica, Replica]) -> Callable[[], Person]:
    """Makes people."""
    return lambda: sign_up(supabase, replicas[0].url)


@pytest.fixture
def ann(person: Callable[[], Person]) -> Person:
    return person()


@pytest.fixture
def bob(person: Callable[[], Person]) -> Person:
    return person()


@dataclass
class Here:
    """A backend in this process, on a loop of its own."""

    url: str
    app: FastAPI
    loops: list[asyncio.AbstractEventLoop]

    def tasks(self) -> int:
        return len(asyncio.all_tasks(self.loops[0]))

    def streams(self) -> int:
        return int(self.app.state.mcp.count())

    def at(self, address: str) -> str:
        return self.url + urlsplit(address).path


@contextlib.contextmanager
def in_process(environment: dict[str, str]) -> Iterator[Here]:
    """A backend in a thread of this process, for what has to be changed or counted inside of it."""
    listening = serving.listen("127.0.0.1", 0, again="")
    app = app_of(read_settings(environment))
    made = Here(f"http://127.0.0.1:{listening.getsockname()[1]}", app, [])
    ready = threading.Event()

    @contextlib.asynccontextmanager
    async def loop() -> AsyncIterator[None]:
        made.loops.append(asyncio.get_running_loop())
        yield

    app.state.contexts.append(loop)
    options = serving.options(app, timeout_graceful_shutdown=2)
    server = serving.Server(options, ready.set, app.state.backend.bus.end_streams)
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
    thread.start()
    assert ready.wait(20)
    yield made
    server.should_exit = True
    thread.join(20)
    listening.close()
    assert not thread.is_alive()
