"""The op log: every change is an op, sealed and stored as its canonical text, then merged into the row.

Local and foreign ops end in the same `_absorb`; the row is always what `jmem.core.merge.fold` makes of the
set of ops, whatever order they came in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, Literal

from jmem.core import merge
from jmem.core.clock import stamp_ms, wall_ms
from jmem.core.errors import Conflict, Invalid, TooLarge
from jmem.core.model import MAX_OP_BYTES, Memory, Op, iso, new_nonce
from jmem.core.opcheck import check_digest, check_fields, check_shape, checked_text, is_blank, seal, text_of
from jmem.core.store import rows
from jmem.core.store.writer import Tx

MAX_AHEAD_MS = 365 * 86_400_000
"""A foreign stamp further in the future is refused: it would drag the clock with it for good."""
Applied = Literal["applied", "known"]


class Sent(IntEnum):
    """How far an op has come on its way to the account's feed: the column `ops.sent`."""

    NEW = 0
    """nobody else has seen it, so that it may still get another stamp"""
    SEEN = 1
    """it is in the feed, as far as this machine knows"""
    LOCAL = 2
    """of a memory that stays on this machine: it never goes, whatever happens"""
    HELD = 3
    """a rule of the owner's keeps it here for now"""
    OFFERED = 4
    """it was on the wire, and has not come back in the feed yet"""


def begin_action(tx: Tx, client: str, kind: str, undoes: int | None = None) -> int:
    """The id of a new action: what one command does, the unit of undo. It is stored with its first op."""
    (newest,) = tx.conn.execute("SELECT COALESCE(MAX(id), 0) FROM actions").fetchone()
    id = max(newest, *tx.actions) + 1 if tx.actions else newest + 1
    tx.actions[id] = (id, iso(wall_ms()), client, kind, undoes)
    return int(id)


def write(
    tx: Tx, action: int, id: str, fields: Mapping[str, Any], client: str, *, fresh: bool = False, purge: bool = False
) -> Memory | None:
    """Make, seal, store and merge one op of this replica, and return the memory as it is then.

    `fresh` promises that the id has no op yet. Raises TooLarge before anything is written.
    """
    base = heads(tx.conn, id) if "content" in fields and not fresh else ()
    op, text = seal(Op(tx.clock.tick(), id, fields, base, client, new_nonce(), purge))
    if len(text) * 4 > MAX_OP_BYTES and len(text.encode()) > MAX_OP_BYTES:
        raise TooLarge("the change is larger than 128 KiB; shorten content or metadata", limit=MAX_OP_BYTES)
    if purge:
        _purge(tx, op, action, _way(tx, op, Sent.NEW))
        return None
    if fresh:
        seq = _insert(tx, op, text, action, Sent.LOCAL if fields.get("privacy") == "local" else Sent.NEW)
        return rows.write_row(tx, id, {name: (op.stamp, value) for name, value in fields.items()}, seq, None)
    return _absorb(tx, op, _insert(tx, op, text, action, _way(tx, op, Sent.NEW)), informed=True)


def ops_of(conn: sqlite3.Connection, id: str) -> list[Op]:
    """Every op of a memory, in the order of their stamps."""
    found = [Op.parse(text) for (text,) in conn.execute("SELECT payload FROM ops WHERE memory_id = ?", (id,))]
    return sorted(found, key=lambda op: op.stamp)


def ids_of_action(conn: sqlite3.Connection, action: int) -> list[str]:
    """The memories that an action touched, in the order it did."""
    found = conn.execute("SELECT memory_id FROM ops WHERE action = ? ORDER BY seq", (action,))
    return list(dict.fromkeys(id for (id,) in found))


def heads(conn: sqlite3.Connection, id: str) -> tuple[str, ...]:
    """The content heads of a memory: what the next content op names as its base."""
    return merge.heads(ops_of(conn, id))


def is_purged(conn: sqlite3.Connection, id: str) -> bool:
    """Whether the id was forgotten for ever."""
    return conn.execute("SELECT 1 FROM purged WHERE id = ?", (id,)).fetchone() is not None


