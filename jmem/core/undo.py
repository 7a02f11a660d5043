"""Undo and redo of actions.

To take actions back is to give each field that they set the value it had before them, by a new op; to repeat them
is to take the undo itself back in the same way. A field that was set since by an action that still counts (not taken
back, and not itself undo or redo) is left alone and reported. Several actions can be taken back as one step: the undo
that did it stands in `undone_by` of each of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core import ids
from jmem.core.edits import DEFAULTS
from jmem.core.model import Memory, Op
from jmem.core.revert import (
    FINAL,
    FORGOTTEN,
    MAX_CHANGES,
    MOVED,
    OWN,
    Entry,
    Group,
    Undone,
    UndoReport,
    Without,
    change_of,
    without,
)
from jmem.core.store import Tx, oplog, rows

_OPEN = "undone_by IS NULL AND kind NOT IN ('undo', 'redo', 'sync')"
"""Actions that can be taken back."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Actions that are taken back, or repeated, together, newest first.

    `undo` is the action to take back when they are repeated.
    """

    actions: Sequence[tuple[int, str, str, str]]
    """(id, kind, at, client)"""
    undo: int | None = None

    @property
    def reverted(self) -> set[int]:
        """The actions whose ops lose their effect."""
        return {action for action, *_ in self.actions} if self.undo is None else {self.undo}


def run(tx: Tx, client: str, n: int, redo: bool) -> UndoReport:
    """Take back the newest `n` actions that can be, or repeat the `n` steps that were undone last.

    An action of which nothing is left but what was forgotten for ever is no step: it is named and passed over.
    """
    report = _Report(tx)
    for step in _redo_steps(tx.conn) if redo else _undo_steps(tx.conn):
        if report.steps == n:
            break
        _take(tx, report, step, client)
    return report.done()


def run_group(tx: Tx, client: str, group: Group) -> UndoReport:
    """Take back every action of a group as one step; a redo repeats all of them."""
    where, params = [_OPEN], list[Any]()
    for condition, value in (("client = ?", group.client), ("at >= ?", group.since), ("id <= ?", group.upto)):
        if value is not None:
            where.append(condition)
            params.append(value)
    sql = f"SELECT id, kind, at, client FROM actions WHERE {' AND '.join(where)} ORDER BY id DESC"
    report = _Report(tx)
    if actions := tx.conn.execute(sql, params).fetchall():
        _take(tx, report, _Step(actions), client)
    return report.done()


# ---- steps ------------------------------------------------------------------------------------


def _undo_steps(conn: sqlite3.Connection) -> Iterator[_Step]:
    """Each action that can be taken back, newest first; one query each, as it is used."""
    sql = f"SELECT id, kind, at, client FROM actions WHERE {_OPEN} AND id < ? ORDER BY id DESC LIMIT 1"
    below = 2**63 - 1
    while (found := conn.execute(sql, (below,)).fetchone()) is not None:
        yield _Step([found])
        below = found[0]


def _redo_steps(conn: sqlite3.Connection) -> Iterator[_Step]:
    """Each undo that can be taken back, newest first."""
    sql = "SELECT id FROM actions WHERE kind = 'undo' AND undone_by IS NULL AND id < ? ORDER BY id DESC LIMIT 1"
    below = 2**63 - 1
    while (found := conn.execute(sql, (below,)).fetchone()) is not None:
        (below,) = found
        actions = conn.execute(
            "SELECT id, kind, at, client FROM actions WHERE undone_by = ? AND id <> ?1 ORDER BY id DESC", (below,)
        ).fetchall()
        yield _Step(actions, undo=below)


def _take(tx: Tx, report: _Report, step: _Step, client: str) -> None:
    """Take one step, unless nothing of it is left that could be taken back."""
    touched: dict[int, list[str]] = {action: oplog.ids_of_action(tx.conn, action) for action, *_ in step.actions}
    reverted = touched if step.undo is None else {step.undo: oplog.ids_of_action(tx.conn, step.undo)}
    gone = {id for ids in reverted.values() for id in ids if oplog.is_purged(tx.conn, id)}
    report.gone(gone)
    kinds = {action: kind for action, kind, _, _ in step.actions}
    actions = {
        action for action, ids in reverted.items() if kinds.get(action) not in FINAL and not gone.issuperset(ids)
    }
    if not actions:
        return
    own = oplog.begin_action(tx, client, "redo" if step.undo else "undo", step.undo or max(actions))
    seq = tx.last_seq
    changed = {id for id in dict.fromkeys(id for action in reverted if action in actions for id in reverted[action])
               if id not in gone and report.revert(own, id, actions, client)}  # fmt: skip
    wrote = tx.last_seq > seq
    if step.undo is None:
        if wrote or len(step.actions) == 1:
            _mark(tx, actions, own, wrote)
    else:
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own if wrote else step.undo, step.undo))
        tx.conn.execute("UPDATE actions SET undone_by = NULL WHERE undone_by = ?1 AND id <> ?1", (step.undo,))
    report.steps += 1
    report.undone += [
        Undone(action, kind, at, by, [id for id in touched[action] if id in changed])
        for action, kind, at, by in step.actions
        if action in actions or step.undo is not None
    ]


def _mark(tx: Tx, actions: Collection[int], own: int, wrote: bool) -> None:
    """Note who took the actions back. One of which nothing could be taken back marks itself, so that the next undo
    gets past it."""
    for action in actions:
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own if wrote else action, action))


class _Report:
    """What is told in the end, and what the memories were before anything happened to them."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._before: dict[str, Memory | None] = {}
        self._skipped: dict[tuple[str, str], None] = {}
        self.undone: list[Undone] = []
        self.steps = 0

    def gone(self, purged: Collection[str]) -> None:
        """Name what can't come back."""
        self._skipped.update(dict.fromkeys(_gone(self._tx.conn, id) for id in sorted(purged)))

    def revert(self, own: int, id: str, actions: Collection[int], client: str) -> bool:
        """Take back what the actions did to one memory; whether that changed it."""
        held = rows.read_registers(self._tx.conn, id)
        if held is None:
            self._skipped[id, "it has no content"] = None
            return False
        back, ops = _without(self._tx.conn, id, actions)
        if back.left:
            self._skipped[id, f"{', '.join(sorted(back.left))} changed since"] = None
        now = {name: value for name, (_, value) in held.registers.items()}
        wanted = {n: value for n, value in back.values(ops).items() if now.get(n, DEFAULTS.get(n)) != value}
        if not wanted:
            return False
        if id not in self._before:
            self._before[id] = ids.load(self._tx.conn, id) if len(self._before) < MAX_CHANGES else None
        oplog.write(self._tx, own, id, wanted, client)
        return True

    def done(self) -> UndoReport:
        conn = self._tx.conn
        changes = [change_of(old, ids.load(conn, id)) for id, old in self._before.items() if old is not None]
        return UndoReport(self.undone, list(self._skipped), changes, len(self._before))


def _gone(conn: sqlite3.Connection, id: str) -> tuple[str, str]:
    """Why a purged id can't come back; a change of privacy is told of the memory that took its place."""
    moved = False
    while (new := oplog.moved_to(conn, id)) is not None:
        id, moved = new, True
    return id, MOVED if moved and not oplog.is_purged(conn, id) else FORGOTTEN


# ---- one memory -------------------------------------------------------------------------------


def _without(conn: sqlite3.Connection, id: str, actions: Collection[int]) -> tuple[Without, dict[str, Op]]:
    """A memory as it was before the actions, and its ops by stamp."""
    found = conn.execute(
        "SELECT o.payload, o.action, a.kind, a.undone_by FROM ops o JOIN actions a ON a.id = o.action"
        " WHERE o.memory_id = ?",
        (id,),
    )
    ops, entries = dict[str, Op](), list[Entry]()
    for text, action, kind, by in found:
        op = Op.parse(text)
        ops[op.stamp] = op
        entries.append(Entry(op.stamp, frozenset(op.set), action, kind not in OWN and by is None))
    return without(sorted(entries, key=lambda entry: entry.stamp), actions), ops
