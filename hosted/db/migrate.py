"""Bring a database to a revision, as the role that owns the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from hosted.db.engine import asyncpg_url
from hosted.db.security import SCHEMA, admit

MIGRATIONS = Path(__file__).parent / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """Every revision, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


async def upgrade(url: str, revision: str = "head", *, application_url: str | None = None) -> None:
    """Migrate up in one transaction; the user of `application_url` is let in as the application."""

    def run(connection: Connection) -> None:
        command.upgrade(_config(connection), revision)
        _admit(connection, application_url)

    await _in_transaction(url, run)


async def downgrade(url: str, revision: str) -> None:
    """Migrate down in one transaction; `base` leaves the roles, which other databases of the cluster may use."""
    await _in_transaction(url, lambda connection: command.downgrade(_config(connection), revision))


def move(connection: Connection, revision: str, *, application_url: str | None = None) -> None:
    """Migrate up or down, whichever leads to the revision, in the connection's own transaction; as `upgrade` does."""
    known = revisions()
    target = known[-1] if revision == "head" else revision
    current = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()
    if current is not None and known.index(current) > known.index(target):
        command.downgrade(_config(connection), target)
    else:
        command.upgrade(_config(connection), target)
    _admit(connection, application_url)


def _admit(connection: Connection, application_url: str | None) -> None:
    login = make_url(application_url).username if application_url else None
    if not login:
        return
    known = connection.execute(text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name)"), {"name": login})
    if not known.scalar_one() and "." in login:  # a pooler of many projects wants ROLE.PROJECT
        login = login.rpartition(".")[0]
    for sql in admit(login):
        connection.execute(text(sql))


async def _in_transaction(url: str, run: Callable[[Connection], None]) -> None:
    engine = create_async_engine(asyncpg_url(url))
    try:
        async with engine.begin() as conn:
            await conn.run_sync(run)
    finally:
        await engine.dispose()
