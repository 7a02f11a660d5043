"""Ops made elsewhere (an import with history, another machine), taken in with the same rules as our own.

What is known of a batch is looked up at once, and each row that it changes is read once and written once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jmem.core.clock import stamp_ms, wall_ms
from jmem.core.errors import Conflict, Invalid, JmemError
from jmem.core.model import Op
from jmem.core.opcheck import check_digest, check_fields, check_shape, checked_text, is_blank, text_of
from jmem.core.store import Store, Tx, oplog
from jmem.core.store.oplog import Row, Sent

MAX_AHEAD_MS = 365 * 86_400_000
"""A stamp further in the future is refused: it would drag the clock with it for good."""
_STAMPS = "SELECT stamp, digest, payload FROM ops WHERE stamp IN (SELECT value FROM json_each(?))"
_IDS = """
SELECT value, EXISTS (SELECT 1 FROM ops WHERE memory_id = value), EXISTS (SELECT 1 FROM purged WHERE id = value)
FROM (SELECT DISTINCT value FROM json_each(?))
WHERE value IN (SELECT memory_id FROM ops) OR value IN (SELECT id FROM memories) OR value IN (SELECT id FROM purged)"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of ops: counts, the ids that changed, those purged of which something was here, and
    (stamp, error) of the refused."""

    applied: int = 0
    known: int = 0
    ids: tuple[str, ...] = ()
    purged: tuple[str, ...] = ()
    rejected: list[tuple[str, JmemError]] = field(default_factory=list)


def apply_ops(store: Store, ops: Sequence[Op], client: str, kind: str) -> Applied:
    """Take in ops in one commit; each one that is refused leaves no trace and stops no other."""
    return store.write(lambda tx: take(tx, ops, client, kind, Sent.NEW))


def take(tx: Tx, ops: Sequence[Op], client: str, kind: str, sent: Sent) -> Applied:
    """As `apply_ops`, in a transaction that is open already; `sent` is SEEN for ops from the account's feed."""
    intake = Intake(tx, ops, oplog.begin_action(tx, client, kind), sent)
    already = 0
    rejected: list[tuple[str, JmemError]] = []
    for op in ops:
        try:
            already += intake.take(op) == "known"
        except JmemError as error:
            rejected.append((op.stamp, error))
    intake.finish()
    purged = tuple(id for id, held in intake.purged.items() if held)
    # no place ever held anything of the others
    nowhere = [(id,) for id, held in intake.purged.items() if not held]
    tx.conn.executemany("UPDATE purged SET reached = 1 WHERE id = ?", nowhere)
    applied = len(ops) - already - len(rejected)
    return Applied(applied, already, tuple(intake.ids), purged, rejected)


class Intake:
    """Takes in one op of a batch after the other; the rows follow with `finish`."""

    def __init__(self, tx: Tx, ops: Sequence[Op], action: int, sent: Sent = Sent.NEW) -> None:
        """`sent` is SEEN for ops from the feed."""
        self._tx, self._action, self._sent = tx, action, sent
        self.ids: dict[str, None] = {}
        """what has changed"""
        self.purged: dict[str, bool] = {}
        """of that, what was forgotten for ever: whether anything of it was here"""
        sound = [op for op in ops if isinstance(op.stamp, str) and isinstance(op.id, str)]
        known = tx.conn.execute(_STAMPS, (json.dumps([op.stamp for op in sound]),))
        self._stamps = {stamp: (digest, payload) for stamp, digest, payload in known}
        found = tx.conn.execute(_IDS, (json.dumps([op.id for op in sound]),)).fetchall()
        self._here = {id: bool(logged) for id, logged, _ in found}
        """ids that the store knows: whether the log has ops of it"""
        self._forgotten = {id for id, _, purged in found if purged}
        self._rows: dict[str, Row] = {}

    def take(self, op: Op) -> Literal["applied", "known"]:
        """Store an op, and merge it; "known" when it was here already.

        Raises Conflict `stamp_reuse` (the stamp is another op's), Invalid `clock_skew` (more than a year ahead),
        `upgrade_required`, `bad_digest`, `bad_op` or the reason a field is invalid, TooLarge. Nothing is stored then.
        """
        check_shape(op)
        if (held := self._stamps.get(op.stamp)) is not None:
            text = text_of(op)
            if not self._completes(op, *held):
                return "known"
            self._complete(op, text)
        else:
            self._append(op)
        self.ids[op.id] = None
        return "applied"

    def finish(self) -> None:
        """Write the rows that the ops have changed."""
        for row in self._rows.values():
            if row.added:
                row.write(self._tx)
        self._rows.clear()

    def _completes(self, op: Op, digest: str, payload: str) -> bool:
        """Whether an op that is here came as a blanked copy, without the purge that would make it final: this is all of it."""
        if digest != op.digest:
            raise Conflict(f"stamp {op.stamp} belongs to another op", code="stamp_reuse", stamp=op.stamp)
        return is_blank(Op.parse(payload)) and not (is_blank(op) or op.purge or op.id in self._forgotten)

    def _complete(self, op: Op, text: str) -> None:
        check_digest(op)
        check_fields(op)
        row, tx = self._row(op.id), self._tx
        tx.conn.execute("UPDATE ops SET payload = ? WHERE stamp = ?", (text, op.stamp))
        self._stamps[op.stamp] = op.digest, text
        tx.last_seq += 1
        row.add(op, tx.last_seq)

    def _append(self, op: Op) -> None:
        tx, sent = self._tx, self._sent
        if sent is not Sent.SEEN and stamp_ms(op.stamp) > wall_ms() + MAX_AHEAD_MS:  # the account looks at its feed's
            raise Invalid("the op's stamp is more than a year ahead of the clock", code="clock_skew", stamp=op.stamp,
                          fix="set the clock of the machine that made it")  # fmt: skip
        text = checked_text(op)
        check_fields(op)
        tx.clock.see(op.stamp)
        row = self._row(op.id)
        if sent is not Sent.SEEN:
            sent = row.way(tx, op, sent)
        if op.purge:
            self._forget(op, sent)
        elif op.id in self._forgotten:
            oplog.insert(tx, op, op.blanked().text(), self._action, sent)
        else:
            row.add(op, oplog.insert(tx, op, text, self._action, sent))
        self._stamps[op.stamp] = op.digest, text

    def _forget(self, op: Op, sent: Sent) -> None:
        """Take in a purge."""
        if op.id not in self._forgotten:
            self.purged[op.id] = any(not is_blank(known) for known in oplog.ops_of(self._tx.conn, op.id))
        oplog.purge_all(self._tx, op, self._action, sent)
        self._forgotten.add(op.id)
        self._here[op.id] = True
        self._rows.pop(op.id, None)

    def _row(self, id: str) -> Row:
        row = self._rows.get(id)
        if row is None:
            here = self._here.get(id)
            row = Row(id) if here is None else Row.read(self._tx.conn, id, logged=here)
            self._rows[id] = row
        return row
