"""A device's clock set right by its account's, and the stamps that the wrong one gave.

Stamps move by as much as the clock was off, but never beyond now. The order of the log decides what a writer had seen: an
op comes after every op that was in the log before it, wherever both lie then.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from jmem.core.clock import Clock, new_node, stamp_ms, wall_ms
from jmem.core.merge import heads_of
from jmem.core.model import Op, new_nonce
from jmem.core.opcheck import seal
from jmem.core.outbox import from_start
from jmem.core.store import Store, Tx, oplog
from jmem.core.store.oplog import Sent
from jmem.core.store.store import CLOCK_OFFSET

MARK = "sync.stamping"
"""The key in `meta` of stamps that are being moved: by how much, which, and how far that has come"""
PART = 200
"""Ops in one transaction: writes wait for no more than that."""
_LOG = """
SELECT o.seq, o.stamp, o.sent, o.memory_id, a.kind FROM ops o LEFT JOIN actions a ON a.id = o.action
WHERE o.seq > ? ORDER BY o.seq"""


def set_right(store: Store, offset_ms: int, ahead_ms: int, refused: Collection[str] | None = None) -> int:
    """Stamp by the account's clock, which is `offset_ms` ahead of this machine's, from now on. The number of ops that got
    another stamp: of those that nobody else has, what was made here; or, with `refused`, what the account refused for its
    clock. Either way also what is more than `ahead_ms` ahead of the account's clock, which will never take it.
    """
    moved = go_on(store)

    def begin(tx: Tx) -> None:
        shift, tx.clock.offset_ms = offset_ms - tx.clock.offset_ms, offset_ms
        tx.set_meta(CLOCK_OFFSET, str(offset_ms))
        mark = {"shift": shift, "ahead": ahead_ms, "all": refused is None, "upto": 0, "last": ""}
        tx.set_meta(MARK, json.dumps(mark))

    store.write(begin)
    return moved + go_on(store, refused or ())


def go_on(store: Store, refused: Collection[str] = ()) -> int:
    """Move the stamps that are still to be moved, part by part; the number of them."""
    refused, moved = frozenset(refused), 0
    while (part := store.write(lambda tx: _part(tx, refused))) is not None:
        moved += part
    return moved


def _part(tx: Tx, refused: frozenset[str]) -> int | None:
    """The next ops of the log; None when there is nothing to move."""
    found = tx.conn.execute("SELECT value FROM meta WHERE key = ?", (MARK,)).fetchone()
    if found is None:
        return None
    mark = json.loads(found[0])
    now = wall_ms() + tx.clock.offset_ms
    chosen: list[tuple[int, str, Sent, str, str]] = []
    floor, whole = str(mark["last"]), True
    for seq, stamp, sent, id, kind in tx.conn.execute(_LOG, (mark["upto"],)):
        mark["upto"] = seq
        if not _moves(mark, now, stamp, sent, kind, refused):
            floor = max(floor, stamp)
            continue
        chosen.append((seq, stamp, Sent(sent), id, floor))
        if len(chosen) == PART:
            whole = False
            break
    clock = Clock(mark["last"], new_node())
    for seq, stamp, sent, id, seen in chosen:
        clock.see(seen)
        new = clock.tick(min(max(stamp_ms(stamp) + mark["shift"], 0), now))
        if move(tx, seq, new, Sent.NEW if sent is Sent.OFFERED else sent, refused):
            mark.setdefault("unnamed", []).append([id, new])
    if any(sent is Sent.OFFERED for _, _, sent, _, _ in chosen):
        from_start(tx)  # what was refused is new again, wherever it is in the log
    for id in dict.fromkeys(id for *_, id, _ in chosen):
        oplog.fold_anew(tx, id)
    clock.see(floor)
    mark["last"] = clock.last
    tx.set_meta(MARK, None if whole else json.dumps(mark))
    if whole:
        tx.clock.last = clock.last
        for id, new in mark.get("unnamed", ()):
            _name(tx, id, new)
    return len(chosen)


def _moves(mark: dict[str, Any], now: int, stamp: str, sent: int, kind: str, refused: frozenset[str]) -> bool:
    if sent == Sent.SEEN or sent == Sent.OFFERED:  # what was on the wire may be there, until it is refused
        return sent == Sent.OFFERED and stamp in refused
    if stamp in refused or stamp_ms(stamp) > now + mark["ahead"]:
        return True
    return bool(mark["all"]) and sent == Sent.NEW and kind not in ("sync", "import")


def move(tx: Tx, seq: int, new: str, sent: Sent, refused: Collection[str] = ()) -> bool:
    """Give the op with that number another stamp. Whether one that may be in the account already was based on it, and goes on
    naming the stamp it had."""
    (payload,) = tx.conn.execute("SELECT payload FROM ops WHERE seq = ?", (seq,)).fetchone()
    op = Op.parse(payload)
    oplog.reseal(tx, seq, replace(op, stamp=new, digest=""), sent)
    if "content" not in op.set:
        return False
    oplog.name_anew(tx, op.id, op.stamp, new, refused)
    names = tx.conn.execute("SELECT payload FROM ops WHERE memory_id = ? AND instr(payload, ?)", (op.id, op.stamp))
    return any(op.stamp in Op.parse(text).base for (text,) in names.fetchall())


def _name(tx: Tx, id: str, stamp: str) -> None:
    """The text of that stamp was seen by who wrote a later one that can't name it any more: the text that is found is written
    once more by an op that names both, so that they do not count as written apart."""
    ops = oplog.ops_of(tx.conn, id)
    heads = heads_of(ops)
    if len(heads) > 1 and stamp in (head.stamp for head in heads[:-1]):
        action = oplog.begin_action(tx, "jmem", "sync")
        base = (stamp, heads[-1].stamp)
        op, text = seal(Op(tx.clock.tick(), id, {"content": heads[-1].content}, base, "jmem", new_nonce()))
        row = oplog.Row.read(tx.conn, id)
        row.add(op, oplog.insert(tx, op, text, action, row.way(tx, op, Sent.NEW)))
        row.write(tx)
