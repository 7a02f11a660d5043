"""What of the op log is still to go to the account, what may not, and how far the account's feed has been read.

All of it is in the store, so that a killed process goes on where it was: `ops.sent` tells how far each op has come, `meta`
how far the feed was read. An op leaves the outbox when it is seen in the feed and at no other moment.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jmem.core import rules
from jmem.core.clock import stamp_ms
from jmem.core.errors import Conflict
from jmem.core.model import Op
from jmem.core.opcheck import is_blank
from jmem.core.store import Store, Tx, oplog
from jmem.core.store.oplog import Sent
from jmem.core.store.store import CLOCK_OFFSET

_ACCOUNT, _CURSOR, _FROM, _PAUSED = "sync.account", "sync.cursor", "sync.from", "sync.paused"
DEVICE = "sync.device"
"""Where a machine keeps an id of its own."""
_WAITING = f"sent IN ({Sent.NEW:d}, {Sent.OFFERED:d})"
_LOCAL, _OFFERED = (f"sent = {way:d}" for way in (Sent.LOCAL, Sent.OFFERED))
"""Conditions as the partial index `ops_kept` has them."""
_NEW = f"sent = {Sent.NEW:d}"
_WAIT_IDS = f"""
SELECT memory_id FROM ops WHERE {_OFFERED} UNION ALL SELECT memory_id FROM ops WHERE {rules.HELD}
UNION ALL SELECT memory_id FROM ops WHERE seq > :start AND {_NEW}"""
_PAGE = f"""
SELECT o.seq, o.stamp, o.memory_id, o.payload, m.rowid, m.tags, m.privacy, m.client, m.source FROM (
  SELECT seq FROM ops WHERE {_OFFERED} AND seq > :after
  UNION ALL SELECT seq FROM ops WHERE {_NEW} AND seq > MAX(:after, :start) ORDER BY seq LIMIT :limit
) w CROSS JOIN ops o ON o.seq = w.seq LEFT JOIN memories m ON m.id = o.memory_id ORDER BY w.seq"""
_SAYS_LOCAL = '"privacy":"local"'
"""In the canonical text of every op that makes its memory local."""
_LEAST_ROWS = 50
"""Rows that a page of the log has at least: those that stay here count too."""
_PURGE_ANYWAY = f"""
UPDATE ops SET sent = {Sent.NEW:d} WHERE sent = {Sent.LOCAL:d} AND seq IN (
    SELECT p.seq FROM ops k JOIN purged p ON p.id = k.memory_id
    WHERE k.sent = {Sent.SEEN:d} AND k.stamp IN (SELECT value FROM json_each(?)))"""
"""What was forgotten here goes there too once an op of it is there after all: it was late on the wire."""
_KNOWN_THERE = f"SELECT 1 FROM ops WHERE memory_id = ? AND sent IN ({Sent.SEEN:d}, {Sent.OFFERED:d}) LIMIT 1"


@dataclass(frozen=True, slots=True)
class Position:
    """How far sync has come, as the store says."""

    account: str | None = None
    """the one account this store is bound to: its id, which stays when its address is another one"""
    cursor: str | None = None
    offset_ms: int = 0
    """the server's clock less this machine's"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Ops to push, in the order they were made: their canonical texts by stamp, and where the next batch begins.

    `again`: earlier ops are free to go now, so that another round from the start finds more.
    """

    texts: Mapping[str, str]
    upto: int
    again: bool = False


def position(conn: sqlite3.Connection) -> Position:
    """Read it."""
    found = dict(conn.execute("SELECT key, value FROM meta WHERE key LIKE 'sync.%'").fetchall())
    return Position(found.get(_ACCOUNT), found.get(_CURSOR), int(found.get(CLOCK_OFFSET, 0)))


# ---- the machine -------------------------------------------------------------------------------


def device(store: Store) -> str:
    """How the account knows this machine: by the id of its store, until a copy of that lived too."""
    with store.reader() as conn:
        own = conn.execute("SELECT value FROM meta WHERE key = ?", (DEVICE,)).fetchone()
    return store.store_id if own is None else str(own[0])


def part(store: Store) -> str:
    """Have the account know this machine by another id from now on: the new one."""
    new = str(uuid.uuid4())
    store.write(lambda tx: tx.set_meta(DEVICE, new))
    return new


# ---- the account ------------------------------------------------------------------------------


def bind(store: Store, account: str, *, instead_of: str | None = None) -> None:
    """Tie the store to an account by its id; raises Conflict `bound` when it belongs to another one. Where that is
    `instead_of`, which is no more, all begins anew as after a first sign-in.

    No address counts: a domain moves, and 127.0.0.1 is localhost. That the feed is the one that was read shows its chain.
    """

    def run(tx: Tx) -> None:
        held = position(tx.conn).account
        if held is not None and held == instead_of:
            _unbind(tx)
            held = None
        if held not in (None, account):
            raise Conflict("these memories belong to another account", code="bound", account=held,
                           fix="jmem --user NAME login   keeps that account's memories apart")  # fmt: skip
        tx.set_meta(_ACCOUNT, account)

    store.write(run)


def unbind(store: Store) -> None:
    """Forget the account: every op that may leave is new again, as before the first sign-in."""

    store.write(_unbind)


def _unbind(tx: Tx) -> None:
    tx.conn.execute("UPDATE ops SET sent = ? WHERE sent IN (?, ?)", (Sent.NEW, Sent.SEEN, Sent.OFFERED))
    for key in (_ACCOUNT, _CURSOR, CLOCK_OFFSET, _FROM, "sync.stamping"):
        tx.set_meta(key, None)
    tx.clock.offset_ms = 0


# ---- out --------------------------------------------------------------------------------------


def take(store: Store, after: int, limit: int, max_bytes: int) -> Batch:
    """The next ops that go to the account, marked as on the wire before this returns; empty when there are none.

    `after` is the `upto` of the batch before, 0 for the first of a round. What may not leave is marked as it is passed.
    """

    def run(tx: Tx) -> Batch:
        start, kept = _start(tx.conn), rules.of(tx.conn)
        holds = rules.hold_any(tx.conn)
        texts: dict[str, str] = {}
        taken: list[tuple[int]] = []
        upto, size, again, more = after, 0, False, True
        while more and len(texts) < limit:
            wanted = max(limit - len(texts), _LEAST_ROWS)
            page = tx.conn.execute(_PAGE, {"after": upto, "start": start, "limit": wanted}).fetchall()
            more = len(page) == wanted
            for seq, stamp, id, payload, rowid, tags, privacy, client, source in page:
                way = _allowed(tx.conn, id, payload, rowid, privacy)
                if way is None and rowid is not None and kept.keep(tx.conn, id, tags, client, source):
                    way, holds = Sent.HELD, True
                if way is not None:
                    tx.conn.execute("UPDATE ops SET sent = ? WHERE seq = ?", (way, seq))
                    upto = seq
                    continue
                text_size = len(payload.encode()) + 1
                if texts and (size + text_size > max_bytes or len(texts) == limit):
                    more = False
                    break
                texts[stamp] = payload
                taken.append((seq,))
                size, upto = size + text_size, seq
                again = (holds and rules.release(tx.conn, id)) or again
        tx.conn.executemany(f"UPDATE ops SET sent = {Sent.OFFERED:d} WHERE seq = ? AND {_NEW}", taken)
        return Batch(texts, upto, again)

    return store.write(run)


def _allowed(conn: sqlite3.Connection, id: str, payload: str, rowid: int | None, privacy: str | None) -> Sent | None:
    """Why an op may never leave, or None when it may: it is asked of every op, right before it goes on the wire."""
    if privacy == "local":
        return Sent.LOCAL
    if rowid is not None and _SAYS_LOCAL not in payload:
        return None
    op = Op.parse(payload)
    if op.set.get("privacy") == "local":
        return Sent.LOCAL
    # what was forgotten before anybody else heard of it
    if (
        rowid is None
        and is_blank(op)
        and oplog.is_purged(conn, id)
        and not conn.execute(_KNOWN_THERE, (id,)).fetchone()
    ):
        return Sent.LOCAL
    return None


def _start(conn: sqlite3.Connection) -> int:
    """A seq up to which no op is new: what is, is found from there, and what is offered by its index."""
    row = conn.execute("SELECT value FROM meta WHERE key = ?", (_FROM,)).fetchone()
    return 0 if row is None else int(row[0])


def _apart(conn: sqlite3.Connection) -> bool:
    """Whether there is no account, so that nothing was seen in its feed."""
    known = position(conn)
    return known.account is None and known.cursor is None


def waiting(conn: sqlite3.Connection) -> int:
    """How many ops have not been seen in the feed yet, of those that go."""
    found = counts(conn)
    return found["new"] + found["offered"]


def counts(conn: sqlite3.Connection) -> dict[str, int]:
    """Ops by how far they have come: new, seen, local, held, offered. Reads no more of the log than is new."""
    kept = [
        conn.execute(f"SELECT COUNT(*) FROM ops WHERE {way}").fetchone()[0] for way in (_LOCAL, rules.HELD, _OFFERED)
    ]
    rest = conn.execute("SELECT COUNT(*) FROM ops").fetchone()[0] - sum(kept)
    if _apart(conn):
        new = rest
    else:
        (new,) = conn.execute(f"SELECT COUNT(*) FROM ops WHERE seq > ? AND {_NEW}", (_start(conn),)).fetchone()
    return {"new": new, "seen": rest - new, "local": kept[0], "held": kept[1], "offered": kept[2]}


# ---- in ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the feed: whole ops, and (stamp, digest) of those that this machine pushed, in their order."""

    ops: Sequence[Op]
    own: Sequence[tuple[str, str]]
    cursor: str


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What a page changed: ids, of which `purged` for ever; `missing` are stamps of our own that the log does not hold
    (nothing was taken in then), `refused` (stamp, code) of ops that can't be kept here."""

    ids: tuple[str, ...] = ()
    purged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def take_in(store: Store, page: Page, client: str) -> TakenIn:
    """Apply a page of the feed and move the cursor behind it, in one transaction."""
    from jmem.core import copies, foreign

    def run(tx: Tx) -> TakenIn:
        if missing := [stamp for stamp, digest in page.own if not _seen(tx.conn, stamp, digest)]:
            return TakenIn(missing=tuple(missing))
        taken = copies.as_one(tx, page.ops, lambda: foreign.take(tx, page.ops, client, "sync", Sent.SEEN))
        if taken.known:
            tx.conn.executemany(
                "UPDATE ops SET sent = ? WHERE stamp = ? AND digest = ?",
                [(Sent.SEEN, op.stamp, op.digest) for op in page.ops],
            )
        tx.set_meta(_CURSOR, page.cursor)
        stamps = json.dumps([stamp for stamp, _ in page.own] + [op.stamp for op in page.ops])
        if tx.conn.execute(_PURGE_ANYWAY, (stamps,)).rowcount:
            from_start(tx)
        if rules.hold_any(tx.conn):
            for id in taken.ids:  # another machine may have taken away what a rule goes by
                rules.release(tx.conn, id)
        _advance(tx)
        return TakenIn(taken.ids, taken.purged, (), tuple((stamp, error.code) for stamp, error in taken.rejected))

    return store.write(run)


