"""What an account answers about time: what happened, and who was told of it."""

from __future__ import annotations

from collections.abc import Sequence

from hosted.memories import activity, asof, finding, history, linked
from hosted.memories.activity import asks
from hosted.memories.base import Account
from jmem.core import moments, spans
from jmem.core.accesses import Access, Told, Wanted
from jmem.core.actor import Actor
from jmem.core.filter import Filter
from jmem.core.links import Chain
from jmem.core.model import MAX_ANSWER_BYTES, Memory, parse_time
from jmem.core.paging import Page, check_limit
from jmem.core.revisions import History, LogEntry
from jmem.core.spans import Change


class Timeline(Account):
    """The part of `Memories` that looks back."""

    @asks("history")
    async def history(self, id: str, actor: Actor) -> History:
        """Every revision of a memory, deleted ones included; raises NotFound, Ambiguous."""
        actor.may("read", "every_tag")  # an earlier revision may not have had the tag it is visible by now
        async with self._reading() as raw:
            return await history.history(raw, self.user_id, id, actor)

    @asks("log")
    async def log(
        self, actor: Actor, *, limit: int = 50, cursor: str | None = None, id: str | None = None,
        client: str | None = None, since: str | None = None,
    ) -> tuple[Sequence[LogEntry], str | None]:  # fmt: skip
        """Actions, newest first, and the next cursor; for actors with access to everything."""
        actor.may("everything")
        moment = None if since is None else parse_time(since, "since")
        async with self._reading() as raw:
            whole = None if id is None else await finding.resolve(raw, self.user_id, id, actor, deleted=True)
            return await history.log_page(
                raw, self.user_id, limit=limit, cursor=cursor, id=whole, client=client, since=moment
            )

    @asks("access")
    async def accesses(
        self, actor: Actor, *, id: str | None = None, client: str | None = None, what: Sequence[str] = (),
        after: int | None = None, before: int | None = None, limit: int = 100,
    ) -> Sequence[Access]:  # fmt: skip
        """Who asked for what, newest first: of one client, with one memory in the answer, newer or older than one."""
        actor.may("everything")
        check_limit(limit)
        if self._backend.activity is not None:
            await self._backend.activity.flush(self.user_id)
        async with self._reading() as raw:
            whole = None if id is None else await finding.resolve(raw, self.user_id, id, actor, deleted=True)
            return await activity.find(raw, self.user_id, Wanted(client, tuple(what), whole, after, before), limit)

    async def told(
        self, accesses: Sequence[Access], actor: Actor, *, begin: int | None = None, room: int = MAX_ANSWER_BYTES
    ) -> Sequence[Sequence[Told]]:
        """For each answer of the first accesses, the text as it was then, and what has become of it.

        Of as many accesses as fill `room` characters of text, or all. `begin`: how much of each text.
        """
        actor.may("everything")
        async with self._reading() as raw:
            return await activity.told(raw, self.user_id, accesses, room, begin)

    # ---- the past -----------------------------------------------------------------------------

    async def _memory_at(self, id: str, actor: Actor, moment: str, *, deleted: bool) -> Memory:
        actor.may(*moments.PAST)
        at = moments.checked_moment(moment)
        async with self._reading() as raw:
            return await asof.memory_at(raw, self.user_id, id, actor, at, deleted=deleted)

    async def _page_at(
        self, filter: Filter, actor: Actor, moment: str, *, limit: int, cursor: str | None, sort: str, offset: int
    ) -> Page:
        """A page of the list as it stood at a moment; a cursor goes on at its own page's moment."""
        actor.may(*moments.PAST)
        at = moments.checked_moment(moment if cursor is None else moments.moment_of(cursor, sort))
        async with self._reading() as raw:
            wanted, scope = actor.narrow(filter), actor.narrow(Filter())
            return await asof.page(raw, self.user_id, wanted, scope, at, limit, cursor, sort, offset)

    async def _count_at(self, filter: Filter, actor: Actor, moment: str) -> int:
        actor.may(*moments.PAST)
        async with self._reading() as raw:
            return await asof.count(raw, self.user_id, actor.narrow(filter), moments.checked_moment(moment))

    @asks("diff")
    async def changes(
        self, actor: Actor, since: str, *, until: str | None = None, id: str | None = None, client: str | None = None,
        limit: int = 100, cursor: str | None = None,
    ) -> tuple[Sequence[Change], str | None]:  # fmt: skip
        """What became of each memory from `since` to `until` (exclusive), newest first; for actors that see everything.

        Raises Invalid, NotFound and Ambiguous (`id`).
        """
        actor.may("everything")
        span = spans.span(parse_time(since, "since"), None if until is None else parse_time(until, "until"))
        async with self._reading() as raw:
            whole = None if id is None else await finding.resolve(raw, self.user_id, id, actor, deleted=True)
            return await linked.changes(raw, self.user_id, span, limit=limit, cursor=cursor, id=whole, client=client)

    @asks("chain")
    async def chain(self, id: str, actor: Actor) -> Chain:
        """Everything that a memory superseded or was superseded by; raises NotFound, Ambiguous."""
        actor.may("read")
        async with self._reading() as raw:
            return await linked.chain(raw, self.user_id, id, actor)
