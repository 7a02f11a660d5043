"""State as a pure function of a set of ops: one last-writer-wins register a field.

Merging is commutative, associative and idempotent because nothing but the set of ops decides the
result. Standard library only; the local store and the hosted backend both fold with this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jmem.core.clock import stamp_ms
from jmem.core.model import FIELDS, Memory, Op, iso

Registers = dict[str, tuple[str, Any]]
"""field -> (stamp, value)"""


@dataclass(slots=True)
class Folded:
    """What the ops of one memory add up to."""

    registers: Registers = field(default_factory=dict)
    purged: bool = False


def merge_op(registers: Registers, op: Op) -> bool:
    """Take an op's fields into the registers where its stamp is the greatest; True when any changed."""
    changed = False
    for name, value in op.set.items():
        held = registers.get(name)
        if held is None or op.stamp > held[0]:
            registers[name] = (op.stamp, value)
            changed = True
    return changed


def fold(ops: Iterable[Op]) -> Folded:
    """Fold one memory's ops, in any order. A purge is terminal: it leaves no field."""
    state = Folded()
    for op in ops:
        take(state, op)
    return state


def take(state: Folded, op: Op) -> None:
    """Add one op to what others of the same memory add up to."""
    state.purged = state.purged or op.purge
    if state.purged:
        state.registers.clear()
    else:
        merge_op(state.registers, op)


@dataclass(frozen=True, slots=True)
class Head:
    """A text that nobody who wrote another one had seen."""

    stamp: str
    client: str
    content: str


def heads_of(ops: Iterable[Op]) -> tuple[Head, ...]:
    """The content ops that no other content op names in its base, in the order of their stamps."""
    content = [op for op in ops if "content" in op.set]
    seen = {stamp for op in content for stamp in op.base}
    free = sorted((op for op in content if op.stamp not in seen), key=lambda op: op.stamp)
    return tuple(Head(op.stamp, op.client, op.set["content"]) for op in free)


def heads(ops: Iterable[Op]) -> tuple[str, ...]:
    """Stamps of the content heads, ascending; two or more are a conflict."""
    return tuple(head.stamp for head in heads_of(ops))


def in_conflict(ops: Iterable[Op]) -> bool:
    """Whether different texts of a memory were written apart, and nobody has settled it."""
    return differ(heads_of(ops))


def differ(heads: Iterable[Head]) -> bool:
    """Whether heads have different texts."""
    return len({head.content for head in heads}) > 1


def memory(id: str, registers: Mapping[str, tuple[str, Any]]) -> Memory | None:
    """The memory its registers describe; None while no op has given it content."""
    if "content" not in registers:
        return None
    values = {name: registers[name][1] for name in FIELDS if name in registers}
    stamps = [registers[name][0] for name in registers]
    first, last = min(stamps), max(stamps)
    return Memory(
        id=id,
        content=values["content"],
        tags=tuple(values.get("tags") or ()),
        metadata=values.get("metadata") or {},
        state=values.get("state", "active"),
        deleted=values.get("deleted", False),
        occurred_at=values.get("occurred_at"),
        expires_at=values.get("expires_at"),
        privacy=values.get("privacy", "synced"),
        source=values.get("source"),
        thread=values.get("thread"),
        speaker=values.get("speaker"),
        client=values.get("client", ""),
        supersedes=values.get("supersedes"),
        created_at=values.get("created_at") or iso(stamp_ms(first)),
        updated_at=iso(stamp_ms(last)),
        version=last,
    )
