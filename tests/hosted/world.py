"""The whole backend as it is served: a real port, Postgres, the doubles of Supabase and Qdrant, and people who sign up."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from hosted.app import app_of
from hosted.dev.qdrant import Store, in_process
from hosted.settings import Settings
from tests.hosted.identity.conftest import Running, Server
from tests.hosted.vectors.conftest import Words

T = TypeVar("T")
COLLECTION = "memories_test"
PATIENCE_S = 20.0
UNLIMITED: dict[str, Any] = {each.name: 0 for each in fields(Settings) if each.name.startswith("rate_")}


@dataclass
class Person:
    """Somebody with an account, and a client that asks as them."""

    http: httpx.Client
    email: str
    user: uuid.UUID
    token: str
    refresh: str
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}", **self.headers, **given.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **given)

    def must(self, method: str, path: str, body: Any = None, **given: Any) -> Any:
        answer = self.ask(method, f"/api/v1{path}", **({} if body is None else {"json": body}), **given)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def add(self, content: str, **fields: Any) -> dict[str, Any]:
        added: dict[str, Any] = self.must("POST", "/memories", {"content": content, **fields})
        return added


class Served(Server):
    """An application on a port of this machine, with its lifespan."""

    def serve(self, app: Any) -> None:
        super().serve(app)
        options = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(options)
        self._thread._target = self._server.run  # type: ignore[attr-defined]


@dataclass
class World:
    """A backend that is being served. `url` is where."""

    url: str
    http: httpx.Client
    app: FastAPI
    store: Store
    source: Words
    supabase: Running
    owner_url: str
    """as the superuser, to look behind the scenes"""
    loop: list[asyncio.AbstractEventLoop] = field(default_factory=list)

    def person(self, name: str = "p") -> Person:
        """Somebody new."""
        return sign_up(self.http, self.supabase, name)

    def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """As the superuser."""

        async def asked() -> list[asyncpg.Record]:
            conn = await asyncpg.connect(self.owner_url)
            try:
                return list(await conn.fetch(sql, *values))
            finally:
                await conn.close()

        return self.run(asked())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Something done on the server's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop[0]).result(PATIENCE_S)

    def settle(self) -> None:
        """Have everything written that is written behind the answers."""
        activity = self.app.state.backend.activity

        async def written() -> None:
            await activity.flush()
            await self.app.state.devices.flush()

        self.run(written())

    def indexed(self, user: uuid.UUID) -> None:
        """Wait until the vector index has all of a user's changes."""
        behind = (
            "SELECT h.seq FROM jmem.sync_heads h LEFT JOIN jmem.index_heads i ON i.user_id = h.user_id"
            " WHERE h.user_id = $1 AND coalesce(i.seq, 0) < h.seq"
        )
        until(lambda: not self.query(behind, user), "the vector index does not follow")


def sign_up(http: httpx.Client, supabase: Running, name: str = "p") -> Person:
    """Somebody new, who asks with this client."""
    email = f"{name}-{uuid.uuid4().hex[:12]}@example.com"
    answer = http.post(  # a client of its own would load every certificate of this machine
        f"{supabase.url}/auth/v1/signup", json={"email": email, "password": "correct horse"},
        headers={"apikey": supabase.settings.publishable_key},
    )  # fmt: skip
    told = answer.raise_for_status().json()
    return Person(http, email, uuid.UUID(told["user"]["id"]), told["access_token"], told["refresh_token"])


@contextlib.contextmanager
def served(
    url: str, owner_url: str, supabase: Running, *, vectors: bool = True, changed: Callable[[FastAPI], None] | None = None,
    **settings: Any,
) -> Iterator[World]:  # fmt: skip
    """A backend over a database, put together as a deployment is, in a thread. `changed(app)` is called before it is served.

    Vectors, where there are any, are made of `Words`.
    """
    server = Served()
    store, source = Store(), Words("world", 256)
    asked = {**UNLIMITED, "database_pool_size": 5, "public_url": server.url, **settings}
    found = Settings(
        database_url=url, supabase_url=supabase.url, supabase_anon_key=supabase.settings.publishable_key,
        supabase_service_key=supabase.settings.secret_key, main_qdrant_collection_name=COLLECTION, **asked,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hosted.vectors.compose.configured", lambda *_: source)
        app = app_of(found, in_process(store) if vectors else None)
    loop: list[asyncio.AbstractEventLoop] = []

    @contextlib.asynccontextmanager
    async def known() -> AsyncIterator[None]:
        loop.append(asyncio.get_running_loop())
        yield

    app.state.contexts.append(known)
    if changed is not None:
        changed(app)
    server.serve(app)
    with server, httpx.Client(base_url=server.url, timeout=30) as http:
        yield World(server.url, http, app, store, source, supabase, owner_url, loop)


class Behind:
    """A connection as the superuser, to look (and reach) behind the scenes."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._conn = self._runner.run(asyncpg.connect(url))

    def fetch(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        return list(self._runner.run(self._conn.fetch(sql, *values)))

    def execute(self, *statements: str) -> None:
        for sql in statements:
            self._runner.run(self._conn.execute(sql))

    def close(self) -> None:
        self._runner.run(self._conn.close())
        self._runner.close()


def until(condition: Any, what: str, patience: float = PATIENCE_S) -> Any:
    """Wait until `condition()` is true, and return what it gave."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found
