"""Failures of SQLite and of the disk as StorageFailed: what is wrong and what mends it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from jmem.core.errors import StorageFailed

_FULL = (sqlite3.SQLITE_FULL,)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_STATEMENT = (
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISUSE, -1,
)  # fmt: skip
_NO_FILE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def primary_code(error: sqlite3.Error) -> int:
    """The primary result code (SQLITE_FULL, …); -1 when the error has none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return -1 if code is None else code & 0xFF


def of_statement(error: sqlite3.Error) -> bool:
    """Whether the fault lies in one statement (a constraint, a type), not in the disk or the file."""
    return primary_code(error) in _STATEMENT


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is no database any more, or one with broken pages."""
    return primary_code(error) in _DAMAGED


def storage_failed(error: sqlite3.Error, path: Path) -> StorageFailed:
    """The StorageFailed for an error of the database at `path`: a stable code and the remedy."""
    code = primary_code(error)
    if code in _FULL:
        return StorageFailed("the disk is full; nothing was stored", code="disk_full",
                             fix=f"free some space on the disk of {path.parent} and repeat the command")  # fmt: skip
    if code == sqlite3.SQLITE_READONLY:
        return StorageFailed(f"{path} is read-only; nothing was stored", code="read_only",
                             fix=f"chmod u+w {path}   (and its folder)")  # fmt: skip
    if is_damage(error):
        return StorageFailed(f"{path} is damaged: {error}", code="damaged", fix="jmem backup restore")
    if code in _NO_FILE:
        return StorageFailed(f"{path} can't be opened: {error}", code="cannot_open",
                             fix=f"check the owner and the permissions of {path.parent}")  # fmt: skip
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageFailed(f"{path} is in use by another program", code="store_busy", fix="jmem daemon status")
    return StorageFailed(f"{path}: {error}", code="storage_failed", fix="jmem doctor")


def disk_failed(error: OSError, what: str) -> StorageFailed:
    """The StorageFailed for an error of the file system; `what` could not be done."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFailed(
            f"{what}: the disk is full", code="disk_full", fix="free some space and repeat the command"
        )
    return StorageFailed(f"{what}: {error.strerror}", fix="check the owner and the permissions of the folder")
