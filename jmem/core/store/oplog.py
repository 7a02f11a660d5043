"""The op log: every change is an op, sealed and stored as its canonical text, then merged into the row.

Local and foreign ops end in the same `Row`, which is always what `jmem.core.merge.fold` makes of the set of ops, whatever
order they came in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from jmem.core import merge
from jmem.core.clock import wall_ms
from jmem.core.errors import TooLarge
from jmem.core.merge import Registers
from jmem.core.model import MAX_OP_BYTES, Memory, Op, iso, new_nonce
from jmem.core.opcheck import is_blank, seal
from jmem.core.store import rows
from jmem.core.store.writer import Tx

_ALONE = """
SELECT json_extract(stamps, '$.content') FROM memories m
WHERE id = ? AND NOT EXISTS (SELECT 1 FROM branched b WHERE b.id = m.id)"""


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
    row = Row(id) if fresh else Row.read(tx.conn, id)
    way = row.way(tx, op, Sent.NEW)
    if purge:
        purge_all(tx, op, action, way)
        return None
    row.add(op, insert(tx, op, text, action, way))
    return row.write(tx, informed=True)


def ops_of(conn: sqlite3.Connection, id: str) -> list[Op]:
    """Every op of a memory, in the order of their stamps."""
    found = [Op.parse(text) for (text,) in conn.execute("SELECT payload FROM ops WHERE memory_id = ?", (id,))]
    return sorted(found, key=lambda op: op.stamp)


def ids_of_action(conn: sqlite3.Connection, action: int) -> list[str]:
    """The memories that an action touched, in the order it did."""
    found = conn.execute("SELECT memory_id FROM ops WHERE action = ? ORDER BY seq", (action,))
    return list(dict.fromkeys(id for (id,) in found))


def heads(conn: sqlite3.Connection, id: str) -> tuple[str, ...]:
    """The content heads of a memory: what the next content op names as its base. Reads no op where that is the live text."""
    found = conn.execute(_ALONE, (id,)).fetchone()
    return merge.heads(ops_of(conn, id)) if found is None else (str(found[0]),)


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


# ---- both -------------------------------------------------------------------------------------


def insert(tx: Tx, op: Op, text: str, action: int, sent: Sent) -> int:
    """Append an op to the log by its text; its seq. The first one of an action stores that too."""
    if (begun := tx.actions.pop(action, None)) is not None:
        tx.conn.execute("INSERT INTO actions (id, at, client, kind, undoes) VALUES (?, ?, ?, ?, ?)", begun)
    tx.last_seq += 1
    tx.conn.execute(
        "INSERT INTO ops (seq, stamp, memory_id, payload, digest, action, sent) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (tx.last_seq, op.stamp, op.id, text, op.digest, action, int(sent)),
    )
    return tx.last_seq


@dataclass(slots=True)
class Row:
    """The row of a memory while ops of the log are merged into it: it is read once and written once."""

    id: str
    held: rows.Held | None = None
    registers: Registers = field(default_factory=dict)
    alone: bool = True
    """the log has no op of it but those that are added"""
    added: list[Op] = field(default_factory=list)
    seq: int = 0

    @staticmethod
    def read(conn: sqlite3.Connection, id: str, *, logged: bool = True) -> Row:
        """As it stands. `logged`: the log has ops of it; a row without them says nothing, and only stands in the way."""
        held = rows.read_registers(conn, id)
        if not logged:
            return Row(id, held)
        return Row(id, held, merge.fold(ops_of(conn, id)).registers if held is None else held.registers, alone=False)

    def way(self, tx: Tx, op: Op, sent: Sent) -> Sent:
        """Whether an op that comes next may ever leave this machine, where `sent` is what it is if it may. One that makes its
        memory local takes those before it along."""
        new = self.alone and not self.added
        if op.set.get("privacy") == "local":
            if not new:
                tx.conn.execute(
                    "UPDATE ops SET sent = ? WHERE memory_id = ? AND sent <> ?", (Sent.LOCAL, op.id, Sent.SEEN)
                )
            return Sent.LOCAL
        if new:
            return sent
        if "content" in self.registers:
            return Sent.LOCAL if self.registers.get("privacy", ("", ""))[1] == "local" else sent
        kept = "SELECT 1 FROM ops WHERE memory_id = ? AND sent = ? LIMIT 1"
        return Sent.LOCAL if tx.conn.execute(kept, (op.id, Sent.LOCAL)).fetchone() else sent

    def add(self, op: Op, seq: int) -> None:
        """Merge an op that the log has by now, and the row counts as changed at `seq`."""
        merge.merge_op(self.registers, op)
        self.added.append(op)
        self.seq = seq

    def write(self, tx: Tx, *, informed: bool = False) -> Memory | None:
        """Write it, and note texts that were written apart; None without content. Of ops that are `informed`, each names
        every head as what it saw."""
        if not (self.alone and len(self.added) == 1) and any("content" in op.set for op in self.added):
            mark_conflict(tx, self.id, () if informed else self.added if self.alone else ops_of(tx.conn, self.id))
        return rows.write_row(tx, self.id, self.registers, self.seq, self.held)


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
    """Note whether a memory, whose ops these are, has texts that were written apart, and whether its live text is its only
    head."""
    found = merge.heads_of(ops) if len(ops) > 1 else ()
    newest = max((op.stamp for op in ops if "content" in op.set), default="") if found else ""
    notes = {
        "conflicts": merge.differ(found),
        "branched": bool(found) and [head.stamp for head in found] != [newest],
    }
    for table, so in notes.items():
        note = f"INSERT OR IGNORE INTO {table} (id) VALUES (?)" if so else f"DELETE FROM {table} WHERE id = ?"
        tx.conn.execute(note, (id,))


def purge_all(tx: Tx, op: Op, action: int, sent: Sent) -> None:
    """Store a purge and take away everything its id ever said: row, tags and the content of all its ops."""
    seq = insert(tx, op, op.blanked().text(), action, sent)
    tx.conn.execute("INSERT OR IGNORE INTO purged (id, at, seq) VALUES (?, ?, ?)", (op.id, iso(wall_ms()), seq))
    rows.remove_row(tx, op.id)
    mark_conflict(tx, op.id, ())
    tx.conn.execute("DELETE FROM origins WHERE id = ?", (op.id,))
    for other in ops_of(tx.conn, op.id):
        if not is_blank(other):
            tx.conn.execute("UPDATE ops SET payload = ? WHERE stamp = ?", (other.blanked().text(), other.stamp))
