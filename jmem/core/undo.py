"""Undo and redo of actions.

To take an action back is to give each field that it set the value that the ops before it give, by a new op;
to repeat it is to write its own values again. A field that was set since by an action that still counts (not
taken back, and not itself undo or redo) is left alone and reported.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.model import Op
from jmem.core.store import Tx, oplog, rows
from jmem.core.writes import DEFAULTS

FINAL = frozenset(("purge", "privacy"))
"""Kinds that forget an id for ever: undo steps over them."""
_FORGOTTEN = "forgotten for ever"
_MOVED = "its privacy changed; that can't be taken back"
_OWN = frozenset(("undo", "redo"))
_FIXED = frozenset(("client", "created_at"))


@dataclass(frozen=True, slots=True)
class Undone:
    """An action that was (or, in a dry run, would be) taken back or repeated."""

    action: int
    kind: str
    at: str
    client: str
    ids: list[str]


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What undo did; `skipped` are (id, reason) pairs of what it left alone, and of what it stepped over."""

    undone: list[Undone]
    skipped: list[tuple[str, str]]


def run(tx: Tx, client: str, n: int, redo: bool) -> UndoReport:
    """Take back the newest `n` actions that can be, or repeat the `n` that were undone last.

    An action of which nothing is left but what was forgotten for ever is no step: it is named and passed over.
    """
    undone: list[Undone] = []
    skipped: dict[tuple[str, str], None] = {}
    for marked, toggled, kind, at, by in _targets(tx.conn, redo):
        if len(undone) == n:
            break
        touched = oplog.ids_of_action(tx.conn, toggled)
        if kind in FINAL or all(oplog.is_purged(tx.conn, id) for id in touched):
            skipped.update(dict.fromkeys(_gone(tx.conn, id) for id in touched if oplog.is_purged(tx.conn, id)))
            continue
        own, seq = oplog.begin_action(tx, client, "redo" if redo else "undo", marked), tx.last_seq
        changed: list[str] = []
        for id in touched:
            written, reason = _toggle(tx, own, toggled, id, client, enable=redo)
            if written:
                changed.append(id)
            if reason is not None:
                skipped[_gone(tx.conn, id) if reason == _FORGOTTEN else (id, reason)] = None
        # an action of which nothing could be taken back marks itself, so that the next undo gets past it
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own if tx.last_seq > seq else marked, marked))
        if redo:
            tx.conn.execute("UPDATE actions SET undone_by = NULL WHERE id = ?", (toggled,))
        undone.append(Undone(toggled, kind, at, by, changed))
    return UndoReport(undone, list(skipped))


def _targets(conn: sqlite3.Connection, redo: bool) -> Iterator[tuple[int, int, str, str, str]]:
    """(action to mark, action whose ops are toggled, kind, at, client), newest first; one query each, as it is used."""
    if redo:
        sql = (
            "SELECT u.id, a.id, a.kind, a.at, a.client FROM actions u JOIN actions a ON a.id = u.undoes"
            " WHERE u.kind = 'undo' AND u.undone_by IS NULL AND u.id < ? ORDER BY u.id DESC LIMIT 1"
        )
    else:
        sql = (
            "SELECT id, id, kind, at, client FROM actions"
            " WHERE undone_by IS NULL AND kind NOT IN ('undo', 'redo', 'sync') AND id < ? ORDER BY id DESC LIMIT 1"
        )
    below = 2**63 - 1
    while (found := conn.execute(sql, (below,)).fetchone()) is not None:
        yield found
        below = found[0]


def _gone(conn: sqlite3.Connection, id: str) -> tuple[str, str]:
    """Why a purged id can't come back; a change of privacy is told of the memory that took its place."""
    moved = False
    while (new := oplog.moved_to(conn, id)) is not None:
        id, moved = new, True
    return id, _MOVED if moved and not oplog.is_purged(conn, id) else _FORGOTTEN


@dataclass(frozen=True, slots=True)
class _Entry:
    """An op in the log of a memory."""

    op: Op
    action: int
    counts: bool
    """Neither taken back nor itself a step of undo or redo."""


def _entries(conn: sqlite3.Connection, id: str) -> list[_Entry]:
    found = conn.execute(
        "SELECT o.payload, o.action, a.kind, a.undone_by FROM ops o JOIN actions a ON a.id = o.action"
        " WHERE o.memory_id = ?",
        (id,),
    )
    entries = [_Entry(Op.parse(text), action, kind not in _OWN and by is None) for text, action, kind, by in found]
    return sorted(entries, key=lambda entry: entry.op.stamp)


def _toggle(tx: Tx, own: int, action: int, id: str, client: str, *, enable: bool) -> tuple[bool, str | None]:
    """Take back, or repeat (`enable`), what an action did to one memory.

    Returns whether that changed the memory, and why something was left alone.
    """
    held = rows.read_registers(tx.conn, id)
    if held is None:
        return False, _FORGOTTEN if oplog.is_purged(tx.conn, id) else "it has no content"
    log = _entries(tx.conn, id)
    mine = [entry.op for entry in log if entry.action == action]
    fields: dict[str, Any] = {}
    left: list[str] = []
    adds = False
    for name in {name for op in mine for name in op.set} - _FIXED:
        first, last = _first(mine, name), _first(mine[::-1], name)
        if any(e.counts and e.action != action and name in e.op.set and e.op.stamp > last.stamp for e in log):
            left.append(name)
        before = [e.op for e in log if name in e.op.set and e.op.stamp < first.stamp]
        adds = adds or (name == "content" and not before)
        if enable:
            fields[name] = last.set[name]
        elif before:
            fields[name] = before[-1].set[name]
        elif name in DEFAULTS:
            fields[name] = DEFAULTS[name]
    if adds:
        if "content" in left:
            return False, "content changed since"
        if enable:
            fields.setdefault("deleted", False)
        else:
            fields, left = {"deleted": True}, []
    now = {name: value for name, (_, value) in held.registers.items()}
    wanted = {
        name: value for name, value in fields.items()
        if name not in left and now.get(name, DEFAULTS.get(name)) != value
    }  # fmt: skip
    if wanted:
        oplog.write(tx, own, id, wanted, client)
    return bool(wanted), f"{', '.join(sorted(left))} changed since" if left else None


def _first(ops: Sequence[Op], name: str) -> Op:
    return next(op for op in ops if name in op.set)
