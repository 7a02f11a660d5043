"""The end of an account: marked, then carried out in steps that repeat safely, on any replica, until nothing is left.

ask      tombstone and a row in `deletions`, together: from here on every token and key of the account gets 410
rows     one transaction over every tenant table
vectors  everything that carries the user's id
user     the user at Supabase
verify   all of it counted; anything left starts over
(end)    the row in `deletions` goes; the tombstones, hashes of the user's id and of the keys and a time, stay
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Literal, Protocol, get_args
from uuid import UUID

import httpx
import structlog
from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from hosted.db.engine import DATABASE_FAILURES, Database
from hosted.db.notices import wake
from hosted.identity.tables import deletions, tombstones
from jmem.core.errors import JmemError

Step = Literal["rows", "vectors", "user", "verify"]
STEPS: tuple[Step, ...] = get_args(Step)
INTERVAL = 60.0
"""Seconds between two looks for deletions that were left half done."""
_log = structlog.get_logger(__name__)

# Every table with a tenant, whoever made it; the head first, whose lock waits for a write that is under way.
_TABLES = text(
    "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped"
    " WHERE n.nspname = 'jmem' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'deletions'"
    " ORDER BY c.relname <> 'sync_heads', c.relname"
)


_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('jmem.account ' || :user, 0))")
"""What every insertion of the account shares (`jmem.refuse_deleted`)."""
_KEYS = text(
    "INSERT INTO jmem.tombstones (user_hash) SELECT sha256(digest) FROM jmem.api_keys WHERE user_id = :user"
    " ON CONFLICT DO NOTHING"
)


class Vectors(Protocol):
    """What deletion asks of the vector index."""

    async def forget_user(self, user_id: UUID) -> None:
        """Remove every point of the user; none is no error."""

    async def count_user(self, user_id: UUID) -> int:
        """How many points the user has."""


class Directory(Protocol):
    """What deletion asks of Supabase."""

    async def delete_user(self, user_id: UUID) -> None:
        """Remove the user; one that is gone already is no error."""

    async def has_user(self, user_id: UUID) -> bool:
        """Whether the user exists."""


class Accounts:
    """Deletes accounts."""

    def __init__(self, database: Database, vectors: Vectors, directory: Directory) -> None:
        self._database, self._vectors, self._directory = database, vectors, directory
        self._running: set[asyncio.Task[bool]] = set()

    async def delete(self, user_id: UUID, patience: float = 10.0) -> bool:
        """Ask, and carry out what can be within `patience` seconds; True when nothing is left. The rest goes on alone."""
        await self.ask(user_id)
        task = asyncio.create_task(self.run(user_id))
        self._running.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.wait_for(asyncio.shield(task), patience)
        except TimeoutError:
            return False

    async def ask(self, user_id: UUID) -> None:
        """Mark the account as deleted; nothing of it answers from here on. To ask again changes nothing.

        Waits for transactions that have inserted something of the account.
        """
        async with self._database.system("jmem_deletion", user_id) as conn:
            await conn.execute(_ALONE, {"user": str(user_id)})
            stone = insert(tombstones).values(user_hash=hashlib.sha256(user_id.bytes).digest())
            new = await conn.execute(stone.on_conflict_do_nothing().returning(tombstones.c.deleted_at))
            if new.first() is not None:
                await conn.execute(insert(deletions).values(user_id=user_id, step=STEPS[0]).on_conflict_do_nothing())
                await conn.execute(_KEYS, {"user": user_id})
                await wake(conn, user_id)
        _log.info("account_deletion_asked")

    async def ended(self, user_id: UUID) -> bool:
        """Whether there was such an account that was deleted."""
        async with self._database.system("jmem_deletion") as conn:
            stone = select(tombstones.c.deleted_at).where(
                tombstones.c.user_hash == hashlib.sha256(user_id.bytes).digest()
            )
            return (await conn.execute(stone)).first() is not None

    async def run(self, user_id: UUID) -> bool:
        """Carry out what is left; True when nothing is. A step that fails is noted and tried again by `resume`."""
        while (step := await self._step(user_id)) is not None:
            try:
                following = await self._carry_out(step, user_id)
            except (JmemError, httpx.HTTPError, *DATABASE_FAILURES) as error:
                _log.warning("account_deletion_stuck", step=step, error=type(error).__name__)
                return await self._stuck(user_id, error)
            except Exception as error:  # noqa: BLE001  whatever is wrong with one account, those of others come to their end
                _log.exception("account_deletion_stuck", step=step)
                return await self._stuck(user_id, error)
            if step == "verify" and following is not None:  # not at once: whoever wrote may be writing still
                await self._note(user_id, step=following, problem="incomplete")
                return False
            await self._note(user_id, step=following)
        return True

    async def pending(self) -> list[UUID]:
        """Accounts whose deletion isn't finished, those that failed least first."""
        async with self._database.system("jmem_deletion") as conn:
            found = await conn.execute(select(deletions.c.user_id).order_by(deletions.c.attempts, deletions.c.asked_at))
            return list(found.scalars())

    async def resume(self) -> int:
        """Try every unfinished deletion once; how many are finished now."""
        return sum([await self.run(user_id) for user_id in await self.pending()])

    async def work(self) -> None:
        """Resume for ever, until cancelled."""
        while True:
            try:
                await self.resume()
            except DATABASE_FAILURES as error:
                _log.warning("account_deletions_not_resumed", error=type(error).__name__)
            await asyncio.sleep(INTERVAL)

    async def _carry_out(self, step: Step, user_id: UUID) -> Step | None:
        match step:
            case "rows":
                async with self._database.system("jmem_deletion", user_id) as conn:
                    for table in await _tables(conn):
                        await conn.execute(text(f"DELETE FROM jmem.{table} WHERE user_id = :user"), {"user": user_id})
            case "vectors":
                await self._vectors.forget_user(user_id)
            case "user":
                await self._directory.delete_user(user_id)
            case "verify":
                return STEPS[0] if await self._left(user_id) else None
        return STEPS[STEPS.index(step) + 1]

    async def _left(self, user_id: UUID) -> int:
        """How much there still is of the account, anywhere."""
        async with self._database.system("jmem_deletion", user_id) as conn:
            asked = [f"(SELECT count(*) FROM jmem.{table} WHERE user_id = :user)" for table in await _tables(conn)]
            rows = (await conn.execute(text("SELECT " + " + ".join(asked)), {"user": user_id})).scalar_one()
        vectors = await self._vectors.count_user(user_id)
        user = await self._directory.has_user(user_id)
        if rows or vectors or user:
            _log.warning("account_deletion_incomplete", rows=rows, vectors=vectors, user=user)
        return int(rows) + vectors + user

    async def _step(self, user_id: UUID) -> Step | None:
        async with self._database.system("jmem_deletion", user_id) as conn:
            found = await conn.execute(select(deletions.c.step).where(deletions.c.user_id == user_id))
            step: Step | None = found.scalar_one_or_none()
            return step

    async def _stuck(self, user_id: UUID, error: Exception) -> bool:
        await self._note(user_id, problem=type(error).__name__)
        return False

    async def _note(self, user_id: UUID, *, step: Step | None = None, problem: str | None = None) -> None:
        """Note the step to come, what went wrong, or both; neither: that it is finished."""
        mine = deletions.c.user_id == user_id
        values: dict[str, Any] = {"problem": problem, **({"step": step} if step else {})}
        if problem is not None:
            values["attempts"] = deletions.c.attempts + 1
        async with self._database.system("jmem_deletion", user_id) as conn:
            if step is None and problem is None:
                await conn.execute(delete(deletions).where(mine))
            else:
                await conn.execute(update(deletions).values(values).where(mine))


async def _tables(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(_TABLES)).scalars())
