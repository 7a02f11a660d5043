"""What happened: the revisions of a memory, and the log of actions. Both are read from the op log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jmem.core import ids, listing, merge
from jmem.core.access import Access
from jmem.core.actor import Actor
from jmem.core.clock import stamp_ms
from jmem.core.merge import Registers
from jmem.core.model import Op, iso
from jmem.core.store import oplog

MAX_IDS = 100
"""ids named in one entry of the log; `count` has the whole number"""
FORGOTTEN = "(forgotten)"
_MOVES = """
SELECT o.stamp FROM ops o JOIN actions a ON a.id = o.action WHERE o.memory_id = ? AND a.kind = 'privacy'"""
_STOOD = """
SELECT substr(json_extract(payload, '$.set.content'), 1, 400) FROM ops
WHERE memory_id = ?1 AND json_type(payload, '$.set.content') = 'text'
AND seq <= (SELECT MAX(seq) FROM ops WHERE action = ?2 AND memory_id = ?1) ORDER BY action = ?2 DESC, stamp DESC LIMIT 1"""


@dataclass(frozen=True, slots=True)
class Revision:
    """One op of a memory and the content after it. `rev` counts from 1 in the order of stamps."""

    rev: int
    stamp: str
    at: str
    client: str
    kind: str
    set: Mapping[str, Any]
    content: str | None


@dataclass(frozen=True, slots=True)
class History:
    """The revisions of a memory, oldest first; two or more heads are a conflict of its content."""

    id: str
    revisions: list[Revision] = field(default_factory=list)
    heads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A memory of an answer: its text at that moment (None: no longer held), whether it reads differently now, and
    whether it is gone (deleted, forgotten)."""

    content: str | None
    changed: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An action: what one command did. `undone` is the action that took it back.

    `preview` begins the text of its first memory as of then, `FORGOTTEN` once that was purged.
    """

    action: int
    at: str
    client: str
    kind: str
    ids: list[str]
    count: int
    undone: int | None
    preview: str


def kind_of(op: Op, before: Mapping[str, Any]) -> str:
    """A word for what an op did, given the values that stood before it."""
    if op.purge:
        return "purge"
    fields = op.set
    if "content" in fields and "content" not in before:
        return "add"
    if "deleted" in fields:
        return "delete" if fields["deleted"] else "restore"
    if set(fields) == {"state"}:
        return edit_kind(fields, lambda: str(before.get("state", "active")))
    if set(fields) == {"tags"}:
        return "tag"
    return "edit" if fields else "blank"


def edit_kind(changes: Mapping[str, Any], state: Callable[[], str]) -> str:
    """A word for an edit; `state` tells the state that stood before it."""
    names = set(changes)
    if names == {"state"}:
        named = {"paused": "pause", "archived": "archive", "review": "review"}.get(changes["state"])
        return named or ("approve" if state() == "review" else "resume")
    return "tag" if names and names <= {"tags", "add_tags", "remove_tags"} else "edit"


def history(conn: sqlite3.Connection, part: str, actor: Actor) -> History:
    """The history of a memory, deleted ones included; raises NotFound, Ambiguous."""
    id = ids.resolve(conn, part, actor, deleted=True)
    log = oplog.ops_of(conn, id)
    moves = {stamp for (stamp,) in conn.execute(_MOVES, (id,))}
    registers: Registers = {}
    revisions: list[Revision] = []
    for rev, op in enumerate(log, 1):
        before = {name: value for name, (_, value) in registers.items()}
        merge.merge_op(registers, op)
        content = registers["content"][1] if "content" in registers else None
        at, kind = iso(stamp_ms(op.stamp)), kind_of(op, before)
        if kind == "add" and op.stamp in moves:
            kind = "privacy"
        revisions.append(Revision(rev, op.stamp, at, op.client, kind, dict(op.set), content))
    return History(id, revisions, merge.heads(log))


def log_page(
    conn: sqlite3.Connection, *, limit: int = 50, cursor: str | None = None, id: str | None = None,
    client: str | None = None, since: str | None = None,
) -> tuple[list[LogEntry], str | None]:  # fmt: skip
    """Actions that wrote something, newest first, and the cursor of the next page."""
    where: list[str] = ["1"]
    params: list[Any] = []
    if id is not None:
        where.append("a.id IN (SELECT action FROM ops WHERE memory_id = ?)")
        params.append(id)
    if client is not None:
        where.append("a.client = ?")
        params.append(client)
    if since is not None:
        where.append("a.at >= ?")
        params.append(since)
    if cursor is not None:
        where.append("a.id < ?")
        params.append(listing.decode_cursor(cursor, "log", 1)[0])
    rows = conn.execute(
        f"SELECT a.id, a.at, a.client, a.kind, a.undone_by FROM actions a WHERE {' AND '.join(where)}"
        " ORDER BY a.id DESC LIMIT ?",
        (*params, listing.check_limit(limit) + 1),
    ).fetchall()
    entries = [_entry(conn, *row) for row in rows[:limit]]
    return entries, listing.encode_cursor("log", entries[-1].action) if len(rows) > limit else None


def _entry(conn: sqlite3.Connection, action: int, at: str, client: str, kind: str, undone: int | None) -> LogEntry:
    touched = oplog.ids_of_action(conn, action)
    if oplog.is_purged(conn, touched[0]):
        preview = FORGOTTEN
    else:
        stood = conn.execute(_STOOD, (touched[0], action)).fetchone()
        preview = ids.preview(stood[0]) if stood else ""
    return LogEntry(action, at, client, kind, touched[:MAX_IDS], len(touched), undone, preview)


_NOW = "SELECT content, deleted FROM memories WHERE id = ?"
_TEXTS = """
SELECT stamp, json_extract(payload, '$.set.content') FROM ops
WHERE memory_id = ? AND json_type(payload, '$.set.content') = 'text' ORDER BY stamp"""


def told(conn: sqlite3.Connection, accesses: Sequence[Access]) -> list[list[Told]]:
    """For each answer of each access, the memory's text as the answer gave it."""
    now: dict[str, tuple[str, int] | None] = {}
    texts: dict[str, list[tuple[str, str]]] = {}

    def one(id: str, at: str) -> Told:
        if id not in now:
            now[id] = conn.execute(_NOW, (id,)).fetchone()
            texts[id] = conn.execute(_TEXTS, (id,)).fetchall()
        held = now[id]
        if held is None:
            return Told(None, changed=False, gone=True)
        until = f"{_epoch_ms(at) + 1:012x}"
        then = next((text for stamp, text in reversed(texts[id]) if stamp < until), held[0])
        return Told(then, changed=then != held[0], gone=bool(held[1]))

    return [[one(answer.id, access.at) for answer in access.answers] for access in accesses]


def _epoch_ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)
