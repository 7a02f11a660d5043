"""Texts of one memory that were written apart: two heads or more are a conflict.

The greatest stamp is live, the others are kept. A conflict is settled by an edit that names all heads as what it saw, so
that it is over on every replica, whoever settles it; the texts stay in the history. Which memories have one stands in the
table `conflicts`, which every op that changes a text keeps up to date: nobody reads a log to find them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jmem.core import edits, ids, paging, quota
from jmem.core.actor import Actor
from jmem.core.asked import asks
from jmem.core.clock import stamp_ms
from jmem.core.errors import Conflict as Clash
from jmem.core.errors import Invalid, NotFound
from jmem.core.merge import Head, heads_of
from jmem.core.model import Memory, check_content, iso, new_id
from jmem.core.paging import decode_cursor, encode_cursor
from jmem.core.secrets import screened
from jmem.core.store import MEMORY_COLUMNS, Store, Tx, oplog, row_memory, rows

Settle = Literal["keep", "both", "text"]
_PAGE = f"""
SELECT {MEMORY_COLUMNS} FROM conflicts c JOIN memories m ON m.id = c.id
WHERE c.id > ? AND m.deleted = 0 ORDER BY c.id LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Version:
    """One of the texts: who wrote it, when, and whether it is the one that is found."""

    stamp: str
    at: str
    client: str
    content: str
    live: bool

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {"stamp": self.stamp, "at": self.at, "client": self.client, "content": self.content, "live": self.live}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A memory with its texts, the live one first, then from the newest to the oldest."""

    memory: Memory
    versions: tuple[Version, ...]

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {"memory": self.memory.as_dict(), "versions": [version.as_dict() for version in self.versions]}


@dataclass(frozen=True, slots=True)
class Settled:
    """The memory after a conflict was settled; `others` are those that were made of the other texts."""

    memory: Memory
    others: tuple[Memory, ...] = ()


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
            if expected is not None and {v.stamp for v in found.versions} != set(expected):
                raise Clash(f"memory {found.memory.id} was changed since it was read", code="changed", id=found.memory.id,
                            version=found.memory.version, fix="read it again, then repeat the change")  # fmt: skip
            quota.spend(tx, actor)
            action = oplog.begin_action(tx, actor.client, "settle")
            kept, others = _chosen(found, how, version, content)
            if how == "text":
                kept = screened({"content": kept}, secrets)["content"]
            memory = oplog.write(tx, action, found.memory.id, {"content": kept}, actor.client)
            assert memory is not None
            return Settled(memory, tuple(_apart(tx, action, memory, other, actor) for other in others))

        settled = self.store.write(run)
        self._log(actor, "edit", [settled.memory, *settled.others])
        return settled


def _chosen(found: Conflict, how: Settle, version: str, content: str | None) -> tuple[str, list[Version]]:
    """The text that stays, and the versions that become memories of their own."""
    if how == "text":
        if content is None:
            raise Invalid("there is no text", code="empty", field="content")
        return check_content(content), []
    kept = find_version(found, version) if version else found.versions[0]
    if how == "keep":
        if not version:
            raise Invalid("which text shall stay is not said", code="empty", field="version")
        return kept.content, []
    texts = {kept.content}
    others: list[Version] = []
    for one in found.versions:
        if one.content not in texts:
            texts.add(one.content)
            others.append(one)
    return kept.content, others


def find_version(found: Conflict, named: str) -> Version:
    """The version of a number that counts from 1, or of a unique part of a stamp; raises NotFound `no_version`."""
    fitting = [v for n, v in enumerate(found.versions, 1) if named == str(n) or (len(named) >= 4 and named in v.stamp)]
    if len(fitting) != 1:
        raise NotFound(f"memory {found.memory.id} has no single text {named!r}", code="no_version", id=found.memory.id,
                       fix="jmem conflicts   shows the texts")  # fmt: skip
    return fitting[0]


def _apart(tx: Tx, action: int, memory: Memory, version: Version, actor: Actor) -> Memory:
    """A memory of its own from another text, with all else that the memory has."""
    held = rows.read_registers(tx.conn, memory.id)
    assert held is not None
    fields = edits.moved_fields(memory, {"content": version.content}, held.registers)
    fields.pop("supersedes", None)
    made = oplog.write(tx, action, new_id(), fields, actor.client, fresh=True)
    assert made is not None
    return made


def _of(conn: sqlite3.Connection, id: str) -> Conflict:
    row = conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE m.id = ?", (id,)).fetchone()
    if row is None:
        raise ids.missing(conn, id)
    found = _made(conn, row_memory(row))
    if len({version.content for version in found.versions}) < 2:
        raise NotFound(f"memory {id} has one text only", code="no_conflict", id=id, fix="jmem conflicts")
    return found


def _made(conn: sqlite3.Connection, memory: Memory) -> Conflict:
    return Conflict(memory, versions_of(heads_of(oplog.ops_of(conn, memory.id))))


def versions_of(heads: Sequence[Head]) -> tuple[Version, ...]:
    """The texts of heads, given in the order of their stamps."""
    newest_first = list(reversed(heads))
    return tuple(
        Version(head.stamp, iso(stamp_ms(head.stamp)), head.client, head.content, n == 0)
        for n, head in enumerate(newest_first)
    )
