"""Brings a database to the newest schema: step by step, each step atomic, with a copy kept before data changes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from jmem.core.errors import StorageFailed
from jmem.core.store.schema import MIGRATIONS, Migration


def schema_version(conn: sqlite3.Connection) -> int:
    """The version the database is at; 0 for an empty one."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def migrate(conn: sqlite3.Connection, backups: Path, migrations: Sequence[Migration] = MIGRATIONS) -> list[int]:
    """Run the missing migrations and return the versions reached; an interrupted run goes on where it stopped.

    Before the first step that changes data a verified copy is written to `backups`. Raises StorageFailed with
    code `newer_store`, changing nothing, when the database was written by a newer jmem.
    """
    version, newest = schema_version(conn), len(migrations)
    if version > newest:
        raise StorageFailed(
            f"these memories were written by a newer jmem (schema {version}; this one knows {newest})",
            code="newer_store", fix="./install.sh   upgrades jmem to the newest version",
        )  # fmt: skip
    reached: list[int] = []
    saved = version == 0
    for number in range(version, newest):
        step = migrations[number]
        if step.changes_data and not saved:
            copy_database(conn, backups / f"before-schema-{number + 1}.db")
            saved = True
        _run(conn, step, number + 1)
        reached.append(number + 1)
    return reached


def _run(conn: sqlite3.Connection, step: Migration, version: int) -> None:
    conn.execute("BEGIN IMMEDIATE")
    try:
        for statement in step.sql:
            conn.execute(statement)
        conn.execute(f"PRAGMA user_version = {version}")
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def copy_database(conn: sqlite3.Connection, target: Path) -> int:
    """Write a consistent, checked copy of the database to `target` (replacing it); its size in bytes.

    The copy takes its name only when it is whole and on disk.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_WRONLY, 0o600))
    copy = sqlite3.connect(part, isolation_level=None)
    try:
        conn.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
        verdict = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StorageFailed(f"the copy is damaged: {verdict}", code="damaged", fix="jmem doctor")
    except BaseException:
        copy.close()
        part.unlink(missing_ok=True)
        raise
    copy.close()
    sync_file(part)
    part.replace(target)
    sync_file(target.parent)
    return target.stat().st_size


def sync_file(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
