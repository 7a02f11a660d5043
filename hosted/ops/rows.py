"""The `memories` table: a row is the registers of one memory, with the columns that queries need.

A row exists for every id that an op has set something of. It has content, and is a memory, once an op has given it
some; a purge takes all of that away for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from jmem.core import merge
from jmem.core.edits import DEFAULTS
from jmem.core.idparts import reverse_id
from jmem.core.merge import Registers
from jmem.core.model import FIELDS, Memory, plain_json
from jmem.core.texts import text_key

if TYPE_CHECKING:
    import asyncpg

    from hosted.db.engine import Driver

_NAMES = (
    "id", "content", "tags", "metadata", "state", "deleted", "occurred_at", "expires_at", "privacy", "source",
    "thread", "speaker", "client", "supersedes", "created_at", "updated_at", "version",
)  # fmt: skip
COLUMNS = ", ".join("m.metadata::text AS metadata" if name == "metadata" else f"m.{name}" for name in _NAMES)
"""What `memory_of` reads, over the table alias `m`."""
IS_MEMORY = "m.content IS NOT NULL"
"""Part of every condition that finds memories: rows without content are none (yet, or any more)."""

_TYPES = {
    "id_reversed": "text", "at": "text", "stamps": "json", "extra": "json", "seq": "bigint", "text_key": "bytea",
    "purged": "boolean", "apart": "boolean", "deleted": "boolean", "tags": "text[]", "metadata": "json",
}  # fmt: skip
_STORED = (*_NAMES, "id_reversed", "at", "stamps", "extra", "seq", "text_key", "purged", "apart")
_BY_TEXT = frozenset(("json", "text[]"))
"""Types that go out as text, since an array of them has no plain form."""
_KNOWN = frozenset(FIELDS)


def _upsert() -> str:
    kinds = [_TYPES.get(name, "text") for name in _STORED]
    arrays = ", ".join(f"${n}::{'text' if k in _BY_TEXT else k}[]" for n, k in enumerate(kinds, 2))
    values = ", ".join(
        f"u.{name}::{kind}" if kind in _BY_TEXT else f"u.{name}" for name, kind in zip(_STORED, kinds, strict=True)
    )
    return (
        f"INSERT INTO jmem.memories (user_id, {', '.join(_STORED)}) SELECT $1, {values}"
        f" FROM unnest({arrays}) AS u ({', '.join(_STORED)}) ON CONFLICT (user_id, id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in _STORED if name != "id")
    )


_UPSERT = _upsert()
LOADED = f"{COLUMNS}, m.stamps::text AS stamps, m.extra::text AS extra, m.seq, m.purged, m.apart"
"""COLUMNS, and what else a row holds."""
_LOAD = f"SELECT {LOADED} FROM jmem.memories m WHERE m.user_id = $1 AND m.id = ANY ($2::text[])"


def memory_of(record: Any) -> Memory:
    """The memory of a record that was read with COLUMNS."""
    (id, content, tags, metadata, state, deleted, occurred_at, expires_at, privacy, source, thread, speaker, client,
     supersedes, created_at, updated_at, version) = record[: len(_NAMES)]  # fmt: skip
    return Memory(
        id, content, tuple(tags), json.loads(metadata) if metadata != "{}" else {}, state, deleted, occurred_at,
        expires_at, privacy, source, thread, speaker, client, supersedes, created_at, updated_at, version,
    )  # fmt: skip


@dataclass(slots=True)
class Row:
    """One id, as its ops add up."""

    id: str
    registers: Registers = field(default_factory=dict)
    purged: bool = False
    seq: int = 0
    apart: bool = False
    """whether it has different texts that were written apart"""

    def memory(self) -> Memory | None:
        """The memory it is; None while it has no content."""
        return merge.memory(self.id, self.registers)

    def purge(self) -> None:
        """Take everything away, for ever."""
        self.purged, self.apart = True, False
        self.registers = {}


async def load(raw: Driver, user_id: UUID, ids: Iterable[str]) -> dict[str, Row]:
    """The rows of these ids that there are."""
    records = await raw.fetch(_LOAD, user_id, list(ids))
    return {record["id"]: _row(record) for record in records}


def _row(record: asyncpg.Record) -> Row:
    stamps: dict[str, str] = json.loads(record["stamps"])
    values: dict[str, Any] = json.loads(record["extra"]) if record["extra"] != "{}" else {}
    for name in _NAMES:
        if name in stamps:
            values[name] = json.loads(record[name]) if name == "metadata" else record[name]
    registers = {name: (stamp, values[name]) for name, stamp in stamps.items()}
    return Row(record["id"], registers, record["purged"], record["seq"], record["apart"])


class Columns:
    """Rows on their way into the table, as one array a column."""

    def __init__(self, rows: Iterable[Row]) -> None:
        table = [_values(row) for row in rows]
        self._arrays: list[tuple[Any, ...]] = list(zip(*table, strict=True))

    async def write(self, raw: Driver, user_id: UUID) -> None:
        """Insert or replace all of them by one statement."""
        if self._arrays:
            await raw.execute(_UPSERT, user_id, *self._arrays)


def _values(row: Row) -> tuple[Any, ...]:
    """What _STORED names."""
    registers = row.registers
    memory = merge.memory(row.id, registers)
    stamps = plain_json({name: stamp for name, (stamp, _) in registers.items()}) if registers else "{}"
    extra = {name: value for name, (_, value) in registers.items() if name not in _KNOWN}
    if memory is None:
        return _without_content(row, stamps, extra)
    return (
        memory.id, memory.content, _array(memory.tags), _object(memory.metadata), memory.state, memory.deleted,
        memory.occurred_at, memory.expires_at, memory.privacy, memory.source, memory.thread, memory.speaker,
        memory.client, memory.supersedes, memory.created_at, memory.updated_at, memory.version, reverse_id(memory.id),
        memory.occurred_at or memory.created_at, stamps, _object(extra), row.seq,
        text_key(memory.content, memory.speaker), False, row.apart,
    )  # fmt: skip


def _without_content(row: Row, stamps: str, extra: Mapping[str, Any]) -> tuple[Any, ...]:
    """A row that is no memory keeps what its registers hold, so that nothing is read again when content comes."""
    held = {name: value for name, (_, value) in row.registers.items()}
    values = {**DEFAULTS, "client": "", "created_at": "", **{name: held[name] for name in FIELDS if name in held}}
    version = max((stamp for stamp, _ in row.registers.values()), default="")
    return (
        row.id, None, _array(values["tags"]), _object(values["metadata"]), values["state"], values["deleted"],
        values["occurred_at"], values["expires_at"], values["privacy"], values["source"], values["thread"],
        values["speaker"], values["client"], values["supersedes"], values["created_at"], "", version,
        reverse_id(row.id), "", stamps, _object(extra), row.seq, b"", row.purged, False,
    )  # fmt: skip


def _object(value: Mapping[str, Any]) -> str:
    return plain_json(value) if value else "{}"


def _array(values: Sequence[str]) -> str:
    """The text form of a Postgres array."""
    if not values:
        return "{}"
    return "{" + ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in values) + "}"
