"""The pool of connections, and the only two ways to a transaction: as one tenant, or as a system role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
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
_TENANT = text(
    "SELECT set_config('app.user_id', :user_id, true), set_config('statement_timeout', :timeout, true),"
    " set_config('search_path', 'jmem', true)"
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
        if not isinstance(user_id, UUID):
            raise TypeError(f"a tenant is a UUID, not {type(user_id).__name__}")
        settings = {"user_id": str(user_id), "timeout": STATEMENT_TIMEOUT}
        async with self._transaction(settings, snapshot=snapshot) as conn:
            yield conn
            if (hook := before_commit.get()) is not None:
                await hook(conn, user_id)

    @asynccontextmanager
    async def system(self, role: SystemRole, user_id: UUID | None = None) -> AsyncIterator[AsyncConnection]:
        """One transaction as a role that may do one thing for the system, about one user where one is given."""
        settings = {"user_id": "" if user_id is None else str(user_id), "timeout": "120s"}
        async with self._transaction(settings) as conn:
            await conn.execute(text(f"SET LOCAL ROLE {role}"))
            yield conn

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def _transaction(self, settings: dict[str, str], *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        conn = await self._begin(settings, snapshot=snapshot)
        try:
            yield conn
            await conn.commit()
        finally:
            await asyncio.shield(_give_back(conn))  # also when the request was given up

    async def _begin(self, settings: dict[str, str], *, snapshot: bool = False) -> AsyncConnection:
        """A connection in a transaction. One that the server closed meanwhile is replaced: nothing was asked of it yet."""
        for last in (False, True):
            conn = await self.engine.connect()
            try:
                if snapshot:
                    await conn.execution_options(isolation_level="REPEATABLE READ")
                await conn.execute(_TENANT, settings)
            except BaseException as error:
                await asyncio.shield(conn.close())
                if last or not (isinstance(error, DBAPIError) and error.connection_invalidated):
                    raise
            else:
                return conn
        raise AssertionError("unreachable")


async def _give_back(conn: AsyncConnection) -> None:
    """Return a connection to the pool, which rolls back what is not committed; one that broke is thrown away."""
    if not conn.invalidated and (await driver(conn)).is_closed():
        await conn.invalidate()
    await conn.close()


async def driver(conn: AsyncConnection) -> Driver:
    """The driver's own connection, in the same transaction."""
    raw = await conn.get_raw_connection()
    return cast("Driver", raw.driver_connection)
