"""Whether this replica lives, and whether it may be asked: `/health` asks nobody, `/ready` the database.

Ready is a replica whose database answers at a revision that it knows how to use. Without Qdrant search goes on by words, and
without Supabase known keys serve on for an hour: both are told as degraded, and cost nobody their writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

import httpx
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.db.migrate import revisions
from hosted.settings import Settings
from jmem.core.errors import JmemError

if TYPE_CHECKING:
    from hosted.memories.service import Backend

PATIENCE_S = 3.0
KEPT_S = 10.0
"""How long an answer about another service is kept: who looks each second must not become its load."""
DATABASE_KEPT_S = 1.0
BUSY_S = 60.0
"""How long after its last good answer a database whose connections are all in use is taken for busy, not for away."""
State = Literal["ok", "busy", "off", "unavailable", "behind", "unprepared"]
_REVISION = text("SELECT version_num FROM jmem.alembic_version")


class Readiness:
    """What this replica needs, and whether it is there."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend, self._settings = backend, settings
        self._known = revisions()
        self._told: dict[str, tuple[float, State]] = {}
        self._asked: dict[str, asyncio.Task[State]] = {}
        self._good = float("-inf")

    async def ask(self) -> tuple[bool, dict[str, Any]]:
        """Whether it is ready, and the state of each part."""
        database, qdrant, supabase = await asyncio.gather(
            self._kept("database", self._database, DATABASE_KEPT_S),
            self._kept("qdrant", self._qdrant),
            self._kept("supabase", self._supabase),
        )
        ready = database in ("ok", "busy")
        degraded = [name for name, state in (("qdrant", qdrant), ("supabase", supabase)) if state == "unavailable"]
        status = "ready" if ready and not degraded else "degraded" if ready else "not ready"
        return ready, {"status": status, "database": database, "qdrant": qdrant, "supabase": supabase}

    async def _database(self) -> State:
        database = self._backend.database
        full = database.full
        try:
            async with asyncio.timeout(PATIENCE_S):
                state = revision_state(await revision(database), self._known)
        except (TimeoutError, PoolTimeout):  # that a busy replica was replaced would make those that are left busier
            return "busy" if full and database.full and time.monotonic() - self._good < BUSY_S else "unavailable"
        if state == "ok":
            self._good = time.monotonic()
        return state

    async def _kept(self, name: str, ask: Callable[[], Awaitable[State]], kept: float = KEPT_S) -> State:
        """What `ask` told within the last `kept` seconds. It is asked once, however many want to know."""
        at, state = self._told.get(name, (float("-inf"), "ok"))
        if time.monotonic() - at < kept:
            return state
        if (task := self._asked.get(name)) is None:
            task = self._asked[name] = asyncio.create_task(self._ask(name, ask))
            task.add_done_callback(lambda _: self._asked.pop(name))
        return await asyncio.shield(task)

    async def _ask(self, name: str, ask: Callable[[], Awaitable[State]]) -> State:
        try:
            async with asyncio.timeout(PATIENCE_S + 1):
                state = await ask()
        except (JmemError, httpx.HTTPError, *DATABASE_FAILURES):
            state = "unavailable"
        self._told[name] = (time.monotonic(), state)
        return state

    async def _qdrant(self) -> State:
        index = self._backend.index
        if index is None:
            return "off"
        from hosted.vectors.client import asking

        async with asking():
            await index.vectors.client.get_collections()
        return "ok"

    async def _supabase(self) -> State:
        project = self._settings.supabase_url.rstrip("/")
        if not project:
            return "off"
        async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
            answer = await http.get(f"{project}/auth/v1/.well-known/jwks.json")
        return "ok" if answer.status_code == 200 else "unavailable"


async def revision(database: Database) -> str | None:
    """The revision of a database; None before the first migration, or where it may not be seen."""
    async with database.engine.connect() as conn:
        there = await conn.execute(
            text("SELECT has_schema_privilege('jmem', 'USAGE') FROM pg_namespace WHERE nspname = 'jmem'")
        )  # fmt: skip
        if not there.scalar_one_or_none():
            return None
        found: str | None = (await conn.execute(_REVISION)).scalar_one_or_none()
        return found


def revision_state(found: str | None, known: list[str]) -> State:
    """Whether a revision can be used. One that is not known is a newer one: migrations keep the code before them running."""
    if found is None:
        return "unprepared"
    return "behind" if found in known[:-1] else "ok"
