"""What a span of time did to a memory: its state before against its state after, both folded from its ops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from jmem.core import merge
from jmem.core.clock import stamp_ms
from jmem.core.edits import DEFAULTS
from jmem.core.merge import Folded
from jmem.core.model import FIELDS, Memory, Op, iso
from jmem.core.moments import bound_of
from jmem.core.paging import decode_cursor, encode_cursor

_KIND = "changes"
OPEN = "g"
"""The end of a span that has none: no stamp comes after it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one memory. `kind`: added, edited, deleted or restored (deleted at first, there again later).

    `before` and `after` are the fields that differ, all that are set where it was not there on the other side (None).
    `at` is the time of its last change in the span, `clients` are those that changed it, first to last, `content`
    is its text at the end, or before it was deleted.
    """

    id: str
    kind: str
    at: str
    clients: tuple[str, ...]
    content: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Span:
    """From the first stamp that counts to the first that does not."""

    first: str
    end: str


def span(since: str, until: str | None) -> Span:
    """The stamps of a span of time, given in the form of `model.iso`; `until` is exclusive, None: all there is."""
    return Span(_stamp(since), OPEN if until is None else _stamp(until))


def _stamp(moment: str) -> str:
    """The first stamp at a moment or after it."""
    return f"{max(int(bound_of(moment), 16) - 1, 0):012x}"


def going_on(cursor: str) -> tuple[Span, str]:
    """The span of the page that a cursor goes on with, and the stamp below which it does; raises Invalid."""
    first, end, below = (str(value) for value in decode_cursor(cursor, _KIND, 3))
    return Span(first, end), below


def closed(wanted: Span, newest: str | None) -> Span:
    """The span with an end, so that what is written from now on shifts no later page."""
    return Span(wanted.first, (newest or "") + "~") if wanted.end == OPEN else wanted


def cursor_of(wanted: Span, stamp: str) -> str:
    """The cursor of the page after the change whose last op in the span has this stamp."""
    return encode_cursor(_KIND, wanted.first, wanted.end, stamp)


@dataclass(slots=True)
class Passing:
    """A memory whose ops pass, in the order of their stamps."""

    wanted: Span
    before: Folded = field(default_factory=Folded)
    after: Folded = field(default_factory=Folded)
    clients: dict[str, None] = field(default_factory=dict)
    last: str = ""
    """stamp of the last op in the span that set anything"""

    def take(self, op: Op) -> None:
        """The next op."""
        if op.stamp >= self.wanted.end:
            return
        if op.stamp < self.wanted.first:
            merge.take(self.before, op)
        elif op.set:
            self.clients[op.client] = None
            self.last = op.stamp
        merge.take(self.after, op)


def change_of(id: str, ops: Iterable[Op], wanted: Span) -> Change | None:
    """What a span did to a memory, by its ops in the order of their stamps; None when nothing of it is left."""
    passing = Passing(wanted)
    for op in ops:
        passing.take(op)
    return change(id, passing)


def change(id: str, passed: Passing) -> Change | None:
    """As `change_of`, once all ops have passed."""
    before = merge.memory(id, passed.before.registers)
    after = merge.memory(id, passed.after.registers)
    was, is_ = before is not None and not before.deleted, after is not None and not after.deleted
    if not passed.last or not (was or is_):
        return None
    at, clients = iso(stamp_ms(passed.last)), tuple(passed.clients)
    if before is not None and after is not None and was and is_:
        old, new = _fields(before), _fields(after)
        differ = [name for name in old if old[name] != new[name]]
        if not differ:
            return None
        parts = ({name: fields[name] for name in differ} for fields in (old, new))
        return Change(id, "edited", at, clients, after.content, *parts)
    if is_ and after is not None:
        return Change(id, "added" if before is None else "restored", at, clients, after.content, None, _set(after))
    assert before is not None
    return Change(id, "deleted", at, clients, before.content, _set(before), None)


def _fields(memory: Memory) -> dict[str, Any]:
    fields = {name: getattr(memory, name) for name in FIELDS if name != "deleted"}
    return {**fields, "tags": list(memory.tags), "metadata": dict(memory.metadata)}


def _set(memory: Memory) -> dict[str, Any]:
    """The fields that have another value than they begin with."""
    return {name: value for name, value in _fields(memory).items() if name not in DEFAULTS or value != DEFAULTS[name]}
