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

from jmem.core.model import Memory, Op
from jmem.core.store import Tx, oplog
from jmem.core.writes import DEFAULTS, load

FINAL = frozenset(("purge", "privacy"))
"""Kinds that forget an id for ever."""
_NEVER = frozenset(("undo", "redo"))
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
    for target in _targets(tx.conn, n, redo):
        action, kind, at, by, toggled = target
        touched = [
            id for (id,) in tx.conn.execute(
                "SELECT memory_id FROM ops WHERE action = ? GROUP BY memory_id ORDER BY MIN(seq)", (toggled,))
        ]  # fmt: skip
        if kind in FINAL:
            skipped += [(id, "forgotten for ever") for id in touched]
            continue
        own = oplog.begin_action(tx, client, "redo" if redo else "undo", undoes=action)
        changed: list[str] = []
        for id in touched:
            reason = _toggle(tx, own, toggled, id, client, enable=redo)
            if reason:
                skipped.append((id, reason))
            else:
                changed.append(id)
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own, action))
        if redo:
            tx.conn.execute("UPDATE actions SET undone_by = NULL WHERE id = ?", (toggled,))
        undone.append(Undone(toggled, kind, at, by, changed))
    return UndoReport(undone, skipped)


def _targets(conn: sqlite3.Connection, n: int, redo: bool) -> list[tuple[int, str, str, str, int]]:
    """(action to mark, kind, at, client, action whose ops are toggled), newest first."""
    if redo:
        return conn.execute(
            "SELECT u.id, a.kind, a.at, a.client, a.id FROM actions u JOIN actions a ON a.id = u.undoes"
            " WHERE u.kind = 'undo' AND u.undone_by IS NULL ORDER BY u.id DESC LIMIT ?",
            (n,),
        ).fetchall()
    return conn.execute(
        "SELECT id, kind, at, client, id FROM actions a WHERE undone_by IS NULL AND kind NOT IN ('undo', 'redo', 'sync')"
        " AND EXISTS (SELECT 1 FROM ops o WHERE o.action = a.id) ORDER BY id DESC LIMIT ?",
        (n,),
    ).fetchall()


def _counting(conn: sqlite3.Connection, id: str) -> list[tuple[Op, int, bool]]:
    """(op, its action, whether it counts) of a memory, in the order of stamps; undo's own ops left out."""
    rows = conn.execute(
        "SELECT o.payload, o.action, a.kind, a.undone_by FROM ops o JOIN actions a ON a.id = o.action"
        " WHERE o.memory_id = ?",
        (id,),
    )
    ops = [(Op.parse(text), action, by is None) for text, action, kind, by in rows if kind not in _NEVER]
    return sorted(ops, key=lambda entry: entry[0].stamp)


def _toggle(tx: Tx, own: int, action: int, id: str, client: str, *, enable: bool) -> str | None:
    """Make one memory's ops of an action count or not; the reason when there was nothing it could change."""
    row = tx.conn.execute("SELECT 1 FROM memories WHERE id = ?", (id,)).fetchone()
    if row is None:
        return "forgotten for ever" if oplog.is_purged(tx.conn, id) else "it has no content"
    ops = _counting(tx.conn, id)
    mine = {op.stamp for op, by, _ in ops if by == action}
    with_it = _winners([op for op, by, counts in ops if counts or by == action])
    without = _winners([op for op, by, counts in ops if counts and by != action])
    fields: dict[str, Any] = {}
    left: list[str] = []
    memory = load(tx, id)
    wanted, adds = with_it if enable else without, "content" not in without
    for name, (stamp, _) in with_it.items():
        if name in _FIXED or not any(name in op.set for op, by, _ in ops if by == action):
            continue
        if stamp not in mine:
            left.append(name)
        elif name in wanted:
            fields[name] = wanted[name][1]
        elif name in DEFAULTS:
            fields[name] = DEFAULTS[name]
    if adds:
        if "content" in left:
            return "content was changed since"
        fields = {**(fields if enable else {}), "deleted": not enable}
    fields = {name: value for name, value in fields.items() if _held(memory, name) != value}
    if fields:
        oplog.write(tx, own, id, fields, client)
        return None
    return f"{', '.join(left)} changed since" if left else None


def _winners(ops: Sequence[Op]) -> dict[str, tuple[str, Any]]:
    winners: dict[str, tuple[str, Any]] = {}
    for op in ops:
        winners.update({name: (op.stamp, value) for name, value in op.set.items()})
    return winners


def _held(memory: Memory, name: str) -> Any:
    return list(memory.tags) if name == "tags" else getattr(memory, name, None)
