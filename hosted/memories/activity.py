"""Who asked an account for what, and what they were answered: written behind the answers, a batch a tenant.

`record` only queues, so that no request waits for the log or fails by it. What can't be written (too much at once, the
database away) is lost and counted. The log holds no memory's text, and a query is forgotten with the memories it found:
records that are still queued then are written without them, since both take the lock of the tenant's `access_heads`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import islice
from typing import Any, ParamSpec, Protocol, TypeVar, cast
from uuid import UUID

import asyncpg

from hosted.db.engine import DATABASE_FAILURES, Database, Driver, driver
from hosted.db.errors import of_database
from hosted.memories.finding import Params, plain
from hosted.ops.purge import NUMBER_ACCESSES
from jmem.core.accesses import MAX_ACCESSES, Access, Answer, Told, Wanted, told_of
from jmem.core.actor import Actor
from jmem.core.errors import JmemError, Refused
from jmem.core.model import Op, iso, milliseconds

MAX_WAITING = 5_000
"""Records that wait in one replica."""
WRITES_AT_ONCE = 4
"""Accounts whose records are written at once."""
GATHER_S = 0.25
"""How long the first waiting record waits for company."""
PRUNE_EVERY = 100
"""Records of a tenant between two looks for those that are too many."""
FORGET_EVERY_S = 3_600.0
AT_ONCE = 50
"""Answers whose texts are read at a time, or a few more."""
LEAST_TOLD = 100
"""Bytes that an answer takes beside its text."""
DEFAULT_DAYS = 365
log = logging.getLogger(__name__)
Observe = Callable[[UUID, Actor, str, str, float], None]
"""Is told who did what, how it ended (`ok`, an error's code, or `failed`) and the seconds it took."""
P = ParamSpec("P")
R = TypeVar("R")


class _Records(Protocol):
    def refused(self, actor: Actor, what: str, error: Refused) -> None: ...
    def observed(self, actor: Actor, what: str, outcome: str, seconds: float) -> None: ...


_PURGED = "SELECT id FROM jmem.memories WHERE user_id = $1 AND purged AND id = ANY ($2::text[])"
_INSERT = (
    "INSERT INTO jmem.accesses (user_id, id, at, client, what, query, detail, ids, scores)"
    " SELECT $1, u.id, u.at, u.client, u.what, u.query, u.detail::json,"
    " ARRAY(SELECT nullif(e, '-')::uuid FROM unnest(string_to_array(u.ids, ',')) WITH ORDINALITY s (e, n) ORDER BY n),"
    " u.scores::json FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],"
    " $9::text[]) AS u (id, at, client, what, query, detail, ids, scores)"
)
_PRUNE = "DELETE FROM jmem.accesses WHERE user_id = $1 AND id <= $2"
_THEN = """
SELECT m.content, m.deleted, o.stamp, o.payload
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS a (id, until, n)
LEFT JOIN jmem.memories m ON m.user_id = $1 AND m.id = a.id AND m.content IS NOT NULL
LEFT JOIN LATERAL (
    SELECT stamp, payload FROM jmem.ops
    WHERE user_id = $1 AND memory_id = m.id AND base IS NOT NULL AND stamp < a.until ORDER BY stamp DESC LIMIT 1
) o ON true ORDER BY a.n"""


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of the log is kept: so many accesses of an account, for so many days (0: for ever)."""

    accesses: int = MAX_ACCESSES
    days: int = DEFAULT_DAYS


class Activity:
    """The access log of all accounts, as one replica writes it. Lives on one event loop."""

    def __init__(self, database: Database, kept: Kept = Kept()) -> None:
        self._database, self._kept = database, kept
        self._waiting: dict[UUID, list[Access]] = {}
        self._count = 0
        self._changed, self._closing = asyncio.Event(), asyncio.Event()
        self._writes: dict[UUID, asyncio.Task[None]] = {}
        self._free = asyncio.Semaphore(WRITES_AT_ONCE)
        self.lost = 0
        """records that were not written"""
        self.observe: Observe | None = None

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return self._count

    def record(self, user_id: UUID, access: Access) -> None:
        """Queue a record; one too many is lost and counted."""
        if self._count >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.setdefault(user_id, []).append(access)
        self._count += 1
        self._changed.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write what gathers, and forget what is too old, until this is left; what is queued then is written."""
        work, forget = asyncio.create_task(self._work()), asyncio.create_task(self._forget_days())
        try:
            yield
        finally:
            forget.cancel()
            self._closing.set()
            self._changed.set()
            await asyncio.gather(work, forget, return_exceptions=True)

    async def flush(self, user_id: UUID | None = None) -> None:
        """Write what is queued (of one account), now. No account waits for another's log, as during a long purge."""
        asked = {*self._waiting, *self._writes} if user_id is None else {user_id}
        if going := [self._writes[tenant] for tenant in asked if tenant in self._writes]:
            await asyncio.wait(going)
        if fresh := [self._begin(tenant) for tenant in asked if tenant in self._waiting]:
            await asyncio.wait(fresh)

    async def forget_days(self) -> int:
        """Forget what is older than it is kept, in all accounts; how many records."""
        if self._kept.days <= 0:
            return 0
        before = datetime.now(UTC) - timedelta(days=self._kept.days)
        async with self._database.tenant(UUID(int=0)) as conn:  # nobody's: the function alone looks past the tenant
            moment = iso(int(before.timestamp() * 1000))
            return int(await driver(conn).fetchval("SELECT jmem.forget_accesses($1)", moment))

    # ---- inside -------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._closing.is_set():
            await self._changed.wait()
            with contextlib.suppress(TimeoutError):  # gathering costs one commit for many records
                await asyncio.wait_for(self._closing.wait(), GATHER_S)
            self._changed.clear()
            for tenant in self._waiting.keys() - self._writes.keys():
                self._begin(tenant)
        await self.flush()

    def _begin(self, tenant: UUID) -> asyncio.Task[None]:
        """The task that writes what is queued of an account; there is one at a time."""
        if tenant not in self._writes:
            self._writes[tenant] = asyncio.create_task(self._run(tenant))
        return self._writes[tenant]

    async def _run(self, tenant: UUID) -> None:
        batch: list[Access] = []
        try:
            async with self._free:
                batch = self._waiting.pop(tenant, [])
                await self._write(tenant, batch)
        except DATABASE_FAILURES as error:
            if of_database(error) is None:  # of an account that was deleted nothing is to be kept
                self.lost += len(batch)
                log.warning("the access log lost %d records: %s", len(batch), type(error).__name__)
        except Exception:
            self.lost += len(batch)
            log.exception("the access log lost %d records", len(batch))
        finally:
            self._count -= len(batch)
            del self._writes[tenant]
            if tenant in self._waiting:
                self._changed.set()

    async def _forget_days(self) -> None:
        while True:
            try:
                await self.forget_days()
            except DATABASE_FAILURES as error:
                log.warning("old activity is not forgotten now: %s", type(error).__name__)
            await asyncio.sleep(FORGET_EVERY_S)

    async def _write(self, user_id: UUID, batch: Sequence[Access]) -> None:
        async with self._database.tenant(user_id) as conn:
            raw = driver(conn)
            await raw.execute("SET LOCAL synchronous_commit = off")
            last = int(await raw.fetchval(NUMBER_ACCESSES, user_id, len(batch)))
            await _insert(raw, user_id, last - len(batch) + 1, batch)
            if last // PRUNE_EVERY != (last - len(batch)) // PRUNE_EVERY:
                await raw.execute(_PRUNE, user_id, last - self._kept.accesses)


def asks(what: str) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """For a method of `Memories` that takes an `Actor`: what is refused to it is recorded as `what`, and all is timed."""

    def wrap(method: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @wraps(method)
        async def run(*args: P.args, **named: P.kwargs) -> R:
            actor = next(one for one in (*args, *named.values()) if isinstance(one, Actor))
            records, began, outcome = cast(_Records, args[0]), time.perf_counter(), "failed"
            try:
                answer = await method(*args, **named)
                outcome = "ok"
                return answer
            except JmemError as error:
                outcome = error.code
                if isinstance(error, Refused):
                    records.refused(actor, what, error)
                raise
            finally:
                records.observed(actor, what, outcome, time.perf_counter() - began)

        return run

    return wrap


async def find(raw: Driver, user_id: UUID, wanted: Wanted, limit: int) -> list[Access]:
    """The newest accesses, newest first; of those with `wanted.memory`, only that answer."""
    params = Params(user_id)
    where = ["user_id = $1"]
    for sql, value in (
        ("client = {}", wanted.client), ("what = ANY ({}::text[])", list(wanted.what) or None),
        ("id > {}", wanted.after), ("id < {}", wanted.before),
        ("{}::uuid = ANY (ids)", wanted.memory and UUID(wanted.memory)),
    ):  # fmt: skip
        if value is not None:
            where.append(sql.format(params.add(value)))
    records = await raw.fetch(
        "SELECT id, at, client, what, query, detail::text AS detail, ids, scores::text AS scores FROM jmem.accesses"
        f" WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {params.add(limit)}",
        *params.values,
    )
    return [_access(record, wanted.memory) for record in records]


async def told(
    raw: Driver, user_id: UUID, accesses: Sequence[Access], room: int, begin: int | None = None
) -> list[list[Told]]:
    """For each answer of each access, the memory's text (its first `begin` characters) as the answer gave it.

    Ends with an access by which the texts are more than `room` characters, so that there may be fewer than were given.
    """
    found: list[list[Told]] = []
    some: list[Access] = []
    held = 0
    for number, access in enumerate(accesses, 1):
        some.append(access)
        if number < len(accesses) and sum(len(one.answers) for one in some) < AT_ONCE:
            continue
        texts = await _told(raw, user_id, some, begin)
        held += sum(LEAST_TOLD + len(one.content or "") for each in texts for one in each)
        found += texts
        some.clear()
        if held > room:
            break
    return found


async def _told(raw: Driver, user_id: UUID, accesses: Sequence[Access], begin: int | None) -> list[list[Told]]:
    asked = [(answer.id, access.at) for access in accesses for answer in access.answers]
    until = [f"{milliseconds(at) + 1:012x}" for _, at in asked]
    texts: list[Told] = []
    for record, (_, at) in zip(await raw.fetch(_THEN, user_id, [id for id, _ in asked], until), asked, strict=True):
        content, deleted, stamp, payload = record
        then = [] if payload is None else [(stamp, Op.parse(payload).set["content"])]
        one = told_of(None if content is None else (content, deleted), then, at)
        texts.append(replace(one, content=one.content and one.content[:begin]))
    each = iter(texts)
    return [list(islice(each, len(access.answers))) for access in accesses]


async def _insert(raw: Driver, user_id: UUID, first: int, batch: Sequence[Access]) -> None:
    asked = list({answer.id for access in batch for answer in access.answers})
    purged = {r["id"] for r in await raw.fetch(_PURGED, user_id, asked)} if asked else frozenset[str]()
    rows: list[tuple[Any, ...]] = []
    for number, access in enumerate(batch, first):
        gone = any(answer.id in purged for answer in access.answers)
        rows.append((
            number, access.at, access.client, access.what, None if gone or access.query is None else plain(access.query),
            "{}" if gone else _encode(access.detail),
            ",".join("-" if answer.id in purged else answer.id for answer in access.answers), _scores(access),
        ))  # fmt: skip
    await raw.execute(_INSERT, user_id, *map(list, zip(*rows, strict=True)))


def _access(record: asyncpg.Record, only: str | None) -> Access:
    scores = json.loads(record["scores"]) if record["scores"] else [None] * len(record["ids"])
    answers = [
        Answer(str(id), score[0] if score else None, score[1] if score else None, rank)
        for rank, (id, score) in enumerate(zip(record["ids"], scores, strict=True), 1)
        if id is not None and (only is None or str(id) == only)
    ]
    detail = json.loads(record["detail"])
    return Access(record["client"], record["what"], answers, record["query"], detail, record["at"], record["id"])


def _scores(access: Access) -> str | None:
    """Score and legs of each answer; None where none has any."""
    if all(answer.score is None for answer in access.answers):
        return None
    return _encode([[answer.score, answer.legs] for answer in access.answers])


def _encode(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
