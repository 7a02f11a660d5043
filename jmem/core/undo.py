"""Undo and redo of actions.

An action counts or does not count: undoing it means that its ops stop counting, redoing that they count again.
What a field should be is decided by the ops that count (undo's own ops never do); a field that a later action
which counts has set since is left alone and reported.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.model import Op
from jmem.core.store import Tx, oplog, rows
from jmem.core.writes import DEFAULTS

FINAL = frozenset(("purge", "privacy"))
"""Kinds that forget an id for ever."""
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
    """What undo did; `skipped` are (id, reason) pairs of what it left alone."""

    undone: list[Undone]
    skipped: list[tuple[str, str]]


def run(tx: Tx, client: str, n: int, redo: bool) -> UndoReport:
    """Take back the newest `n` actions that count, or repeat the `n` that were undone last."""
    undone: list[Undone] = []
    skipped: list[tuple[str, str]] = []
    for marked, toggled, kind, at, by in _targets(tx.conn, n, redo):
        touched = oplog.ids_of_action(tx.conn, toggled)
        if kind in FINAL:
            skipped += [(id, "forgotten for ever") for id in touched]
            continue
        own, seq = oplog.begin_action(tx, client, "redo" if redo else "undo", marked), tx.last_seq
        changed: list[str] = []
        for id in touched:
            written, reason = _toggle(tx, own, toggled, id, client, enable=redo)
            if written:
                changed.append(id)
            if reason is not None:
                skipped.append((id, reason))
        # an action of which nothing could be taken back marks itself, so that the next undo gets past it
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own if tx.last_seq > seq else marked, marked))
        if redo:
            tx.conn.execute("UPDATE actions SET undone_by = NULL WHERE id = ?", (toggled,))
        undone.append(Undone(toggled, kind, at, by, changed))
    return UndoReport(undone, skipped)


def _targets(conn: sqlite3.Connection, n: int, redo: bool) -> list[tuple[int, int, str, str, str]]:
    """(action to mark, action whose ops are toggled, kind, at, client), newest first."""
    if redo:
        return conn.execute(
            "SELECT u.id, a.id, a.kind, a.at, a.client FROM actions u JOIN actions a ON a.id = u.undoes"
            " WHERE u.kind = 'undo' AND u.undone_by IS NULL ORDER BY u.id DESC LIMIT ?",
            (n,),
        ).fetchall()
    return conn.execute(
        "SELECT id, id, kind, at, client FROM actions"
        " WHERE undone_by IS NULL AND kind NOT IN ('undo', 'redo', 'sync') ORDER BY id DESC LIMIT ?",
        (n,),
    ).fetchall()


def _counting(conn: sqlite3.Connection, id: str) -> list[tuple[Op, int, bool]]:
    """(op, its action, whether it counts) of a memory, in the order of stamps; undo's own ops left out."""
    found = conn.execute(
        "SELECT o.payload, o.action, a.kind, a.undone_by FROM ops o JOIN actions a ON a.id = o.action"
        " WHERE o.memory_id = ?",
        (id,),
    )
    ops = [(Op.parse(text), action, by is None) for text, action, kind, by in found if kind not in _OWN]
    return sorted(ops, key=lambda entry: entry[0].stamp)


def _toggle(tx: Tx, own: int, action: int, id: str, client: str, *, enable: bool) -> tuple[bool, str | None]:
    """Make one memory's ops of an action count or not: whether that changed it, and why something was left alone."""
    conn = tx.conn
    held = rows.read_registers(conn, id)
    if held is None:
        return False, "forgotten for ever" if oplog.is_purged(conn, id) else "it has no content"
    ops = _counting(conn, id)
    mine = [op for op, by, _ in ops if by == action]
    stamps = {op.stamp for op in mine}
    with_it = _winners([op for op, by, counts in ops if counts or by == action])
    without = _winners([op for op, by, counts in ops if counts and by != action])
    wanted = with_it if enable else without
    fields: dict[str, Any] = {}
    left: list[str] = []
    for name in {name for op in mine for name in op.set} - _FIXED:
        if with_it[name][0] not in stamps:
            left.append(name)
        elif name in wanted:
            fields[name] = wanted[name][1]
        elif name in DEFAULTS:
            fields[name] = DEFAULTS[name]
    first = next((op.stamp for op, by, counts in ops if "content" in op.set and (counts or by == action)), None)
    if first in stamps:  # the action that added it
        if "content" in left:
            return False, "content changed since"
        deleted = wanted.get("deleted", ("", False))[1] if enable else True
        fields = {**(fields if enable else {}), "deleted": deleted}
    now = {name: value for name, (_, value) in held.registers.items()}
    fields = {name: value for name, value in fields.items() if now.get(name, DEFAULTS.get(name)) != value}
    if fields:
        oplog.write(tx, own, id, fields, client)
    return bool(fields), f"{', '.join(sorted(left))} changed since" if left else None


def _winners(ops: Sequence[Op]) -> dict[str, tuple[str, Any]]:
    winners: dict[str, tuple[str, Any]] = {}
    for op in ops:
        winners.update({name: (op.stamp, value) for name, value in op.set.items()})
    return winners
