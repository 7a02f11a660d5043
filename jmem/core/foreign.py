"""Ops made elsewhere (an import with history, another machine), taken in with the same rules as our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jmem.core.errors import JmemError
from jmem.core.model import Op
from jmem.core.opcheck import is_blank
from jmem.core.store import Store, Tx, oplog
from jmem.core.store.oplog import Sent


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
    action = oplog.begin_action(tx, client, kind)
    applied = already = 0
    ids: dict[str, None] = {}
    purged: dict[str, None] = {}
    rejected: list[tuple[str, JmemError]] = []
    for op in ops:
        # apply checks before it writes, so a refused op needs no savepoint of its own
        forgets = op.purge and not oplog.is_purged(tx.conn, op.id)
        held = forgets and any(not is_blank(known) for known in oplog.ops_of(tx.conn, op.id))
        try:
            outcome = oplog.apply(tx, op, action, sent)
        except JmemError as error:
            rejected.append((op.stamp, error))
            continue
        if outcome == "known":
            already += 1
            continue
        applied += 1
        ids[op.id] = None
        if held:
            purged[op.id] = None
        elif forgets:  # no place ever held anything of it
            tx.conn.execute("UPDATE purged SET reached = 1 WHERE id = ?", (op.id,))
    return Applied(applied, already, tuple(ids), tuple(purged), rejected)
