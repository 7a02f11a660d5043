"""Two replicas on one database, each a process of its own, and people with their programs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from hosted.settings import Settings
from tests.hosted.identity.conftest import Running

PUBLIC = "http://jmem.example"
ROOT = Path(__file__).parents[3]
UNLIMITED = {each.name.upper(): "0" for each in fields(Settings) if each.name.startswith("rate_")}
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Replica:
    """A served backend."""

    url: str
    process: subprocess.Popen[str]

    def at(self, address: str) -> str:
        """An address of the backend, at this replica."""
        return self.url + urlsplit(address).path


@contextlib.contextmanager
def replica(environment: dict[str, str]) -> Iterator[Replica]:
    """One replica with these settings."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("replica.py"))], env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        try:
            url = process.stdout.readline().strip()
            assert url, "the replica did not start"
            yield Replica(url, process)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def supabase() -> Iterator[Running]:
    """A double of the project."""
    with Running() as running:
        yield running


@pytest.fixture(scope="module")
def environment(supabase: Running, database_url: str) -> dict[str, str]:
    """The settings of every replica."""
    return {
        "DATABASE_URL": database_url, "SUPABASE_URL": supabase.url, "PUBLIC_URL": PUBLIC, "DATABASE_POOL_SIZE": "5",
        "SUPABASE_ANON_KEY": supabase.settings.publishable_key, "SUPABASE_SERVICE_KEY": supabase.settings.secret_key,
        "QDRANT_HOST": "", "OPENAI_API_KEY": "", **UNLIMITED,
    }  # fmt: skip


@pytest.fixture(scope="module")
def replicas(environment: dict[str, str]) -> Iterator[tuple[Replica, Replica]]:
    """Two of them."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(replica(environment)), stack.enter_context(replica(environment))


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


@pytest.fixture
def person(supabase: Running, replicas: tuple[Replica, Replica]) -> Callable[[], Person]:
    """Makes people."""

    def make() -> Person:
        email = f"{uuid.uuid4().hex[:12]}@example.com"
        headers = {"apikey": supabase.settings.publishable_key}
        told = httpx.post(
            f"{supabase.settings.issuer}/signup", json={"email": email, "password": PASSWORD}, headers=headers
        )
        found = told.raise_for_status().json()
        return Person(email, found["user"]["id"], found["access_token"], replicas[0].url)

    return make


@pytest.fixture
def ann(person: Callable[[], Person]) -> Person:
    return person()


@pytest.fixture
def bob(person: Callable[[], Person]) -> Person:
    return person()


def until(condition: Callable[[], Any], what: str, patience: float = 15.0) -> Any:
    """Wait until `condition()` is true, and return what it gave."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found
