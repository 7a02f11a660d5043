"""What a service does about memories that say nearly the same: find them, merge two, note that two are not the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core import distinctions, ids, paging, writes
from jmem.core.actor import Actor
from jmem.core.asked import asks
from jmem.core.errors import Conflict, Invalid
from jmem.core.model import LEAST_NEAR, Memory
from jmem.core.nearness import Nearness, Pair, Place
from jmem.core.store import MEMORY_COLUMNS, Store, Tx, oplog, row_memory

LOWEST = 0.5
"""Below, everything is near to something."""
_CURSOR = "duplicates"


@dataclass(frozen=True, slots=True)
class Found:
    """A page of pairs. `scanned` of `total` memories are done; without a `next_cursor` all of them."""

    pairs: Sequence[Pair]
    scanned: int
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Merged:
    """The memory that stays, and the id of the one that was deleted."""

    memory: Memory
    deleted: str


class Neighbours:
    """The part of `MemoryService` that is about memories that say nearly the same."""

    store: Store
    nearness: Nearness
    _log: Callable[[Actor, str, Sequence[Memory]], None]

    @asks("similar")
    def similar(self, id: str, actor: Actor, *, limit: int = 10, least: float = LEAST_NEAR) -> Sequence[Pair]:
        """The memories nearest to one, which is the `a` of each pair; raises NotFound, Ambiguous, Invalid."""
        actor.may("read")
        paging.check_limit(limit)
        with self.store.reader() as conn:
            whole = ids.resolve(conn, id, actor)
            row = conn.execute(f"SELECT {MEMORY_COLUMNS} FROM memories m WHERE m.id = ?", (whole,)).fetchone()
            if row is None:  # forgotten between the two
                raise ids.missing(conn, id)
        pairs = self.nearness.similar(row_memory(row), actor, limit, _checked(least))
        self._log(actor, "similar", [pair.b for pair in pairs])
        return pairs

    @asks("duplicates")
    def duplicates(
        self, actor: Actor, *, limit: int = 50, least: float = LEAST_NEAR, cursor: str | None = None
    ) -> Found:  # fmt: skip
        """Pairs of near duplicates, as far as one step of the scan comes; for actors that see everything.

        Raises Invalid. A page may be empty and still have a cursor.
        """
        actor.may("everything")
        paging.check_limit(limit)
        at = None
        if cursor is not None:
            created_at, id, given = paging.decode_cursor(cursor, _CURSOR, 3)
            at = Place(str(created_at), str(id), max(int(given), 0) if isinstance(given, int) else 0)
        step = self.nearness.step(actor, limit, _checked(least), at)
        self._log(actor, "duplicates", [memory for pair in step.pairs for memory in (pair.a, pair.b)])
        return Found(step.pairs, step.scanned, step.total, None if step.next is None else cursor_at(step.next))

    @asks("distinct")
    def set_distinct(self, a: str, b: str, actor: Actor, *, distinct: bool = True) -> tuple[str, str]:
        """Note that two memories are no duplicates, until the text of one changes, or take that back; their ids.

        Raises NotFound, Ambiguous, Invalid.
        """
        actor.may("everything")

        def run(tx: Tx) -> tuple[str, str]:
            first, second = _two(tx, a, b, actor)
            if distinct:
                distinctions.note(tx.conn, first, second)
            else:
                distinctions.drop(tx.conn, first, second)
            return first, second

        return self.store.write(run)

    @asks("merge")
    def merge(
        self, keep: str, other: str, actor: Actor, *, content: str | None = None, expected: str | None = None,
        expected_other: str | None = None, secrets: str = "refuse",
    ) -> Merged:  # fmt: skip
        """Make one memory of two, as one action: `keep` gets the tags and metadata of `other` (its own values win) and
        `content`, if given, supersedes it, and `other` is deleted.

        `expected` and `expected_other` are the versions that were read. Raises NotFound, Ambiguous, Conflict `changed`,
        Invalid `privacy_differs`, SecretFound, TooLarge; nothing is changed then.
        """
        actor.may("everything")

        def run(tx: Tx) -> Merged:
            kept, gone = (writes.load(tx, id) for id in _two(tx, keep, other, actor))
            if expected_other is not None and expected_other != gone.version:
                raise Conflict(f"memory {gone.id} was changed since it was read", code="changed", id=gone.id,
                               version=gone.version, fix="read it again, then repeat the change")  # fmt: skip
            if gone.privacy == "local" and kept.privacy != "local":
                raise Invalid("what is only on this machine would be merged into a memory that is synced",
                              code="privacy_differs", field="keep", fix=f"keep {gone.id}, which is local")  # fmt: skip
            action = oplog.begin_action(tx, actor.client, "merge")
            changes = _united(kept, gone, content)
            edited = writes.edit(
                tx, action, kept.id, changes, actor, expected, secrets if content is not None else "allow"
            )
            return Merged(edited.memory, writes.delete(tx, action, gone.id, actor))

        merged = self.store.write(run)
        self._log(actor, "merge", [merged.memory])
        return merged


def cursor_at(place: Place) -> str:
    """The cursor of a page that begins there."""
    return paging.encode_cursor(_CURSOR, place.created_at, place.id, place.given)


def _checked(least: float) -> float:
    if not math.isfinite(least) or not LOWEST <= least <= 1:
        raise Invalid(f"least must be {LOWEST} to 1", field="least")
    return least


def _two(tx: Tx, a: str, b: str, actor: Actor) -> tuple[str, str]:
    first, second = ids.resolve(tx.conn, a, actor), ids.resolve(tx.conn, b, actor)
    if first == second:
        raise Invalid("these are one memory, not two", code="same_memory", fix="name two memories")
    return first, second


def _united(kept: Memory, gone: Memory, content: str | None) -> Mapping[str, Any]:
    changes: dict[str, Any] = {"add_tags": [tag for tag in gone.tags if tag not in kept.tags]}
    if content is not None:
        changes["content"] = content
    if any(name not in kept.metadata for name in gone.metadata):
        changes["metadata"] = {**gone.metadata, **kept.metadata}
    if kept.supersedes is None and gone.supersedes != kept.id:
        changes["supersedes"] = gone.id
    return changes