def _seen(conn: sqlite3.Connection, stamp: str, digest: str) -> bool:
    changed = conn.execute("UPDATE ops SET sent = ? WHERE stamp = ? AND digest = ?", (Sent.SEEN, stamp, digest))
    return bool(changed.rowcount)


def from_start(tx: Tx) -> None:
    """Something that was behind waits anew: look for it from the start of the log."""
    tx.set_meta(_FROM, None)


def _advance(tx: Tx) -> None:
    start = _start(tx.conn)
    row = tx.conn.execute(f"SELECT MIN(seq) FROM ops WHERE seq > ? AND {_NEW}", (start,)).fetchone()
    upto = tx.last_seq if row[0] is None else row[0] - 1
    if upto > start:
        tx.set_meta(_FROM, str(upto))


def begin_again(store: Store) -> None:
    """The feed is another one than the one that was read: read it from its start, and offer everything that may leave."""

    def run(tx: Tx) -> None:
        tx.conn.execute("UPDATE ops SET sent = ? WHERE sent = ?", (Sent.OFFERED, Sent.SEEN))
        tx.set_meta(_CURSOR, None)

    store.write(run)


def waiting_of(conn: sqlite3.Connection) -> dict[str, int]:
    """How many ops wait, of each memory that has any."""
    found = conn.execute(f"SELECT memory_id, COUNT(*) FROM ops WHERE {_WAITING} GROUP BY memory_id")
    return dict(found.fetchall())


