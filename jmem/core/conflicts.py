"""Texts of one memory that were written apart: the service's part (`jmem.core.apart` says what they are).

Which memories have any stands in the table `conflicts`, which every op that changes a text keeps up to date: nobody reads
a log to find them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from jmem.core import ids, origins, paging, quota
from jmem.core.actor import Actor
from jmem.core.apart import (
    ELSEWHERE,
    IMPORTED,
    THIS,
    Conflict,
    Settle,
    Settled,
    Version,
    chosen,
    conflict_of,
    fields_of,
    must_be_open,
)
from jmem.core.asked import asks
from jmem.core.model import Memory, new_id
from jmem.core.paging import decode_cursor, encode_cursor
from jmem.core.store import MEMORY_COLUMNS, Store, Tx, oplog, row_memory, rows

_THESE = "FROM conflicts c CROSS JOIN memories m ON m.id = c.id WHERE m.deleted = 0"
"""From the few to the many: SQLite would count through all memories."""
_PAGE = f"SELECT {MEMORY_COLUMNS} {_THESE} AND c.id > ? ORDER BY c.id LIMIT ?"


_WHERE = """
SELECT o.stamp,
  CASE WHEN a.kind = 'import' THEN :imported WHEN a.kind = 'sync' AND a.client = 'sync' THEN :there ELSE :here END
FROM ops o LEFT JOIN actions a ON a.id = o.action WHERE o.memory_id = :id"""


def how_many(conn: sqlite3.Connection) -> int:
    """Memories with texts that were written apart, deleted ones left out."""
    return int(conn.execute(f"SELECT COUNT(*) {_THESE}").fetchone()[0])


class Conflicts:
    """The part of `MemoryService` that is about texts written apart."""

    store: Store
    _log: Callable[[Actor, str, Sequence[Memory]], None]

    @asks("conflicts")
    def conflicts(
        self, actor: Actor, *, limit: int = 50, cursor: str | None = None, id: str | None = None
    ) -> tuple[Sequence[Conflict], str | None]:
        """The conflicts of memories that are not deleted, or that of one memory, and the next cursor.

        Raises Invalid, NotFound `no_conflict`, Ambiguous.
        """
        actor.may("read", "everything")
        paging.check_limit(limit)
        with self.store.reader() as conn:
            if id is not None:
                found = [_of(conn, ids.resolve(conn, id, actor))]
                self._log(actor, "get", [found[0].memory])
                return found, None
            after = "" if cursor is None else str(decode_cursor(cursor, "conflicts", 1)[0])
            page = conn.execute(_PAGE, (after, limit + 1)).fetchall()
            found = [_made(conn, row_memory(row)) for row in page[:limit]]
        self._log(actor, "list", [one.memory for one in found])
        return found, encode_cursor("conflicts", found[-1].memory.id) if len(page) > limit else None

    @asks("settle")
    def settle(
        self, id: str, actor: Actor, how: Settle, *, version: str = "", content: str | None = None,
        expected: Sequence[str] | None = None, secrets: str = "refuse",
    ) -> Settled:  # fmt: skip
        """Settle a conflict, as one action. "keep": the text of one `version` (its stamp, or its number in the list) stays;
        "both": each other text becomes a memory of its own; "text": `content` is written in the place of all.

        `expected` are the stamps that were read. Raises NotFound `no_conflict`, Ambiguous, Conflict `changed`, Invalid,
        TooLarge, SecretFound, Refused; nothing is changed then.
        """
        actor.may("read", "write", "everything")

        def run(tx: Tx) -> Settled:
            found = _of(tx.conn, ids.resolve(tx.conn, id, actor))
            actor.may_change(found.memory)
            kept, others = chosen(found, how, version, content, expected, secrets)
            quota.spend(tx, actor, 1 + len(others))
            action = oplog.begin_action(tx, actor.client, "settle")
            memory = oplog.write(tx, action, found.memory.id, {"content": kept}, actor.client)
            assert memory is not None
            return Settled(memory, tuple(_apart(tx, action, memory, other, actor) for other in others))

        settled = self.store.write(run)
        self._log(actor, "edit", [settled.memory, *settled.others])
        return settled


def _apart(tx: Tx, action: int, memory: Memory, version: Version, actor: Actor) -> Memory:
    """A memory of its own from another text."""
    held = rows.read_registers(tx.conn, memory.id)
    assert held is not None
    made = oplog.write(tx, action, new_id(), fields_of(memory, version, held.registers), actor.client, fresh=True)
    assert made is not None
    origins.carry(tx, memory.id, made.id)
    return made


def _of(conn: sqlite3.Connection, id: str) -> Conflict:
    return must_be_open(_made(conn, ids.load(conn, id)))


def _made(conn: sqlite3.Connection, memory: Memory) -> Conflict:
    ways = conn.execute(_WHERE, {"id": memory.id, "here": THIS, "there": ELSEWHERE, "imported": IMPORTED})
    return conflict_of(memory, oplog.ops_of(conn, memory.id)).placed(dict(ways.fetchall()))
