"""Undo and redo of actions.

To take actions back is to give each field that they set the value it had before them, by a new op; to repeat them
is to take the undo itself back in the same way. A field that was set since by an action that still counts (not taken
back, and not itself undo or redo) is left alone and reported. Several actions can be taken back as one step: the undo
that did it stands in `undone_by` of each of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from jmem.core import ids
from jmem.core.model import Op
from jmem.core.revert import FORGOTTEN, MOVED, OWN, Entry, Group, Report, Step, UndoReport, Without, change_of, without
from jmem.core.store import Tx, oplog, rows

_OPEN = "undone_by IS NULL AND kind NOT IN ('undo', 'redo', 'sync')"
"""Actions that can be taken back."""


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
        _take(tx, report, Step(actions), client)
    return report.done()


# ---- steps ------------------------------------------------------------------------------------


def _undo_steps(conn: sqlite3.Connection) -> Iterator[Step]:
    """Each action that can be taken back, newest first; one query each, as it is used."""
    sql = f"SELECT id, kind, at, client FROM actions WHERE {_OPEN} AND id < ? ORDER BY id DESC LIMIT 1"
    below = 2**63 - 1
    while (found := conn.execute(sql, (below,)).fetchone()) is not None:
        yield Step([found])
        below = found[0]


def _redo_steps(conn: sqlite3.Connection) -> Iterator[Step]:
    """Each undo that can be taken back, newest first."""
    sql = "SELECT id FROM actions WHERE kind = 'undo' AND undone_by IS NULL AND id < ? ORDER BY id DESC LIMIT 1"
    below = 2**63 - 1
    while (found := conn.execute(sql, (below,)).fetchone()) is not None:
        (below,) = found
        actions = conn.execute(
            "SELECT id, kind, at, client FROM actions WHERE undone_by = ? AND id <> ?1 ORDER BY id DESC", (below,)
        ).fetchall()
        yield Step(actions, undo=below)


def _take(tx: Tx, report: _Report, step: Step, client: str) -> None:
    """Take one step, unless nothing of it is left that could be taken back."""
    named = dict.fromkeys([*(action for action, *_ in step.actions), *step.reverted])
    touched: dict[int, list[str]] = {action: oplog.ids_of_action(tx.conn, action) for action in named}
    order = [id for action in step.reverted for id in touched[action]]
    gone = {id for id in order if oplog.is_purged(tx.conn, id)}
    report.gone(gone)
    actions = step.left(touched, gone)
    if not actions:
        return
    own = oplog.begin_action(tx, client, "redo" if step.undo else "undo", step.undo or max(actions))
    seq = tx.last_seq
    order = [id for action in step.reverted if action in actions for id in touched[action]]
    changed = {id for id in dict.fromkeys(order) if id not in gone and report.revert(own, id, actions, client)}
    wrote = tx.last_seq > seq
    if step.undo is None:
        if wrote or len(step.actions) == 1:
            _mark(tx, actions, own, wrote)
    else:
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own if wrote else step.undo, step.undo))
        tx.conn.execute("UPDATE actions SET undone_by = NULL WHERE undone_by = ?1 AND id <> ?1", (step.undo,))
    report.took(step, actions, touched, changed)


def _mark(tx: Tx, actions: Collection[int], own: int, wrote: bool) -> None:
    """Note who took the actions back. One of which nothing could be taken back marks itself, so that the next undo
    gets past it."""
    for action in actions:
        tx.conn.execute("UPDATE actions SET undone_by = ? WHERE id = ?", (own if wrote else action, action))


class _Report(Report):
    def __init__(self, tx: Tx) -> None:
        super().__init__()
        self._tx = tx

    def gone(self, purged: Collection[str]) -> None:
        """Name what can't come back."""
        for id in sorted(purged):
            self.skip(*_gone(self._tx.conn, id))

    def revert(self, own: int, id: str, actions: Collection[int], client: str) -> bool:
        """Take back what the actions did to one memory; whether that changed it."""
        held = rows.read_registers(self._tx.conn, id)
        if held is None:
            self.skip(id, "it has no content")
            return False
        wanted = self.coming_back(id, held.registers, *_without(self._tx.conn, id, actions))
        if not wanted:
            return False
        if id not in self.before:
            self.before[id] = None if self.full else ids.load(self._tx.conn, id)
        oplog.write(self._tx, own, id, wanted, client)
        return True

    def done(self) -> UndoReport:
        conn = self._tx.conn
        return self.told(change_of(old, ids.load(conn, id)) for id, old in self.before.items() if old is not None)


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
