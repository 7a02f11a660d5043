"""A store may hold writes under other stamps than the feed: it was put back from a copy made before the account refused those,
or before the clock was set right; or what was on the wire was held back and got another stamp here before it arrived there
after all. The nonce of such a write tells that it is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jmem.core import clocks
from jmem.core.model import Op
from jmem.core.store import Tx, oplog
from jmem.core.store.oplog import Sent

T = TypeVar("T")
_WAITING = f"""
SELECT seq, stamp, payload, action FROM ops
WHERE sent IN ({Sent.NEW:d}, {Sent.OFFERED:d}, {Sent.HELD:d}) AND memory_id IN (SELECT value FROM json_each(?))"""
_LATER = f"""
SELECT o.seq, o.sent FROM ops o LEFT JOIN actions a ON a.id = o.action WHERE o.memory_id = ? AND o.seq > ? AND o.stamp < ?
  AND o.sent IN ({Sent.NEW:d}, {Sent.HELD:d}) AND a.kind NOT IN ('sync', 'import') ORDER BY o.seq"""


@dataclass(frozen=True, slots=True)
class _Again:
    """A write that waits here and is in the feed under another stamp."""

    id: str
    seq: int
    here: str
    there: str
    action: int | None


def as_one(tx: Tx, ops: Sequence[Op], take: Callable[[], T]) -> T:
    """Run `take`, which takes in the ops of the feed, so that a write which waits here under another stamp is one with its
    op there."""
    again = _again(tx, ops)
    for one in again:
        tx.conn.execute("DELETE FROM ops WHERE stamp = ?", (one.here,))
    taken = take()
    for one in again:
        tx.conn.execute("UPDATE ops SET action = ? WHERE stamp = ?", (one.action, one.there))
    for one in again:
        oplog.name_anew(tx, one.id, one.here, one.there)
        for seq, sent in tx.conn.execute(_LATER, (one.id, one.seq, one.there)).fetchall():
            clocks.move(tx, seq, tx.clock.tick(), Sent(sent))  # what its writer wrote after it stays after it
    for id in dict.fromkeys(one.id for one in again):
        oplog.fold_anew(tx, id)
    return taken


def _again(tx: Tx, ops: Sequence[Op]) -> list[_Again]:
    there = {(op.id, op.nonce): op.stamp for op in ops if op.nonce}
    if not there:
        return []
    found = []
    for seq, stamp, payload, action in tx.conn.execute(_WAITING, (json.dumps(list({op.id for op in ops})),)):
        held = Op.parse(payload)
        now = there.get((held.id, held.nonce))
        if now is not None and now != stamp:
            found.append(_Again(held.id, seq, stamp, now, action))
    return found