def moved_to(conn: sqlite3.Connection, id: str) -> str | None:
    """The id that a change of privacy gave the memory instead of this one; its op is the first of that action."""
    found = conn.execute(
        "SELECT o.action FROM purged p JOIN ops o ON o.seq = p.seq JOIN actions a ON a.id = o.action"
        " WHERE p.id = ? AND a.kind = 'privacy'",
        (id,),
    ).fetchone()
    return None if found is None else ids_of_action(conn, found[0])[0]


# ---- foreign ops ------------------------------------------------------------------------------


def apply(tx: Tx, op: Op, action: int, sent: Sent = Sent.NEW) -> Applied:
    """Store and merge an op made elsewhere; "known" when it was here already. `sent` is SEEN for one from the feed.

    Raises Conflict `stamp_reuse` (the stamp is another op's), Invalid `clock_skew` (more than a year ahead),
    `upgrade_required`, `bad_digest`, `bad_op` or the reason a field is invalid, TooLarge. Nothing is stored then.
    """
    check_shape(op)
    held = tx.conn.execute("SELECT digest, payload FROM ops WHERE stamp = ?", (op.stamp,)).fetchone()
    if held is not None:
        return _again(tx, op, text_of(op), *held)
    if sent is not Sent.SEEN and stamp_ms(op.stamp) > wall_ms() + MAX_AHEAD_MS:  # the account looks at its feed's
        raise Invalid("the op's stamp is more than a year ahead of the clock", code="clock_skew", stamp=op.stamp,
                      fix="set the clock of the machine that made it")  # fmt: skip
    text = checked_text(op)
    check_fields(op)
    tx.clock.see(op.stamp)
    if sent is not Sent.SEEN:
        sent = _way(tx, op, sent)
    if op.purge:
        _purge(tx, op, action, sent)
    elif is_purged(tx.conn, op.id):
        _insert(tx, op, op.blanked().text(), action, sent)
    elif tx.conn.execute("SELECT 1 FROM ops WHERE memory_id = ? LIMIT 1", (op.id,)).fetchone() is None:
        seq = _insert(tx, op, text, action, sent)
        # a row whose ops are gone says nothing, and stands in the way of another one
        stale = rows.read_registers(tx.conn, op.id)
        rows.write_row(tx, op.id, {name: (op.stamp, value) for name, value in op.set.items()}, seq, stale)
    else:
        _absorb(tx, op, _insert(tx, op, text, action, sent))
    return "applied"


def _again(tx: Tx, op: Op, text: str, digest: str, payload: str) -> Applied:
    if digest != op.digest:
        raise Conflict(f"stamp {op.stamp} belongs to another op", code="stamp_reuse", stamp=op.stamp)
    if not is_blank(Op.parse(payload)) or is_blank(op) or op.purge or is_purged(tx.conn, op.id):
        return "known"
    # a blanked copy came first, without the purge that would make it final: take the whole one
    check_digest(op)
    check_fields(op)
    tx.conn.execute("UPDATE ops SET payload = ? WHERE stamp = ?", (text, op.stamp))
    (seq,) = tx.conn.execute("SELECT seq FROM ops WHERE stamp = ?", (op.stamp,)).fetchone()
    _absorb(tx, op, seq)
    return "applied"


# ---- both -------------------------------------------------------------------------------------


def _way(tx: Tx, op: Op, sent: Sent) -> Sent:
    """Whether an op of this machine may ever leave it; one that makes its memory local takes those before it along."""
    if op.set.get("privacy") == "local":
        tx.conn.execute("UPDATE ops SET sent = ? WHERE memory_id = ? AND sent <> ?", (Sent.LOCAL, op.id, Sent.SEEN))
        return Sent.LOCAL
    row = tx.conn.execute("SELECT privacy FROM memories WHERE id = ?", (op.id,)).fetchone()
    if row is not None:
        return Sent.LOCAL if row[0] == "local" else sent
    kept = tx.conn.execute("SELECT 1 FROM ops WHERE memory_id = ? AND sent = ? LIMIT 1", (op.id, Sent.LOCAL)).fetchone()
    return Sent.LOCAL if kept else sent


def _insert(tx: Tx, op: Op, text: str, action: int, sent: Sent) -> int:
    if action in tx.actions:
        # ignored from its second op on, and stored anew when a savepoint took its first op back
        tx.conn.execute(
            "INSERT OR IGNORE INTO actions (id, at, client, kind, undoes) VALUES (?, ?, ?, ?, ?)", tx.actions[action]
        )
    seq = tx.last_seq + 1
    tx.conn.execute(
        "INSERT INTO ops (seq, stamp, memory_id, payload, digest, action, sent) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (seq, op.stamp, op.id, text, op.digest, action, int(sent)),
    )
    tx.last_seq = seq
    return seq