class Way(Enum):
    """How far the order to forget memories for ever has come."""

    NEVER_LEFT = 0
    REACHED = 1
    WAITS = 2


def purge_way(conn: sqlite3.Connection, ids: Sequence[str]) -> Way:
    """Of the memories of which it has come least far."""
    sql = (
        "SELECT o.sent, EXISTS (SELECT 1 FROM ops k WHERE k.memory_id = p.id AND k.sent IN (?, ?)) FROM purged p"
        " JOIN ops o ON o.seq = p.seq WHERE p.id IN (SELECT value FROM json_each(?))"
    )
    ways = set(conn.execute(sql, (Sent.SEEN, Sent.OFFERED, json.dumps(list(ids)))).fetchall())
    if any(known and sent in (Sent.NEW, Sent.OFFERED, Sent.HELD) for sent, known in ways):
        return Way.WAITS
    return Way.REACHED if any(sent == Sent.SEEN for sent, _ in ways) else Way.NEVER_LEFT


def seen_of(conn: sqlite3.Connection, ids: Sequence[str]) -> set[str]:
    """The stamps of the ops of memories that were seen in the feed."""
    sql = "SELECT stamp FROM ops WHERE sent = ? AND memory_id IN (SELECT value FROM json_each(?))"
    return {stamp for (stamp,) in conn.execute(sql, (Sent.SEEN, json.dumps(list(ids))))}


