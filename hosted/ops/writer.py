"""A write of one tenant: whatever makes ops, they get their places in the feed here, under the lock of its head.

The lock is held until the commit, so that whoever reads the feed up to a seq has seen everything before it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Database, Driver, driver
from hosted.identity import audit
from hosted.ops import log, rows
from hosted.ops.purge import forget_accesses, forget_answers
from hosted.ops.rows import Row
from jmem.core import merge
from jmem.core.clock import Clock, new_node, wall_ms
from jmem.core.errors import TooLarge
from jmem.core.merge import Folded
from jmem.core.model import MAX_OP_BYTES, Memory, Op, iso, new_nonce
from jmem.core.opcheck import is_blank, seal
from sync.protocol import next_chain

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from hosted.ops.events import Bus

_node = (os.getpid(), new_node())

_HEAD = "SELECT seq, chain, last_stamp, action FROM jmem.sync_heads WHERE user_id = $1 FOR UPDATE"
_FIRST = "INSERT INTO jmem.sync_heads (user_id) VALUES ($1) ON CONFLICT DO NOTHING"
_MOVE = "UPDATE jmem.sync_heads SET seq = $2, chain = $3, last_stamp = $4, action = $5 WHERE user_id = $1"
_APPEND = (
    "INSERT INTO jmem.ops (user_id, device, action, stamp, seq, chain, memory_id, payload, digest)"
    " SELECT $1, $2, $3, u.* FROM unnest($4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[]) u"
)
_ACTION = (
    "INSERT INTO jmem.actions (user_id, id, at, client, kind, undoes, first_seq, last_seq)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)
_REINDEX = "UPDATE jmem.index_heads SET seq = least(seq, $2 - 1) WHERE user_id = $1"
"""The row changed where the vector index has been already: it goes back there."""
_BLANK = (
    "UPDATE jmem.ops o SET payload = u.payload FROM unnest($2::text[], $3::text[]) AS u (stamp, payload)"
    " WHERE o.user_id = $1 AND o.stamp = u.stamp"
)


@dataclass(slots=True)
class Action:
    """What one command does: the unit of undo. It is stored with the ops it made, if it made any."""

    id: int
    at: str
    client: str
    kind: str
    undoes: int | None = None
    first_seq: int = 0
    last_seq: int = 0
    ops: int = 0


@dataclass(slots=True)
class Head:
    """The end of a tenant's feed."""

    seq: int
    chain: str
    last_stamp: str
    action: int


