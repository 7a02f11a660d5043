"""The `memories` table: a row is the registers of one memory, with the columns that queries need."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jmem.core import merge
from jmem.core.merge import Registers
from jmem.core.model import FIELDS, Memory
from jmem.core.store.fts import gives_context
from jmem.core.store.text import text_key
from jmem.core.store.writer import Tx

_NAMES = (
    "id", "content", "tags", "metadata", "state", "deleted", "occurred_at", "expires_at", "privacy", "source",
    "thread", "speaker", "client", "supersedes", "created_at", "updated_at", "version",
)  # fmt: skip
MEMORY_COLUMNS = ", ".join(f"m.{name}" for name in _NAMES)
"""What `row_memory` reads, in its order, over the table alias `m`."""
MEMORY_WIDTH = len(_NAMES)

_STORED = (*_NAMES, "id_reversed", "at", "stamps", "extra", "seq", "text_key")
_INSERT = f"INSERT INTO memories ({', '.join(_STORED)}) VALUES ({', '.join('?' * len(_STORED))})"
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


def reverse_id(part: str) -> str:
    """An id (or a part of one) as the suffix index has it: without dashes, last character first."""
    return part.replace("-", "")[::-1]


def read_registers(conn: sqlite3.Connection, id: str) -> tuple[int, Registers, tuple[str, str, str] | None] | None:
    """(rowid, registers, the place in its thread where it gives context) of a memory's row; None without a row."""
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
    return row[MEMORY_WIDTH + 2], registers, _spot(memory, row[MEMORY_WIDTH + 3])


def _spot(memory: Memory, at: str) -> tuple[str, str, str] | None:
    if memory.thread is None or not gives_context(memory.state, memory.deleted, memory.expires_at):
        return None
    return memory.thread, at, memory.id


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else "[]"


def write_row(
    tx: Tx, id: str, registers: Registers, seq: int, rowid: int | None, before: tuple[str, str, str] | None
) -> Memory | None:
    """Insert (rowid None) or update the row that the registers describe; None while they have no content.

    Marks in `tx` what the full-text index must follow. `before` is the place it gave context at until now.
    """
    memory = merge.memory(id, registers)
    if memory is None:
        return None
    at = memory.occurred_at or memory.created_at
    stamps = {name: stamp for name, (stamp, _) in registers.items()}
    extra = {name: value for name, (_, value) in registers.items() if name not in _KNOWN}
    values = (
        id, memory.content, _dump(memory.tags), _object(memory.metadata), memory.state, int(memory.deleted),
        memory.occurred_at, memory.expires_at, memory.privacy, memory.source, memory.thread, memory.speaker,
        memory.client, memory.supersedes, memory.created_at, memory.updated_at, memory.version,
        reverse_id(id), at, _object(stamps), _object(extra), seq, text_key(memory.content, memory.speaker),
    )  # fmt: skip
    if rowid is None:
        rowid = tx.conn.execute(_INSERT, values).lastrowid
        assert rowid is not None
        tx.fresh.add(rowid)
        _write_tags(tx.conn, rowid, memory.tags)
    else:
        tx.conn.execute(_UPDATE, (*values, rowid))
        held = {tag for (tag,) in tx.conn.execute("SELECT tag FROM memory_tags WHERE rowid = ?", (rowid,))}
        if held != set(memory.tags):
            tx.conn.execute("DELETE FROM memory_tags WHERE rowid = ?", (rowid,))
            _write_tags(tx.conn, rowid, memory.tags)
    tx.touched.add(rowid)
    after = _spot(memory, at)
    tx.spots.update(spot for spot in (before, after) if spot is not None)
    return memory


def _object(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else "{}"


def _write_tags(conn: sqlite3.Connection, rowid: int, tags: Iterable[str]) -> None:
    for tag in tags:
        conn.execute("INSERT OR IGNORE INTO memory_tags (rowid, tag) VALUES (?, ?)", (rowid, tag))


def remove_row(tx: Tx, id: str) -> bool:
    """Take a memory's row, tags and full-text entry out; False without a row."""
    held = read_registers(tx.conn, id)
    if held is None:
        return False
    rowid, _, spot = held
    tx.conn.execute("DELETE FROM memory_tags WHERE rowid = ?", (rowid,))
    tx.conn.execute("DELETE FROM memories WHERE rowid = ?", (rowid,))
    # at once, since the next insert may be given the same rowid
    tx.conn.execute("DELETE FROM memory_fts WHERE rowid = ?", (rowid,))
    tx.fresh.discard(rowid)
    if spot is not None:
        tx.spots.add(spot)
    return True
