"""The device's side of the hash tree: what of its store counts.

Counted on a device is what may leave it: ops that are private or that a rule holds back are not, and a memory that has
such ops counts with the row that its other ops add up to, which is what the account shall know of it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jmem.core import merge
from jmem.core.model import Op
from jmem.core.store import MEMORY_COLUMNS, row_memory
from jmem.core.store.oplog import Sent
from jmem.core.store.rows import MEMORY_WIDTH
from jmem.core.tree import BUCKET, Leaf, Sums, folded_hash, op_hash, place, row_hash

_KEPT = f"({Sent.LOCAL:d}, {Sent.HELD:d})"
_OPS = f"SELECT memory_id, stamp, digest FROM ops WHERE sent NOT IN {_KEPT}"
_ROWS = f"SELECT {MEMORY_COLUMNS}, m.stamps, m.extra FROM memories m"
_PARTLY = f"SELECT DISTINCT memory_id FROM ops WHERE sent IN {_KEPT}"

_MIXED = f"""
{_PARTLY} AND EXISTS (SELECT 1 FROM ops k WHERE k.memory_id = ops.memory_id AND k.sent NOT IN {_KEPT})"""


@dataclass(frozen=True, slots=True)
class Scanned:
    """The buckets of a device, and how many memories are in them."""

    buckets: Sums
    memories: int


Tell = Callable[[int], object]
T = TypeVar("T")
_TELL_EVERY = 5_000
BUSY_S, REST_S = 0.001, 0.001
"""Seconds of work, and of rest after them: who hashes without a pause makes every search of the process wait for the
interpreter, at each of its steps."""


def scan(conn: sqlite3.Connection, tell: Tell = lambda done: None) -> Scanned:
    """The whole tree of a device; `tell` is given how many memories and ops were looked at. Reads one state of the store."""
    buckets, memories = Sums(BUCKET), 0
    for n, (id, log, row) in enumerate(_hashes(conn)):
        buckets.add(place(id), log + row)
        memories += bool(row)
        if n % _TELL_EVERY == 0:
            tell(n)
    return Scanned(buckets, memories)


def leaves(conn: sqlite3.Connection, buckets: Collection[str]) -> dict[str, Leaf]:
    """The memories in some buckets, by id."""
    found: dict[str, Leaf] = {}
    for id, log, row in _hashes(conn, frozenset(buckets)):
        found.setdefault(id, Leaf()).add(log, row)
    return found


def _hashes(conn: sqlite3.Connection, buckets: frozenset[str] | None = None) -> Iterator[tuple[str, int, int]]:
    """(id, hash of an op, 0) and (id, 0, hash of a row) for all that counts, each time in the order of the tables."""
    conn.execute("BEGIN")
    try:
        for id, stamp, digest in _resting(conn.execute(_OPS)):
            if buckets is None or place(id) in buckets:
                yield id, op_hash(id, stamp, digest), 0
        partly = {id for (id,) in conn.execute(_PARTLY)}
        for row in _resting(conn.execute(_ROWS)):
            if row[0] not in partly and (buckets is None or place(row[0]) in buckets):
                yield row[0], 0, _stored_hash(row)
        for (id,) in _resting(conn.execute(_MIXED)):
            if (buckets is None or place(id) in buckets) and (row := _shared_hash(conn, id)):
                yield id, 0, row
    finally:
        conn.execute("ROLLBACK")


def _resting(rows: Iterable[T]) -> Iterator[T]:
    """The rows, with rests between them."""
    until = time.perf_counter() + BUSY_S
    for row in rows:
        if time.perf_counter() > until:
            time.sleep(REST_S)
            until = time.perf_counter() + BUSY_S
        yield row


def _shared_hash(conn: sqlite3.Connection, id: str) -> int:
    return folded_hash(id, merge.fold(shared_ops(conn, id)).registers)


def _stored_hash(row: Sequence[Any]) -> int:
    stamps, extra = row[MEMORY_WIDTH], row[MEMORY_WIDTH + 1]
    return row_hash(row_memory(row), json.loads(stamps), json.loads(extra) if extra != "{}" else {})


def shared_ops(conn: sqlite3.Connection, id: str) -> list[Op]:
    """The ops of a memory that may leave."""
    found = conn.execute(f"SELECT payload FROM ops WHERE memory_id = ? AND sent NOT IN {_KEPT}", (id,))
    return [Op.parse(text) for (text,) in found]
