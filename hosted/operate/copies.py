"""Encrypted copies of the whole database: all tables of all accounts, of one moment, and back.

What can be made anew is left out: how far the vector index is (it is filled again after a restore).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

import jmem
from hosted.db.engine import asyncpg_url, driver
from hosted.db.migrate import move, revisions
from hosted.operate.archive import Archive, Manifest, Parts, Table, Total, quoted
from hosted.operate.sealed import Key, Writer, opened
from jmem.core.errors import Conflict, Invalid, StorageFailed, Unreachable
from jmem.core.model import now_iso
from jmem.core.redaction import redacted

if TYPE_CHECKING:
    Driver = asyncpg.Connection[asyncpg.Record]

DERIVED = ("index_heads", "index_state")
"""Left out of backups, and emptied by a restore."""
_TABLES = """
    SELECT c.relname AS name,
        (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
        (SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i
            CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k (attnum, n)
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
            WHERE i.indrelid = c.oid AND i.indisprimary) AS key
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'jmem' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version'
    ORDER BY c.relname"""
_SEQUENCES = """
    SELECT s.oid::regclass::text AS sequence, t.relname AS table, a.attname AS column
    FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.classid = 'pg_class'::regclass
    JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    JOIN pg_namespace n ON n.oid = t.relnamespace WHERE s.relkind = 'S' AND n.nspname = 'jmem'"""
_UNBOUND = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
_VERSION = "SELECT version_num FROM jmem.alembic_version"


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup or a restore did."""

    tables: dict[str, Total]
    revision: str
    created_at: str
    size: int
    forgotten: int = 0
    """accounts that were in the backup and deleted since"""

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(total.rows for total in self.tables.values())


async def backup(url: str, path: Path, key: Key) -> Copied:
    """Write a copy of one moment to `path`, which appears whole or not at all. Raises Conflict when it is there already."""
    if path.exists():
        raise Conflict(f"{path} is there already", code="exists", fix="name another file by --to")
    unfinished = path.with_name(path.name + ".part")
    try:
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise Invalid(f"{unfinished}: {error.strerror}", field="to") from error
    try:
        with os.fdopen(file, "wb") as out:
            done = await write(url, out, key)
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(path)
    except OSError as error:
        raise StorageFailed(f"{unfinished}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return done


async def write(url: str, out: BinaryIO, key: Key) -> Copied:
    """Write a copy of one moment to a stream: what a failure leaves of it is known to be cut short."""
    async with _transaction(url, "REPEATABLE READ", readonly=True) as conn:
        sealing = Writer(out, key)
        manifest, totals = await _dump(driver(conn), Parts(sealing))
    return Copied(totals, manifest.revision, manifest.created_at, sealing.size)


def verify(path: Path, known: Sequence[Key]) -> tuple[Manifest, dict[str, Total]]:
    """Read a backup whole, and change nothing. Raises Invalid (`no_backup`, `wrong_key`, `newer`), Damaged."""
    try:
        with path.open("rb") as file:
            archive = Archive(opened(file, known))
            return archive.manifest, archive.read_through()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}", field="from") from error


async def restore(
    url: str, path: Path, known: Sequence[Key], *, force: bool = False, application_url: str | None = None
) -> Copied:
    """Put a backup in the place of what the database holds: all of it or, if anything fails, nothing.

    Accounts that were deleted since then stay deleted, where the database still knows of them; the user of
    `application_url` is let in as the application. Raises as `verify` does, and
    Conflict `not_empty` for a database with rows, unless `force`.
    """
    manifest, wanted = await asyncio.to_thread(verify, path, known)
    if manifest.revision not in revisions():
        raise Invalid(f"the backup is of revision {manifest.revision}, which this version does not know", code="newer",
                      fix="upgrade jmem")  # fmt: skip
    async with _transaction(url) as conn:
        raw = driver(conn)
        ended = await _clear(raw, force)
        await conn.run_sync(move, manifest.revision)
        with path.open("rb") as file:
            archive = Archive(opened(file, known))
            await _load(raw, archive)
        if await _totals(raw, manifest.tables) != wanted:
            raise StorageFailed("the database does not hold what the backup does; it was left as it was")
        await conn.run_sync(move, "head", application_url=application_url)
        forgotten = await _bury(raw, ended)
    return Copied(wanted, manifest.revision, manifest.created_at, path.stat().st_size, forgotten)


async def _dump(raw: Driver, parts: Parts) -> tuple[Manifest, dict[str, Total]]:
    tables = [table for table in await _tables(raw) if table.name not in DERIVED]
    manifest = Manifest(await raw.fetchval(_VERSION), now_iso(), jmem.__version__, tuple(tables))
    parts.manifest(manifest)
    totals = {}
    for table in tables:
        told = await raw.copy_from_query(table.query(), output=parts.rows)
        totals[table.name] = parts.end_table(_count(told))
    parts.end()
    return manifest, totals


@dataclass(frozen=True, slots=True)
class _Ended:
    """Accounts that the database knew as deleted, and those of them whose deletion was under way."""

    stones: Sequence[bytes] = ()
    under_way: Sequence[tuple[UUID, datetime]] = ()


async def _clear(raw: Driver, force: bool) -> _Ended:
    """Empty every table; the deletions that were known."""
    tables = [quoted(table.name) for table in await _tables(raw)]
    if not tables:
        return _Ended()
    await raw.execute(f"LOCK TABLE {', '.join(f'jmem.{name}' for name in tables)} IN ACCESS EXCLUSIVE MODE")
    filled = [name for name in tables if await raw.fetchval(f"SELECT EXISTS (SELECT FROM jmem.{name})")]
    if filled and not force:
        raise Conflict(
            f"the database is not empty: there are rows in {', '.join(name.strip(chr(34)) for name in filled)}",
            code="not_empty", fix="restore into an empty database, or replace all it holds: --force",
        )  # fmt: skip
    ended = _Ended()
    if quoted("tombstones") in tables:
        stones = [stone["user_hash"] for stone in await raw.fetch("SELECT user_hash FROM jmem.tombstones")]
        ended = _Ended(stones, [tuple(row) for row in await raw.fetch("SELECT user_id, asked_at FROM jmem.deletions")])
    await raw.execute(f"TRUNCATE {', '.join(f'jmem.{name}' for name in tables)}")
    return ended


async def _load(raw: Driver, archive: Archive) -> None:
    here = {table.name for table in await _tables(raw)}
    for table in archive.manifest.tables:
        if table.name not in here:
            raise StorageFailed(f"revision {archive.manifest.revision} has no table {table.name}")
        name = f"jmem.{quoted(table.name)}"
        await raw.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")  # rows come back as they were, not as new ones
        await raw.copy_to_table(
            table.name, schema_name="jmem", columns=list(table.columns), source=_stream(archive.table(table))
        )
        await raw.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    archive.end()
    for found in await raw.fetch(_SEQUENCES):
        column, table_name = quoted(found["column"]), quoted(found["table"])
        await raw.execute(
            f"SELECT setval('{found['sequence']}', coalesce(max({column}), 0) + 1, false) FROM jmem.{table_name}"
        )


async def _bury(raw: Driver, ended: _Ended) -> int:
    """Remove the accounts that were deleted after the backup was made, and have a deletion that was under way go on from
    its beginning; how many accounts came back with the backup."""
    stones = ended.stones
    if not stones:
        return 0
    found: set[bytes] = set()
    for table in await _tables(raw):
        if "user_id" in table.columns and table.name != "deletions":
            gone = await raw.fetch(
                f"DELETE FROM jmem.{quoted(table.name)} WHERE sha256(uuid_send(user_id)) = ANY ($1::bytea[]) RETURNING user_id",
                stones,
            )
            found |= {row["user_id"].bytes for row in gone}
    await raw.executemany(
        "INSERT INTO jmem.tombstones (user_hash) VALUES ($1) ON CONFLICT DO NOTHING", [(stone,) for stone in stones]
    )
    await raw.executemany(
        "INSERT INTO jmem.deletions (user_id, asked_at, step) VALUES ($1, $2, 'rows')"
        " ON CONFLICT (user_id) DO UPDATE SET step = excluded.step", ended.under_way,
    )  # fmt: skip
    return len(found)


async def _totals(raw: Driver, tables: Sequence[Table]) -> dict[str, Total]:
    """What the tables hold, as a backup would tell it."""
    totals = {}
    for table in tables:
        digest = hashlib.sha256()

        async def add(data: bytes, digest: hashlib._Hash = digest) -> None:
            digest.update(data)

        told = await raw.copy_from_query(table.query(), output=add)
        totals[table.name] = Total(_count(told), digest.hexdigest())
    return totals


async def _tables(raw: Driver) -> list[Table]:
    return [Table(row["name"], tuple(row["columns"]), tuple(row["key"] or ())) for row in await raw.fetch(_TABLES)]


async def _stream(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _count(told: str) -> int:
    return int(told.rpartition(" ")[2])


@asynccontextmanager
async def _transaction(
    url: str, isolation: str = "READ COMMITTED", *, readonly: bool = False
) -> AsyncIterator[AsyncConnection]:
    """One transaction as the owner of the tables, whom no row-level security may bind: it would hide rows from a copy."""
    try:
        engine = create_async_engine(asyncpg_url(url), isolation_level=isolation)
        try:
            async with engine.begin() as conn:
                # the transaction begins with the first statement that goes by SQLAlchemy
                await conn.execute(text("SET LOCAL statement_timeout = 0"))
                raw = driver(conn)
                await raw.execute("SET LOCAL row_security = off" + ("; SET TRANSACTION READ ONLY" if readonly else ""))
                if not await raw.fetchval(_UNBOUND):
                    raise Invalid(
                        "row-level security binds this role: a copy would lack every account's rows", code="setting",
                        field="MIGRATION_DATABASE_URL", fix="ALTER ROLE … BYPASSRLS, as a superuser",
                    )  # fmt: skip
                yield conn
        finally:
            await engine.dispose()
    except (
        SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError,
    ) as error:  # fmt: skip
        cause = getattr(error, "orig", None) or error
        kind = type(cause).__name__
        raise Unreachable(f"the database refused ({kind}): {redacted(str(cause).splitlines()[0])}",
                          code="unavailable") from error  # fmt: skip