class Writer:
    """An open write; made by `lock` or `writing`, ended by `finish` before the transaction commits."""

    def __init__(self, raw: Driver, user_id: UUID, head: Head) -> None:
        self.raw = raw
        self.user_id = user_id
        self.head = head
        self._began = head.seq
        self._clock = Clock(head.last_stamp, _own_node())
        self._actions: list[Action] = []
        self._rows: dict[str, Row] = {}

    @property
    def wrote(self) -> bool:
        """Whether anything was added to the feed."""
        return self.head.seq > self._began

    def begin(self, client: str, kind: str, undoes: int | None = None) -> Action:
        """A new action."""
        self.head.action += 1
        action = Action(self.head.action, iso(wall_ms()), client, kind, undoes)
        self._actions.append(action)
        return action

    def made(self, client: str) -> list[str]:
        """When a client made each of its ops of this write, which are not in the table of actions yet."""
        return [action.at for action in self._actions if action.client == client for _ in range(action.ops)]

    # ---- reading, as of this write ------------------------------------------------------------

    async def rows(self, ids: Collection[str]) -> dict[str, Row]:
        """The rows of these ids, a new one for each that has none; what is done to them is not stored by itself."""
        if missing := [id for id in dict.fromkeys(ids) if id not in self._rows]:
            found = await rows.load(self.raw, self.user_id, missing)
            self._rows.update((id, found.get(id) or Row(id)) for id in missing)
        return {id: self._rows[id] for id in ids}

    async def row(self, id: str) -> Row:
        """The row of one id."""
        return (await self.rows((id,)))[id]

    # ---- writing ------------------------------------------------------------------------------

    async def write(
        self, action: Action, id: str, fields: Mapping[str, Any], *, fresh: bool = False, purge: bool = False
    ) -> Memory | None:
        """Make, seal, store and merge one op, and return the memory as it is then.

        `fresh` promises that the id has no op yet. Raises TooLarge before anything is written.
        """
        base = await log.heads(self.raw, self.user_id, id) if "content" in fields and not fresh else ()
        if fresh:
            self._rows[id] = Row(id)
        await self.append([self.seal(action, id, fields, base, purge=purge)], action, informed=True)
        return self._rows[id].memory()

    async def add(self, action: Action, memories: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Memory]:
        """Store new memories, given as new id and fields; raises TooLarge before anything is written."""
        made = [self.seal(action, id, fields) for id, fields in memories]
        self._rows.update((id, Row(id)) for id, _ in memories)
        await self.append(made, action)
        stored = [self._rows[id].memory() for id, _ in memories]
        return [memory for memory in stored if memory is not None]

    def seal(
        self, action: Action, id: str, fields: Mapping[str, Any], base: tuple[str, ...] = (), *, purge: bool = False
    ) -> tuple[Op, str]:
        """An op of the server's own, with its text."""
        op, text = seal(Op(self._clock.tick(), id, fields, base, action.client, new_nonce(), purge))
        if len(text) * 4 > MAX_OP_BYTES and len(text.encode()) > MAX_OP_BYTES:
            raise TooLarge("the change is larger than 128 KiB; shorten content or metadata", limit=MAX_OP_BYTES)
        return op, text

    async def append(
        self, made: Iterable[tuple[Op, str]], action: Action, device: str | None = None, *, informed: bool = False
    ) -> None:
        """Give ops, which are new to the feed, their places in it and merge them; one statement a table.

        Those that are `informed` name every head as what they saw.
        """
        entries = list(made)
        if not entries:
            return
        touched = await self.rows({op.id for op, _ in entries})
        rewritten = _rewritten(entries, touched)
        purged = {op.id for op, _ in entries if op.purge}
        stored: list[tuple[str, int, str, str, str, str]] = []
        head = self.head
        action.first_seq = action.first_seq or head.seq + 1
        for op, text in entries:
            row = touched[op.id]
            head.seq += 1
            head.chain = next_chain(head.chain, op.stamp)
            if op.purge:
                row.purge()
            if row.purged or op.id in purged:
                text = op.blanked().text()
            else:
                merge.merge_op(row.registers, op)
            row.seq = head.seq
            self._clock.see(op.stamp)
            stored.append((op.stamp, head.seq, head.chain, op.id, text, op.digest))
        action.last_seq = head.seq
        action.ops += len(entries)
        head.last_stamp = max(head.last_stamp, self._clock.last)
        for id in rewritten:
            touched[id].apart = False  # as it is of nearly all
        # Postgres stores the ops while the rows are worked out
        insert = asyncio.create_task(
            self.raw.execute(_APPEND, self.user_id, device, action.id, *zip(*stored, strict=True))
        )
        try:
            await asyncio.sleep(0)
            columns = rows.Columns(row for row in touched.values() if row.registers or row.purged)
        finally:
            await insert
        if rewritten and not informed and (apart := await log.apart(self.raw, self.user_id, rewritten)):
            for id in apart - purged:
                touched[id].apart = True
            columns = rows.Columns(row for row in touched.values() if row.registers or row.purged)
        await columns.write(self.raw, self.user_id)
        if purged:
            await self._forget(purged, action)

    async def merge_whole(self, op: Op, text: str) -> None:
        """Take the whole op in the place of a blanked copy that came first, without the purge that made it so."""
        row = await self.row(op.id)
        merge.merge_op(row.registers, op)
        await self.raw.execute(_BLANK, self.user_id, [op.stamp], [text])
        row.apart = op.id in await log.apart(self.raw, self.user_id, [op.id])
        await rows.Columns([row]).write(self.raw, self.user_id)
        await self.raw.execute(_REINDEX, self.user_id, row.seq)

    async def fold_anew(self, row: Row, folded: Folded, *, apart: bool) -> None:
        """Make a row what its ops add up to; the feed stays as it is."""
        row.registers, row.purged, row.apart = folded.registers, folded.purged, apart and not folded.purged
        row.seq = row.seq or 1
        if folded.purged:
            await self._blank({row.id})
        await rows.Columns([row]).write(self.raw, self.user_id)
        await self.raw.execute(_REINDEX, self.user_id, row.seq)

    async def finish(self) -> None:
        """Store the actions and the new end of the feed."""
        used = [action for action in self._actions if action.first_seq]
        for a in used:
            await self.raw.execute(
                _ACTION, self.user_id, a.id, a.at, a.client, a.kind, a.undoes, a.first_seq, a.last_seq
            )  # fmt: skip
        if used:
            head = self.head
            # one that made no op leaves its number to the next
            await self.raw.execute(_MOVE, self.user_id, head.seq, head.chain, head.last_stamp, used[-1].id)

    # ---- inside -------------------------------------------------------------------------------

    async def _forget(self, purged: Collection[str], action: Action) -> None:
        """Take memories that were purged out of everything else that this tenant has."""
        await self._blank(purged)
        await forget_accesses(self.raw, self.user_id, purged)
        await forget_answers(self.raw, self.user_id)
        await audit.note_raw(
            self.raw, self.user_id, "memories.purged", client=action.client, count=len(purged), ids=sorted(purged)[:20]
        )  # fmt: skip

    async def _blank(self, ids: Collection[str]) -> None:
        """Take the content out of every op of these ids."""
        blanked = {
            op.stamp: op.blanked().text() async for op in log.ops(self.raw, self.user_id, list(ids)) if not is_blank(op)
        }
        if blanked:
            await self.raw.execute(_BLANK, self.user_id, list(blanked), list(blanked.values()))


def _rewritten(entries: Sequence[tuple[Op, str]], before: Mapping[str, Row]) -> list[str]:
    """The memories that have a text already, or get more than one, and get another."""
    texts = Counter(op.id for op, _ in entries if "content" in op.set)
    return [id for id, count in texts.items() if count > 1 or "content" in before[id].registers]


async def lock(conn: AsyncConnection, user_id: UUID) -> Writer:
    """Begin a write in a tenant's transaction: waits until no other write of this tenant is open."""
    raw = driver(conn)
    record = await raw.fetchrow(_HEAD, user_id)
    if record is None:
        await raw.execute(_FIRST, user_id)
        record = await raw.fetchrow(_HEAD, user_id)
    assert record is not None
    return Writer(raw, user_id, Head(*record))


@asynccontextmanager
async def writing(database: Database, bus: Bus, user_id: UUID) -> AsyncIterator[Writer]:
    """A whole write: committed, and told to those who wait for changes, unless an exception leaves it."""
    async with database.tenant(user_id) as conn:
        writer = await lock(conn, user_id)
        yield writer
        await writer.finish()
    if writer.wrote:
        bus.notify(user_id, writer.head.seq)


def _own_node() -> str:
    """This process's part of every stamp: random, and another one after a fork."""
    global _node
    if _node[0] != os.getpid():
        _node = (os.getpid(), new_node())
    return _node[1]
