"""Undo of actions, worked out from the ops of a memory; what is told of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core.edits import DEFAULTS
from jmem.core.idparts import preview as preview_of
from jmem.core.merge import Registers
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


@dataclass(frozen=True, slots=True)
class Step:
    """Actions that are taken back, or repeated, together, newest first. `undo` is the action to take back then."""

    actions: Sequence[tuple[int, str, str, str]]
    """(id, kind, at, client)"""
    undo: int | None = None

    @property
    def reverted(self) -> Sequence[int]:
        """The actions whose ops lose their effect."""
        return [action for action, *_ in self.actions] if self.undo is None else [self.undo]

    def left(self, touched: Mapping[int, Collection[str]], gone: Collection[str]) -> set[int]:
        """The reverted actions of which something is left that could be taken back; `touched` has each one's memories."""
        kinds = {action: kind for action, kind, _, _ in self.actions}
        forgotten = set(gone)
        return {a for a in self.reverted if kinds.get(a) not in FINAL and not forgotten.issuperset(touched[a])}


class Report:
    """What is told in the end, and what the memories were before anything happened to them."""

    def __init__(self) -> None:
        self.before: dict[str, Memory | None] = {}
        """None: one of those whose change is not told in full"""
        self.steps = 0
        self._skipped: dict[tuple[str, str], None] = {}
        self._undone: list[Undone] = []

    @property
    def full(self) -> bool:
        """Whether no further change is told in full."""
        return len(self.before) >= MAX_CHANGES

    def skip(self, id: str, why: str) -> None:
        """Name what is left alone."""
        self._skipped[id, why] = None

    def coming_back(self, id: str, registers: Registers, back: Without, ops: Mapping[str, Op]) -> dict[str, Any]:
        """The fields of a memory that taking back changes, with their values; names those that are left alone.

        `ops` has, by stamp, those that `back` names.
        """
        if back.left:
            self.skip(id, f"{', '.join(sorted(back.left))} changed since")
        now = {name: value for name, (_, value) in registers.items()}
        return {name: value for name, value in back.values(ops).items() if now.get(name, DEFAULTS.get(name)) != value}

    def took(
        self, step: Step, actions: Collection[int], touched: Mapping[int, Sequence[str]], changed: Collection[str]
    ) -> None:  # fmt: skip
        """A step was taken, as far as `actions` could be; `changed` are the memories that it changed."""
        self.steps += 1
        self._undone += [
            Undone(action, kind, at, by, [id for id in touched[action] if id in changed])
            for action, kind, at, by in step.actions
            if action in actions or step.undo is not None
        ]

    def told(self, changes: Iterable[Change]) -> UndoReport:
        """As it is told."""
        return UndoReport(self._undone, list(self._skipped), list(changes), len(self.before))


def change_of(old: Memory, new: Memory) -> Change:
    """What a memory was and is, where that differs."""
    before, after = old.as_dict(), new.as_dict()
    names = [name for name in before if name not in _UNTOLD and before[name] != after[name]]
    preview = preview_of(old.content[:400])
    return Change(old.id, preview, {name: before[name] for name in names}, {name: after[name] for name in names})


@dataclass(frozen=True, slots=True)
class Entry:
    """An op in the log of a memory: which fields it set, without what it made of them."""

    stamp: str
    names: frozenset[str]
    action: int
    counts: bool
    """Neither taken back nor itself a step of undo or redo."""


@dataclass(frozen=True, slots=True)
class Without:
    """What a memory is without some actions: the fields that come back, each as the op with a stamp set it (None: as it
    is when no op has), and those that stay since they were changed by others. `deleted`: it was not there."""

    fields: Mapping[str, str | None] = field(default_factory=dict)
    left: Collection[str] = ()
    deleted: bool = False

    def values(self, ops: Mapping[str, Op]) -> dict[str, Any]:
        """The fields with their values; `ops` has, by stamp, those that `fields` names."""
        if self.deleted:
            return {"deleted": True}
        return {name: DEFAULTS[name] if at is None else ops[at].set[name] for name, at in self.fields.items()}


def without(log: Sequence[Entry], actions: Collection[int]) -> Without:
    """A memory as it was before the actions.

    Where others set a field between two of the actions, what they set comes back. What the actions added is deleted,
    unless others have rewritten it: then it stays as it was added.
    """
    left: set[str] = set()
    first = next((e for e in log if "content" in e.names), None)
    if first is not None and first.action in actions:
        if not any(e.counts and e.action not in actions and "content" in e.names for e in log):
            return Without(deleted=True)
        left.add("content")
        actions = [action for action in actions if action != first.action]
    fields: dict[str, str | None] = {}
    for name in {name for e in log if e.action in actions for name in e.names} - _FIXED:
        setting = [e for e in log if name in e.names]
        others = [e.stamp for e in setting if e.counts and e.action not in actions]
        mine = [e.stamp for e in setting if e.action in actions and e.stamp > max(others, default="")]
        before = [e.stamp for e in setting if e.stamp < mine[0]] if mine else []
        if not mine:
            left.add(name)
        elif before:
            fields[name] = before[-1]
        elif name in DEFAULTS:
            fields[name] = None
    return Without(fields, left)
