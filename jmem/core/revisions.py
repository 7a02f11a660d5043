"""What happened, as it is told: the revisions of a memory from its ops, and the entries of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core import merge
from jmem.core.clock import stamp_ms
from jmem.core.merge import Registers
from jmem.core.model import Op, iso

MAX_IDS = 100
"""ids named in one entry of the log; `count` has the whole number"""
FORGOTTEN = "(forgotten)"


@dataclass(frozen=True, slots=True)
class Revision:
    """One op of a memory and the content after it. `rev` counts from 1 in the order of stamps."""

    rev: int
    stamp: str
    at: str
    client: str
    kind: str
    set: Mapping[str, Any]
    content: str | None


@dataclass(frozen=True, slots=True)
class History:
    """The revisions of a memory, oldest first; two or more heads are a conflict of its content."""

    id: str
    revisions: list[Revision] = field(default_factory=list)
    heads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An action: what one command did. `undone` is the action that took it back.

    `preview` begins the text of its first memory as of then, `FORGOTTEN` once that was purged.
    """

    action: int
    at: str
    client: str
    kind: str
    ids: list[str]
    count: int
    undone: int | None
    preview: str


def kind_of(op: Op, before: Mapping[str, Any]) -> str:
    """A word for what an op did, given the values that stood before it."""
    if op.purge:
        return "purge"
    fields = op.set
    if "content" in fields and "content" not in before:
        return "add"
    if "deleted" in fields:
        return "delete" if fields["deleted"] else "restore"
    if set(fields) == {"state"}:
        return edit_kind(fields, lambda: str(before.get("state", "active")))
    if set(fields) == {"tags"}:
        return "tag"
    return "edit" if fields else "blank"


def edit_kind(changes: Mapping[str, Any], state: Callable[[], str]) -> str:
    """A word for an edit; `state` tells the state that stood before it."""
    names = set(changes)
    if names == {"state"}:
        named = {"paused": "pause", "archived": "archive", "review": "review"}.get(changes["state"])
        return named or ("approve" if state() == "review" else "resume")
    return "tag" if names and names <= {"tags", "add_tags", "remove_tags"} else "edit"


def history_of(id: str, log: Sequence[Op], steps: Mapping[str, str] | None = None) -> History:
    """The history of a memory from its ops in the order of their stamps.

    `steps` are the kinds of action, by stamp, that an op does not tell by itself: privacy, undo, redo.
    """
    telling = Telling(steps or {})
    return History(id, [telling.take(op) for op in log], merge.heads(log))


class Telling:
    """Makes revisions of a memory's ops, as they pass in the order of their stamps."""

    def __init__(self, steps: Mapping[str, str]) -> None:
        self._steps = steps
        self._registers: Registers = {}
        self._passed = 0

    def take(self, op: Op) -> Revision:
        """The revision that the next op made."""
        self._passed += 1
        before = {name: value for name, (_, value) in self._registers.items()}
        merge.merge_op(self._registers, op)
        content = self._registers["content"][1] if "content" in self._registers else None
        at, kind = iso(stamp_ms(op.stamp)), kind_of(op, before)
        step = self._steps.get(op.stamp)
        if step is not None and (step != "privacy" or kind == "add"):
            kind = step
        return Revision(self._passed, op.stamp, at, op.client, kind, dict(op.set), content)
