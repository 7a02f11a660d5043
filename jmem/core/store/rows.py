"""The `memories` table: a row is the registers of one memory, with the columns that queries need."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jmem.core import merge
from jmem.core.idparts import reverse_id
from jmem.core.merge import Registers
from jmem.core.model import FIELDS, Memory, plain_json
from jmem.core.store.fts import gives_context
from jmem.core.store.writer import Tx
from jmem.core.texts import text_key

_NAMES = (
    "id", "content", "tags", "metadata", "state", "deleted", "occurred_at", "expires_at", "privacy", "source",
    "thread", "speaker", "client", "supersedes", "created_at", "updated_at", "version",
)  # fmt: skip
MEMORY_COLUMNS = ", ".join(f"m.{name}" for name in _NAMES)
"""What `row_memory` reads, in its order, over the table alias `m`."""
MEMORY_WIDTH = len(_NAMES)

_STORED = (*_NAMES, "id_reversed", "at", "stamps", "extra", "seq", "text_key")
_INSERT = f"INSERT INTO memories ({', '.join(_STORED)}) VALUES ({', '.join('?' * len(_STORED))})"
_INSERT_AT = f"INSERT INTO memories ({', '.join(_STORED)}, rowid) VALUES ({', '.join('?' * len(_STORED))}, ?)"
_UPDATE = f"UPDATE memories SET {', '.join(f'{name} = ?' for name in _STORED)} WHERE rowid = ?"
_KNOWN = frozenset(FIELDS)


def row_memory(row: Sequence[Any], start: int = 0) -> Memory:
    """The memory of a row that was read with MEMORY_COLUMNS, `start` columns in."""
    (id, content, tags, metadata, state, deleted, occurred_at, expires_at, privacy, source, thread, speaker, client,
     supersedes, created_at, updated_at, version) = row[start : start + MEMORY_WIDTH]  # fmt: skip
    return Memory(
        id, content, tuple(json.loads(tags)) if tags != "[]" else (), json.loads(metadata) if metadata != "{}" else {},
        state, bool(deleted), occurred_at, expires_at, privacy, source, thread, speaker, client, supersedes,
        created_at, updated_at, version,
    )  # fmt: skip


def memory_of(conn: sqlite3.Connection, id: str) -> Memory | None:
    """The memory of a whole id, deleted or not; None where there is none."""
    row = conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE m.id = ?", (id,)).fetchone()
    return row_memory(row) if row else None


@dataclass(frozen=True, slots=True)
class Held:
    """A row as it stands: its registers, its tags, and the place in its thread where it gives context."""

    rowid: int
    registers: Registers
    tags: tuple[str, ...]
    spot: tuple[str, str, str] | None


def read_registers(conn: sqlite3.Connection, id: str) -> Held | None:
    """The row of a memory; None without one."""
    row = conn.execute(f"SELECT {MEMORY_COLUMNS}, m.stamps, m.extra, m.rowid, m.at FROM memories m WHERE m.id = ?",
                       (id,)).fetchone()  # fmt: skip
    if row is None:
        return None
    stamps: dict[str, str] = json.loads(row[MEMORY_WIDTH])
    values: dict[str, Any] = json.loads(row[MEMORY_WIDTH + 1])
    for position, name in enumerate(_NAMES):
        if name in stamps:
            value = row[position]
            if name in ("tags", "metadata"):
                value = json.loads(value)
            elif name == "deleted":
                value = bool(value)
            values[name] = value
    registers = {name: (stamp, values[name]) for name, stamp in stamps.items()}
    memory = row_memory(row)
    return Held(row[MEMORY_WIDTH + 2], registers, memory.tags, _spot(memory, row[MEMORY_WIDTH + 3]))


def _spot(memory: Memory, at: str) -> tuple[str, str, str] | None:
    if memory.thread is None or not gives_context(memory.state, memory.deleted, memory.expires_at):
        return None
    return memory.thread, at, memory.id


def write_row(tx: Tx, id: str, registers: Registers, seq: int, held: Held | None) -> Memory | None:
    """Insert or update (`held`) the row that the registers describe; None while they have no content.

    Marks in `tx` what the full-text index must follow.
    """
    memory = merge.memory(id, registers)
    if memory is None:
        return None
    at = memory.occurred_at or memory.created_at
    values = _values(memory, registers, seq)
    if held is None:
        rowid = tx.conn.execute(_INSERT, values).lastrowid
        assert rowid is not None
        tx.fresh.add(rowid)
        _write_tags(tx.conn, rowid, memory.tags)
    else:
        rowid = held.rowid
        tx.conn.execute(_UPDATE, (*values, rowid))
        _remove_tags(tx.conn, rowid, set(held.tags) - set(memory.tags))
        _write_tags(tx.conn, rowid, set(memory.tags) - set(held.tags))
    tx.touched.add(rowid)
    after = _spot(memory, at)
    if after is not None:
        tx.spots.add(after)
    if held is not None and held.spot is not None:
        tx.spots.add(held.spot)
    return memory


def without_tags(tx: Tx, held: Held) -> Held:
    """A row that has no tag any more, so that those it gets are all written."""
    _remove_tags(tx.conn, held.rowid, held.tags)
    return replace(held, tags=())


def insert_at(conn: sqlite3.Connection, rowid: int, memory: Memory, registers: Registers) -> None:
    """Insert the row of a memory under a rowid given to it, into tables that have no log of their own."""
    conn.execute(_INSERT_AT, (*_values(memory, registers, 0), rowid))
    _write_tags(conn, rowid, memory.tags)


def copy(source: sqlite3.Connection, target: sqlite3.Connection, ids: Sequence[str]) -> dict[str, int]:
    """Copy the rows of memories, without their tags, as they are; their rowids by id."""
    names = ", ".join(_STORED)
    found = source.execute(
        f"SELECT {names}, rowid FROM memories WHERE id IN (SELECT value FROM json_each(?))", (plain_json(ids),)
    ).fetchall()
    target.executemany(_INSERT_AT, found)
    return {row[0]: row[-1] for row in found}


def _values(memory: Memory, registers: Registers, seq: int) -> tuple[Any, ...]:
    """What _STORED names."""
    stamps = {name: stamp for name, (stamp, _) in registers.items()}
    extra = {name: value for name, (_, value) in registers.items() if name not in _KNOWN}
    return (
        memory.id, memory.content, plain_json(memory.tags) if memory.tags else "[]", _object(memory.metadata), memory.state,
        int(memory.deleted), memory.occurred_at, memory.expires_at, memory.privacy, memory.source, memory.thread,
        memory.speaker, memory.client, memory.supersedes, memory.created_at, memory.updated_at, memory.version,
        reverse_id(memory.id), memory.occurred_at or memory.created_at, _object(stamps), _object(extra), seq,
        text_key(memory.content, memory.speaker),
    )  # fmt: skip


def _object(value: Mapping[str, Any]) -> str:
    return plain_json(value) if value else "{}"


def _write_tags(conn: sqlite3.Connection, rowid: int, tags: Iterable[str]) -> None:
    conn.executemany("INSERT OR IGNORE INTO memory_tags (rowid, tag) VALUES (?, ?)", [(rowid, tag) for tag in tags])


def _remove_tags(conn: sqlite3.Connection, rowid: int, tags: Iterable[str]) -> None:
    for tag in tags:
        conn.execute("DELETE FROM memory_tags WHERE tag = ? AND rowid = ?", (tag, rowid))


def remove_row(tx: Tx, id: str) -> bool:
    """Take a memory's row, tags and full-text entry out; False without a row."""
    held = read_registers(tx.conn, id)
    if held is None:
        return False
    rowid, spot = held.rowid, held.spot
    _remove_tags(tx.conn, rowid, held.tags)
    tx.conn.execute("DELETE FROM memories WHERE rowid = ?", (rowid,))
    # at once, since the next insert may be given the same rowid
    tx.conn.execute("DELETE FROM memory_fts WHERE rowid = ?", (rowid,))
    tx.fresh.discard(rowid)
    if spot is not None:
        tx.spots.add(spot)
    return True