def _absorb(tx: Tx, op: Op, seq: int, *, informed: bool = False) -> Memory | None:
    """Merge an op into its row; one that is `informed` names every head as what it saw."""
    held = rows.read_registers(tx.conn, op.id)
    if held is None:
        # no content until now: fold whatever came before it
        ops = ops_of(tx.conn, op.id)
        mark_conflict(tx, op.id, ops)
        return rows.write_row(tx, op.id, merge.fold(ops).registers, seq, None)
    if "content" in op.set:
        mark_conflict(tx, op.id, () if informed else ops_of(tx.conn, op.id))
    merge.merge_op(held.registers, op)
    return rows.write_row(tx, op.id, held.registers, seq, held)


def fold_anew(tx: Tx, id: str) -> None:
    """Make the row of a memory what its ops add up to. It counts as changed from then on, for whatever follows the rows."""
    held, ops = rows.read_registers(tx.conn, id), ops_of(tx.conn, id)
    folded = merge.fold(ops)
    mark_conflict(tx, id, () if folded.purged else ops)
    if "content" not in folded.registers:
        rows.remove_row(tx, id)
        return
    tx.last_seq += 1
    rows.write_row(tx, id, folded.registers, tx.last_seq, None if held is None else rows.without_tags(tx, held))


def newest_seq(conn: sqlite3.Connection) -> int:
    """The greatest number that an op or a change of a row has; 0 without one."""
    found = conn.execute(
        "SELECT MAX(COALESCE((SELECT MAX(seq) FROM ops), 0), COALESCE((SELECT MAX(seq) FROM memories), 0))"
    )
    return int(found.fetchone()[0])


def reseal(tx: Tx, seq: int, op: Op, sent: Sent) -> None:
    """Put an op that nobody else has in the place of the one with that number; its digest is computed."""
    if op.extra or is_blank(op):
        op = op.sealed()
        text = op.text()
    else:
        op, text = seal(op)
    tx.conn.execute("UPDATE ops SET stamp = ?, payload = ?, digest = ?, sent = ? WHERE seq = ?",
                    (op.stamp, text, op.digest, int(sent), seq))  # fmt: skip


def name_anew(tx: Tx, id: str, old: str, new: str, also: Collection[str] = ()) -> None:
    """What nobody else has of a memory (and the ops `also`, by their stamps) names an op it was based on by its new stamp."""
    found = tx.conn.execute(
        "SELECT seq, stamp, sent, payload FROM ops WHERE memory_id = ? AND sent <> ? AND instr(payload, ?)",
        (id, int(Sent.SEEN), old),
    ).fetchall()
    for seq, stamp, sent, payload in found:
        op = Op.parse(payload)
        if old in op.base and (sent != Sent.OFFERED or stamp in also):
            base = tuple(new if named == old else named for named in op.base)
            reseal(tx, seq, replace(op, base=base, digest=""), Sent(sent))


def mark_conflict(tx: Tx, id: str, ops: Sequence[Op]) -> None:
    """Note whether a memory, whose ops these are, has texts that were written apart."""
    if len(ops) > 1 and merge.in_conflict(ops):
        tx.conn.execute("INSERT OR IGNORE INTO conflicts (id) VALUES (?)", (id,))
    else:
        tx.conn.execute("DELETE FROM conflicts WHERE id = ?", (id,))


def _purge(tx: Tx, op: Op, action: int, sent: Sent) -> None:
    """Store a purge and take away everything its id ever said: row, tags and the content of all its ops."""
    seq = _insert(tx, op, op.blanked().text(), action, sent)
    tx.conn.execute("INSERT OR IGNORE INTO purged (id, at, seq) VALUES (?, ?, ?)", (op.id, iso(wall_ms()), seq))
    rows.remove_row(tx, op.id)
    mark_conflict(tx, op.id, ())
    for other in ops_of(tx.conn, op.id):
        if not is_blank(other):
            tx.conn.execute("UPDATE ops SET payload = ? WHERE stamp = ?", (other.blanked().text(), other.stamp))
