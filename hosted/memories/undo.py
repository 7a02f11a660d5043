"""Undo and redo of actions, as on a device (`jmem.core.revert` works out what comes back): by new ops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.finding import load
from hosted.ops import log
from jmem.core.errors import NotFound
from jmem.core.model import Op
from jmem.core.revert import FORGOTTEN, OWN, Change, Entry, Group, Report, Step, UndoReport, Without, change_of, without

if TYPE_CHECKING:
    from hosted.db.engine import Driver
    from hosted.ops.writer import Action, Writer

_OPEN = "user_id = $1 AND undone_by IS NULL AND kind NOT IN ('undo', 'redo', 'sync')"
_COLUMNS = "id, kind, at, client"
_LAST = 2**63 - 1
_TOUCHED = """
SELECT o.memory_id FROM jmem.actions a
JOIN jmem.ops o ON o.user_id = a.user_id AND o.seq BETWEEN a.first_seq AND a.last_seq AND o.action = a.id
WHERE a.user_id = $1 AND a.id = $2 ORDER BY o.seq"""
_ENTRIES = """
SELECT o.payload, o.action, a.kind, a.undone_by FROM jmem.ops o
LEFT JOIN jmem.actions a ON a.user_id = o.user_id AND a.id = o.action
WHERE o.user_id = $1 AND o.memory_id = $2 ORDER BY o.stamp"""
_THESE = "SELECT stamp, payload FROM jmem.ops WHERE user_id = $1 AND stamp = ANY ($2::text[])"


async def touched(raw: Driver, user_id: UUID, action: int) -> list[str]:
    """The memories that an action touched, in the order it did."""
    return list(dict.fromkeys(record["memory_id"] for record in await raw.fetch(_TOUCHED, user_id, action)))


async def run(writer: Writer, client: str, n: int, redo: bool) -> UndoReport:
    """Take back the newest `n` actions that can be, or repeat the `n` steps that were undone last."""
    report = _Report(writer)
    async for step in _redo_steps(writer) if redo else _undo_steps(writer):
        if report.steps == n:
            break
        await _take(writer, report, step, client)
    return await report.done()


async def run_group(writer: Writer, client: str, group: Group) -> UndoReport:
    """Take back every action of a group as one step; a redo repeats all of them."""
    where, values = _OPEN, [writer.user_id, *([] if group.client is None else [group.client])]
    if group.client is not None:
        where += " AND client = $2"
    for condition, value in (("at >= ", group.since), ("id <= ", group.upto)):
        if value is not None:
            values.append(value)
            where += f" AND {condition}${len(values)}"
    sql = f"SELECT {_COLUMNS} FROM jmem.actions WHERE {where} ORDER BY id DESC"
    report = _Report(writer)
    if actions := await writer.raw.fetch(sql, *values):
        await _take(writer, report, Step([tuple(a) for a in actions]), client)
    return await report.done()


async def _undo_steps(writer: Writer) -> AsyncIterator[Step]:
    sql = f"SELECT {_COLUMNS} FROM jmem.actions WHERE {_OPEN} AND id < $2 ORDER BY id DESC LIMIT 1"
    below = _LAST
    while (found := await writer.raw.fetchrow(sql, writer.user_id, below)) is not None:
        yield Step([tuple(found)])
        below = found["id"]


async def _redo_steps(writer: Writer) -> AsyncIterator[Step]:
    newest = ("SELECT id FROM jmem.actions WHERE user_id = $1 AND kind = 'undo' AND undone_by IS NULL AND id < $2"
              " ORDER BY id DESC LIMIT 1")  # fmt: skip
    undone = f"SELECT {_COLUMNS} FROM jmem.actions WHERE user_id = $1 AND undone_by = $2 AND id <> $2 ORDER BY id DESC"
    below = _LAST
    while (below := await writer.raw.fetchval(newest, writer.user_id, below)) is not None:
        actions = await writer.raw.fetch(undone, writer.user_id, below)
        yield Step([tuple(a) for a in actions], undo=below)


async def _take(writer: Writer, report: _Report, step: Step, client: str) -> None:
    """Take one step, unless nothing of it is left that could be taken back."""
    raw, user_id = writer.raw, writer.user_id
    named = dict.fromkeys([*(action for action, *_ in step.actions), *step.reverted])
    ids = {action: await touched(raw, user_id, action) for action in named}
    rows = await writer.rows({id for action in step.reverted for id in ids[action]})
    gone = {id for id, row in rows.items() if row.purged}
    report.gone(gone)
    actions = step.left(ids, gone)
    if not actions:
        return
    own = writer.begin(client, "redo" if step.undo else "undo", step.undo or max(actions))
    seq = writer.head.seq
    order = dict.fromkeys(id for action in step.reverted if action in actions for id in ids[action])
    changed = {id for id in order if id not in gone and await report.revert(own, id, actions)}
    wrote = writer.head.seq > seq
    if step.undo is None:
        if wrote or len(step.actions) == 1:
            await _mark(writer, actions, own, wrote)
    else:
        by = own.id if wrote else step.undo
        await raw.execute("UPDATE jmem.actions SET undone_by = NULL WHERE user_id = $1 AND undone_by = $2 AND id <> $2",
                          user_id, step.undo)  # fmt: skip
        await raw.execute(
            "UPDATE jmem.actions SET undone_by = $3 WHERE user_id = $1 AND id = $2", user_id, step.undo, by
        )
    report.took(step, actions, ids, changed)


async def _mark(writer: Writer, actions: Collection[int], own: Action, wrote: bool) -> None:
    """Note who took the actions back. One of which nothing could be taken back marks itself, so that the next undo
    gets past it."""
    await writer.raw.execute(
        "UPDATE jmem.actions SET undone_by = CASE WHEN $3 THEN $4 ELSE id END WHERE user_id = $1 AND id = ANY ($2::bigint[])",
        writer.user_id, list(actions), wrote, own.id,
    )  # fmt: skip


class _Report(Report):
    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def gone(self, purged: Collection[str]) -> None:
        """Name what can't come back."""
        for id in sorted(purged):
            self.skip(id, FORGOTTEN)

    async def revert(self, own: Action, id: str, actions: Collection[int]) -> bool:
        """Take back what the actions did to one memory; whether that changed it."""
        row = await self._writer.row(id)
        if "content" not in row.registers:
            self.skip(id, "it has no content")
            return False
        back = without(await self._entries(id), actions)
        wanted = self.coming_back(id, row.registers, back, await self._ops(back))
        if not wanted:
            return False
        if id not in self.before:
            self.before[id] = None if self.full else row.memory()
        await self._writer.write(own, id, wanted)
        return True

    async def _entries(self, id: str) -> list[Entry]:
        entries: list[Entry] = []
        found = self._writer.raw.cursor(_ENTRIES, self._writer.user_id, id, prefetch=log.AT_ONCE)
        async for payload, action, kind, by in found:
            op = Op.parse(payload)
            # an action without a row is one of this write
            counts = kind is not None and kind not in OWN and by is None
            entries.append(Entry(op.stamp, frozenset(op.set), action, counts))
        return entries

    async def _ops(self, back: Without) -> dict[str, Op]:
        stamps = list({stamp for stamp in back.fields.values() if stamp is not None})
        found = await self._writer.raw.fetch(_THESE, self._writer.user_id, stamps) if stamps else ()
        return {record["stamp"]: Op.parse(record["payload"]) for record in found}

    async def done(self) -> UndoReport:
        changes: list[Change] = []
        for id, old in self.before.items():
            if old is None:
                continue
            try:
                changes.append(change_of(old, await load(self._writer.raw, self._writer.user_id, id)))
            except NotFound:
                continue
        return self.told(changes)