def mend(store: Store, id: str, theirs: Sequence[Op], client: str, seen: Collection[str]) -> bool:
    """Bring a memory and the account's ops of it together: take in what is missing here, offer again what is missing there,
    and fold the row anew; whether it was forgotten for ever. All in one transaction; it is harmless to repeat.

    `seen` are the stamps that had been seen when the account was asked: what came there since is not missing.
    """
    from jmem.core import foreign

    def run(tx: Tx) -> bool:
        taken = foreign.take(tx, theirs, client, "sync", Sent.SEEN)
        known = {op.stamp: op.digest for op in theirs}
        held = tx.conn.execute("SELECT stamp, digest, sent FROM ops WHERE memory_id = ?", (id,)).fetchall()
        for stamp, digest, sent in held:
            if known.get(stamp) == digest and sent not in (Sent.SEEN, Sent.LOCAL):
                tx.conn.execute("UPDATE ops SET sent = ? WHERE stamp = ?", (Sent.SEEN, stamp))
            elif stamp not in known and sent == Sent.SEEN and stamp in seen:
                tx.conn.execute("UPDATE ops SET sent = ? WHERE stamp = ?", (Sent.OFFERED, stamp))
        # its tags are told by the row, which may be wrong
        tx.conn.execute("DELETE FROM memory_tags WHERE rowid = (SELECT rowid FROM memories WHERE id = ?)", (id,))
        oplog.fold_anew(tx, id)
        return bool(taken.purged)

    return store.write(run)


# ---- what is told ---------------------------------------------------------------------------


def preview(conn: sqlite3.Connection, samples: int, *, anew: bool) -> dict[str, Any]:
    """What would leave: how many memories, deleted ones apart, the bytes of their texts, how many stay and why, and the
    newest texts of either kind that go. What the account has whole counts only with `anew`: it goes to another one."""
    held = rules.kept_now(conn)
    given = {"held": json.dumps(held), "start": _start(conn), "samples": samples}
    goes = "m.privacy <> 'local' AND m.id NOT IN (SELECT value FROM json_each(:held))"
    if not (anew or _apart(conn)):
        goes += f" AND m.id IN ({_WAIT_IDS})"
    sums = f"SELECT m.deleted, COUNT(*), SUM(LENGTH(CAST(m.content AS BLOB))) FROM memories m WHERE {goes} GROUP BY m.deleted"
    found = {deleted: (number, size) for deleted, number, size in conn.execute(sums, given)}
    newest = f"""
    SELECT SUBSTR(m.content, 1, 200) FROM memories m WHERE m.deleted = :deleted AND {goes}
    ORDER BY m.created_at DESC, m.id LIMIT :samples"""
    texts = {deleted: [text for (text,) in conn.execute(newest, {**given, "deleted": deleted})] for deleted in found}
    (local,) = conn.execute("SELECT COUNT(*) FROM memories WHERE privacy = 'local'").fetchone()
    return {
        "memories": found.get(0, (0, 0))[0], "deleted": found.get(1, (0, 0))[0], "local": local, "held": len(held),
        "bytes": sum(size for _, size in found.values()), "samples": texts.get(0, []), "deleted_samples": texts.get(1, []),
    }  # fmt: skip


def oldest_waiting(conn: sqlite3.Connection) -> float | None:
    """When the oldest op that waits was made, seconds since 1970; None when none does."""
    if _apart(conn):
        found = conn.execute(f"SELECT stamp FROM ops WHERE {_WAITING} ORDER BY stamp LIMIT 1").fetchall()
    else:
        found = conn.execute(  # with a plus, so that it is not looked for along all stamps
            f"SELECT MIN(+stamp) FROM ops WHERE {_OFFERED} UNION ALL SELECT MIN(+stamp) FROM ops WHERE seq > ? AND {_NEW}",
            (_start(conn),),
        ).fetchall()
    return min((stamp_ms(stamp) / 1000 for (stamp,) in found if stamp is not None), default=None)


def paused(conn: sqlite3.Connection) -> bool:
    """Whether the owner has stopped the exchange."""
    return conn.execute("SELECT 1 FROM meta WHERE key = ?", (_PAUSED,)).fetchone() is not None


def set_paused(store: Store, paused: bool) -> None:
    """Stop or go on, also over a restart."""
    store.write(lambda tx: tx.set_meta(_PAUSED, "1" if paused else None))
