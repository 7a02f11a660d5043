"""The pool of connections, and the only two ways to a transaction: as one tenant, or as a system role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import QueuePool

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""The driver's own connection: for whole batches as arrays."""
SystemRole = Literal["jmem_metrics", "jmem_deletion"]
STATEMENT_TIMEOUT = "20s"
DATABASE_FAILURES = (
    SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip
"""All that a database which is away, starting or overloaded may raise here: what goes on behind the requests goes on."""
# one trip to the server and back; there is nothing in it that somebody else has said
_BEGIN = (
    "BEGIN{isolation}; SELECT set_config('app.user_id', '{tenant}', true),"
    " set_config('statement_timeout', '{timeout}', true), set_config('search_path', 'jmem', true)"
)

before_commit: ContextVar[Callable[[AsyncConnection, UUID], Awaitable[None]] | None] = ContextVar(
    "before_commit", default=None
)
"""What a request has every tenant's transaction do before it commits; what it raises rolls the transaction back."""


def asyncpg_url(url: str) -> URL:
    """A Postgres address as its tools write it, in the form that SQLAlchemy wants for asyncpg."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    query = dict(parsed.query)
    if (mode := query.pop("sslmode", None)) is not None:  # libpq's name for it
        query.setdefault("ssl", mode)
    return parsed.set(query=query)


def driver_dsn(url: str) -> str:
    """The same address for the driver itself."""
    parsed = asyncpg_url(url).set(drivername="postgresql")
    query = dict(parsed.query)
    if (mode := query.pop("ssl", None)) is not None:
        query["sslmode"] = mode
    return parsed.set(query=query).render_as_string(hide_password=False)


def connect_args(*, pooler: bool) -> dict[str, Any]:
    """How asyncpg connects; behind a transaction pooler a prepared statement may be another connection's."""
    if not pooler:
        return {}
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__jmem_{uuid4()}__",
    }


class Database:
    """A bounded pool. Row-level security knows a transaction's tenant by a setting that ends with the transaction."""

    def __init__(self, url: str, *, pool_size: int = 10, timeout: float = 5.0, pooler: bool = False) -> None:
        self._size = pool_size
        self.engine = create_async_engine(
            asyncpg_url(url), pool_size=pool_size, max_overflow=0, pool_timeout=timeout, pool_recycle=1800,
            connect_args=connect_args(pooler=pooler),
            isolation_level="AUTOCOMMIT",  # transactions are the driver's: SQLAlchemy's take twice as long to begin and end
        )  # fmt: skip

    @property
    def full(self) -> bool:
        """Whether every connection of the pool is in use."""
        pool = self.engine.pool
        return isinstance(pool, QueuePool) and pool.checkedout() >= self._size

    @asynccontextmanager
    async def tenant(self, user_id: UUID, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """One transaction in which nothing but this user's rows exists; committed unless an exception leaves it.

        All that it reads is of one moment with `snapshot` (then it may not write what others write). Raises SQLAlchemy's TimeoutError when no connection becomes free in time.
        """
        if user_id is None:
            raise TypeError("a tenant is a UUID")
        async with self._transaction(user_id, STATEMENT_TIMEOUT, snapshot=snapshot) as conn:
            yield conn
            if (hook := before_commit.get()) is not None:
                await hook(conn, user_id)

    @asynccontextmanager
    async def system(self, role: SystemRole, user_id: UUID | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction as a role that may do one thing for the system, about one user where one is given."""
        async with self._transaction(user_id, "120s") as conn:
            await driver(conn).execute(f"SET LOCAL ROLE {role}")
            yield conn

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _transaction(
        self, user_id: UUID | None, timeout: str, *, snapshot: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        conn = await self._begin(user_id, timeout, snapshot=snapshot)
        try:
            yield conn
            if await driver(conn).execute("COMMIT") != "COMMIT":
                raise asyncpg.InterfaceError("the transaction had failed: nothing of it was committed")
        except BaseException:
            await asyncio.shield(_take_back(conn))  # also when the request was given up
            raise
        await conn.close()

    async def _begin(self, user_id: UUID | None, timeout: str, *, snapshot: bool) -> AsyncConnection:
        """A connection in a transaction. One that the server closed meanwhile is replaced: nothing was asked of it yet."""
        if not isinstance(user_id, UUID | None):
            raise TypeError(f"a tenant is a UUID, not {type(user_id).__name__}")
        isolation = " ISOLATION LEVEL REPEATABLE READ" if snapshot else ""
        begin = _BEGIN.format(isolation=isolation, tenant="" if user_id is None else user_id, timeout=timeout)
        for left in range(self._size, -1, -1):  # all of the pool may be closed, and then a new one is made
            conn = await self.engine.connect()
            raw = driver(conn)
            try:
                await raw.execute(begin)
            except BaseException as error:
                closed = isinstance(error, DATABASE_FAILURES) and raw.is_closed()
                await asyncio.shield(_throw_away(conn))
                if not (left and closed):
                    raise
            else:
                return conn
        raise AssertionError("unreachable")


async def _take_back(conn: AsyncConnection) -> None:
    """Undo a transaction and return its connection to the pool; one that may have it still is thrown away."""
    try:
        await driver(conn).execute("ROLLBACK")
    except DATABASE_FAILURES:
        await _throw_away(conn)
    else:
        await conn.close()


async def _throw_away(conn: AsyncConnection) -> None:
    """Close a connection itself: what it was left in the middle of is not known."""
    await conn.invalidate()
    await conn.close()


def driver(conn: AsyncConnection) -> Driver:
    """The driver's own connection, in the same transaction."""
    assert conn.sync_connection is not None
    return cast("Driver", conn.sync_connection.connection.driver_connection)
