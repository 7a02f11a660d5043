"""Undo and redo of actions, as on a device (`jmem.core.revert` works out what comes back): by new ops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.memories.finding import load
from hosted.ops import log
from jmem.core.edits import DEFAULTS
from jmem.core.errors import NotFound
from jmem.core.model import Memory, Op
from jmem.core.revert import (
    FINAL,
    FORGOTTEN,
    MAX_CHANGES,
    OWN,
    Entry,
    Group,
    Undone,
    UndoReport,
    Without,
    change_of,
    without,
)  # fmt: skip

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


@dataclass(frozen=True, slots=True)
class _Step:
    """Actions that are taken back, or repeated, together, newest first. `undo` is the action to take back then."""

    actions: Sequence[tuple[int, str, str, str]]
    undo: int | None = None


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
        await _take(writer, report, _Step([tuple(a) for a in actions]), client)
    return await report.done()


async def _undo_steps(writer: Writer) -> AsyncIterator[_Step]:
    sql = f"SELECT {_COLUMNS} FROM jmem.actions WHERE {_OPEN} AND id < $2 ORDER BY id DESC LIMIT 1"
    below = _LAST
    while (found := await writer.raw.fetchrow(sql, writer.user_id, below)) is not None:
        yield _Step([tuple(found)])
        below = found["id"]


async def _redo_steps(writer: Writer) -> AsyncIterator[_Step]:
    newest = ("SELECT id FROM jmem.actions WHERE user_id = $1 AND kind = 'undo' AND undone_by IS NULL AND id < $2"
              " ORDER BY id DESC LIMIT 1")  # fmt: skip
    undone = f"SELECT {_COLUMNS} FROM jmem.actions WHERE user_id = $1 AND undone_by = $2 AND id <> $2 ORDER BY id DESC"
    below = _LAST
    while (below := await writer.raw.fetchval(newest, writer.user_id, below)) is not None:
        actions = await writer.raw.fetch(undone, writer.user_id, below)
        yield _Step([tuple(a) for a in actions], undo=below)


async def _take(writer: Writer, report: _Report, step: _Step, client: str) -> None:
    """Take one step, unless nothing of it is left that could be taken back."""
    raw, user_id = writer.raw, writer.user_id
    ids = {action: await touched(raw, user_id, action) for action, *_ in step.actions}
    reverted = ids if step.undo is None else {step.undo: await touched(raw, user_id, step.undo)}
    rows = await writer.rows({id for each in reverted.values() for id in each})
    gone = {id for id, row in rows.items() if row.purged}
    report.gone(gone)
    kinds = {action: kind for action, kind, _, _ in step.actions}
    actions = {a for a, each in reverted.items() if kinds.get(a) not in FINAL and not gone.issuperset(each)}
    if not actions:
        return
    own = writer.begin(client, "redo" if step.undo else "undo", step.undo or max(actions))
    seq = writer.head.seq
    order = dict.fromkeys(id for action in reverted if action in actions for id in reverted[action])
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
    report.steps += 1
    report.undone += [
        Undone(action, kind, at, by, [id for id in ids[action] if id in changed])
        for action, kind, at, by in step.actions
        if action in actions or step.undo is not None
    ]


async def _mark(writer: Writer, actions: Collection[int], own: Action, wrote: bool) -> None:
    """Note who took the actions back. One of which nothing could be taken back marks itself, so that the next undo
    gets past it."""
    await writer.raw.execute(
        "UPDATE jmem.actions SET undone_by = CASE WHEN $3 THEN $4 ELSE id END WHERE user_id = $1 AND id = ANY ($2::bigint[])",
        writer.user_id, list(actions), wrote, own.id,
    )  # fmt: skip


class _Report:
    """What is told in the end, and what the memories were before anything happened to them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._before: dict[str, Memory | None] = {}
        self._skipped: dict[tuple[str, str], None] = {}
        self.undone: list[Undone] = []
        self.steps = 0

    def gone(self, purged: Collection[str]) -> None:
        """Name what can't come back."""
        self._skipped.update(dict.fromkeys((id, FORGOTTEN) for id in sorted(purged)))

    async def revert(self, own: Action, id: str, actions: Collection[int]) -> bool:
        """Take back what the actions did to one memory; whether that changed it."""
        row = await self._writer.row(id)
        if "content" not in row.registers:
            self._skipped[id, "it has no content"] = None
            return False
        back = without(await self._entries(id), actions)
        if back.left:
            self._skipped[id, f"{', '.join(sorted(back.left))} changed since"] = None
        wanted = back.values(await self._ops(back))
        now = {name: value for name, (_, value) in row.registers.items()}
        wanted = {name: value for name, value in wanted.items() if now.get(name, DEFAULTS.get(name)) != value}
        if not wanted:
            return False
        if id not in self._before:
            self._before[id] = row.memory() if len(self._before) < MAX_CHANGES else None
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
        changes: list[Any] = []
        for id, old in self._before.items():
            if old is None:
                continue
            try:
                changes.append(change_of(old, await load(self._writer.raw, self._writer.user_id, id)))
            except NotFound:
                continue
        return UndoReport(self.undone, list(self._skipped), changes, len(self._before))
