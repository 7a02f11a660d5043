"""Undo of actions, worked out from the ops of a memory; what is told of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core.edits import DEFAULTS
from jmem.core.idparts import preview as preview_of
from jmem.core.model import Memory, Op

FINAL = frozenset(("purge", "privacy"))
"""Kinds that forget an id for ever: undo steps over them."""
MAX_CHANGES = 1_000
"""Memories whose change is told in full."""
FORGOTTEN = "forgotten for ever"
MOVED = "its privacy changed; that can't be taken back"
OWN = frozenset(("undo", "redo"))
_FIXED = frozenset(("client", "created_at"))
_UNTOLD = frozenset(("version", "updated_at"))
"""Of a change: they differ always."""


@dataclass(frozen=True, slots=True)
class Undone:
    """An action that was (or, in a dry run, would be) taken back or repeated."""

    action: int
    kind: str
    at: str
    client: str
    ids: list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one memory: the fields that differ, before and after. `preview` begins its text."""

    id: str
    preview: str
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What undo did; `skipped` are (id, reason) pairs of what it left alone, and of what it stepped over.

    `changes` holds the first `MAX_CHANGES` of the `changed` memories.
    """

    undone: list[Undone]
    skipped: list[tuple[str, str]]
    changes: list[Change] = field(default_factory=list)
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Actions that are taken back as one: those of `client` (None: of anyone) since a moment, none after `upto`."""

    client: str | None = None
    since: str | None = None
    upto: int | None = None


def change_of(old: Memory, new: Memory) -> Change:
    """What a memory was and is, where that differs."""
    before, after = old.as_dict(), new.as_dict()
    names = [name for name in before if name not in _UNTOLD and before[name] != after[name]]
    preview = preview_of(old.content[:400])
    return Change(old.id, preview, {name: before[name] for name in names}, {name: after[name] for name in names})


@dataclass(frozen=True, slots=True)
class Entry:
    """An op in the log of a memory."""

    op: Op
    action: int
    counts: bool
    """Neither taken back nor itself a step of undo or redo."""


def without(log: Sequence[Entry], actions: Collection[int]) -> tuple[Mapping[str, Any], set[str]]:
    """The fields of a memory as they were before the actions, and the names of those that were changed since.

    Where others set a field between two of the actions, what they set comes back. What the actions added is deleted,
    unless others have rewritten it: then it stays as it was added.
    """
    left: set[str] = set()
    first = next((e for e in log if "content" in e.op.set), None)
    if first is not None and first.action in actions:
        if not any(e.counts and e.action not in actions and "content" in e.op.set for e in log):
            return {"deleted": True}, left
        left.add("content")
        actions = [action for action in actions if action != first.action]
    fields: dict[str, Any] = {}
    for name in {name for e in log if e.action in actions for name in e.op.set} - _FIXED:
        setting = [e for e in log if name in e.op.set]
        others = [e.op.stamp for e in setting if e.counts and e.action not in actions]
        mine = [e.op.stamp for e in setting if e.action in actions and e.op.stamp > max(others, default="")]
        before = [e.op for e in setting if e.op.stamp < mine[0]] if mine else []
        if not mine:
            left.add(name)
        elif before:
            fields[name] = before[-1].set[name]
        elif name in DEFAULTS:
            fields[name] = DEFAULTS[name]
    return fields, left
