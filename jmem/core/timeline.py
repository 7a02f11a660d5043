"""What a service answers about time: the memory as of a moment, what changed, what took whose place."""

from __future__ import annotations

from collections.abc import Sequence

from jmem.core import asof, changes, ids, moments, spans
from jmem.core import chain as chains
from jmem.core.actor import Actor
from jmem.core.asked import asks
from jmem.core.filter import Filter
from jmem.core.links import Chain
from jmem.core.model import Memory, parse_time
from jmem.core.paging import Page
from jmem.core.spans import Change
from jmem.core.store import Store


class Timeline:
    """The part of `MemoryService` that is about time; moments are ISO 8601, one later than now counts as now."""

    store: Store
    past: asof.Kept

    def memory_at(self, id: str, actor: Actor, moment: str, *, deleted: bool = False) -> Memory:
        """One memory as it stood at a moment; raises NotFound, also when it was not there then, Ambiguous, Invalid."""
        actor.may(*moments.PAST)
        at = moments.checked_moment(moment)
        with self.store.reader() as conn:
            return asof.memory_at(conn, id, actor, at, deleted=deleted)

    def page_at(
        self, filter: Filter, actor: Actor, moment: str, *, limit: int, cursor: str | None, sort: str, offset: int = 0
    ) -> Page:
        """A page of the list as it stood at a moment; raises Invalid. A cursor goes on at its own page's moment."""
        actor.may(*moments.PAST)
        at = moments.checked_moment(moment if cursor is None else moments.moment_of(cursor, sort))
        with asof.opened(self.store, at, self.past) as past:
            page = asof.page(past, actor.narrow(filter), limit, cursor, sort, offset)
            scope = actor.narrow(Filter())
            return Page(chains.with_successors(past.tables(scope), at, page.memories), page.next_cursor)

    def count_at(self, filter: Filter, actor: Actor, moment: str) -> int:
        """How many memories passed the filter at a moment."""
        actor.may(*moments.PAST)
        with asof.opened(self.store, moments.checked_moment(moment), self.past) as past:
            return asof.count(past, actor.narrow(filter))

    @asks("diff")
    def changes(
        self, actor: Actor, since: str, *, until: str | None = None, id: str | None = None, client: str | None = None,
        limit: int = 100, cursor: str | None = None,
    ) -> tuple[Sequence[Change], str | None]:  # fmt: skip
        """What became of each memory from `since` to `until` (exclusive), newest first; for actors that see everything.

        Raises Invalid, NotFound and Ambiguous (`id`).
        """
        actor.may("everything")
        span = spans.span(parse_time(since, "since"), None if until is None else parse_time(until, "until"))
        with self.store.reader() as conn:
            whole = None if id is None else ids.resolve(conn, id, actor, deleted=True)
            return changes.page(conn, span, limit=limit, cursor=cursor, id=whole, client=client)

    @asks("chain")
    def chain(self, id: str, actor: Actor) -> Chain:
        """Everything that a memory superseded or was superseded by; raises NotFound, Ambiguous."""
        actor.may("read")
        with self.store.reader() as conn:
            return chains.chain(conn, id, actor)
