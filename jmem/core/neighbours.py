"""What a service does about memories that say nearly the same: find them, merge two, note that two are not the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jmem.core import distinctions, ids, origins, paging, writes
from jmem.core.actor import Actor
from jmem.core.asked import asks
from jmem.core.chain import as_seen
from jmem.core.edits import check_version
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.model import LEAST_NEAR, Memory
from jmem.core.nearness import Nearness
from jmem.core.pairs import Found, Merged, Pair, checked_least, cursor_at, place_of, same_memory, united
from jmem.core.store import Store, Tx, oplog


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
            (memory,) = as_seen([(conn, actor.narrow(Filter()))], [ids.load(conn, whole)])
        pairs = self.nearness.similar(memory, actor, limit, checked_least(least))
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
        at = None if cursor is None else place_of(cursor)
        step = self.nearness.step(actor, limit, checked_least(least), at)
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
            kept, gone = (ids.load(tx.conn, id) for id in _two(tx, keep, other, actor))
            check_version(gone, expected_other)
            if gone.privacy == "local" and kept.privacy != "local":
                raise Invalid("what is only on this machine would be merged into a memory that is synced",
                              code="privacy_differs", field="keep", fix=f"keep {gone.id}, which is local")  # fmt: skip
            action = oplog.begin_action(tx, actor.client, "merge")
            origins.carry(tx, gone.id, kept.id)  # before what was in it may leave with the other one
            changes = united(kept, gone, content)
            edited = writes.edit(
                tx, action, kept.id, changes, actor, expected, secrets if content is not None else "allow"
            )
            return Merged(edited.memory, writes.delete(tx, action, gone.id, actor))

        merged = self.store.write(run)
        self._log(actor, "merge", [merged.memory])
        return merged


def _two(tx: Tx, a: str, b: str, actor: Actor) -> tuple[str, str]:
    first, second = ids.resolve(tx.conn, a, actor), ids.resolve(tx.conn, b, actor)
    if first == second:
        raise same_memory()
    return first, second
