"""A store that was put back from a copy may hold writes under stamps they have lost: the account refused those, or the clock
was set right, after the copy was made. The feed knows such a write by its new stamp; its nonce tells that it is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from jmem.core import merge
from jmem.core.model import Op
from jmem.core.opcheck import is_blank, seal
from jmem.core.store import Tx, oplog, rows
from jmem.core.store.oplog import Sent

T = TypeVar("T")
_WAITING = f"""
SELECT stamp, payload, action FROM ops
WHERE sent IN ({Sent.NEW:d}, {Sent.OFFERED:d}) AND memory_id IN (SELECT value FROM json_each(?))"""


@dataclass(frozen=True, slots=True)
class _Again:
    """A write that waits here and is in the feed under another stamp."""

    id: str
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
    for id in dict.fromkeys(one.id for one in again):
        _name_anew(tx, id, {one.here: one.there for one in again})
        held, log = rows.read_registers(tx.conn, id), oplog.ops_of(tx.conn, id)
        if held is not None:
            (seq,) = tx.conn.execute("SELECT MAX(seq) FROM ops WHERE memory_id = ?", (id,)).fetchone()
            rows.write_row(tx, id, merge.fold(log).registers, seq, held)
            oplog.mark_conflict(tx, id, log)
    return taken


def _again(tx: Tx, ops: Sequence[Op]) -> list[_Again]:
    there = {(op.id, op.nonce): op.stamp for op in ops if op.nonce}
    if not there:
        return []
    found = []
    for stamp, payload, action in tx.conn.execute(_WAITING, (json.dumps(list({op.id for op in ops})),)):
        held = Op.parse(payload)
        now = there.get((held.id, held.nonce))
        if now is not None and now != stamp:
            found.append(_Again(held.id, stamp, now, action))
    return found


def _name_anew(tx: Tx, id: str, moved: dict[str, str]) -> None:
    """What nobody else has seen yet names the ops it was based on by the stamps that count."""
    new = tx.conn.execute("SELECT payload FROM ops WHERE memory_id = ? AND sent = ?", (id, Sent.NEW)).fetchall()
    for (payload,) in new:
        op = Op.parse(payload)
        if op.extra or is_blank(op) or moved.keys().isdisjoint(op.base):
            continue
        sealed, text = seal(replace(op, base=tuple(moved.get(stamp, stamp) for stamp in op.base), digest=""))
        tx.conn.execute("UPDATE ops SET payload = ?, digest = ? WHERE stamp = ?", (text, sealed.digest, op.stamp))
