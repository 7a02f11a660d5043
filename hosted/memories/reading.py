"""What an account answers: single memories, lists, counts, searches, everything at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from hosted.identity import audit
from hosted.memories import finding, listing
from hosted.memories.activity import asks
from hosted.memories.exporting import Export
from hosted.memories.search import Searcher
from hosted.memories.timeline import Timeline
from jmem.core.accesses import MAX_ANSWERS, Access, Answer
from jmem.core.actor import Actor
from jmem.core.errors import Refused
from jmem.core.filter import Filter
from jmem.core.model import Memory, now_iso
from jmem.core.paging import Page
from jmem.core.query import SearchOutcome, SearchQuery


class Reading(Timeline):
    """The part of `Memories` that changes nothing."""

    @asks("get")
    async def get(self, id: str, actor: Actor, *, deleted: bool = False, as_of: str | None = None) -> Memory:
        """A memory by any unique part of its id, as it is or as it was `as_of` a moment; raises NotFound, Ambiguous."""
        actor.may("read")
        if as_of is not None:
            memory = await self._memory_at(id, actor, as_of, deleted=deleted)
            self._log(actor, "get", [memory])
            return memory
        async with self._reading() as raw:
            whole = await finding.resolve(raw, self.user_id, id, actor, deleted=deleted)
            found = [await finding.load(raw, self.user_id, whole)]
            (memory,) = await listing.with_successors(raw, self.user_id, actor.narrow(Filter()), now_iso(), found)
        self._log(actor, "get", [memory])
        return memory

    @asks("list")
    async def list(
        self, filter: Filter, actor: Actor, *, limit: int = 100, cursor: str | None = None, sort: str = "-created",
        offset: int = 0, as_of: str | None = None,
    ) -> Page:  # fmt: skip
        """A page of memories, `as_of` a moment or now. `sort`: created, updated or occurred, "-" for the newest first."""
        actor.may("read")
        if as_of is not None:
            found = await self._page_at(filter, actor, as_of, limit=limit, cursor=cursor, sort=sort, offset=offset)
        else:
            visible = actor.narrow(Filter())
            async with self._reading() as raw:
                found = await listing.page(
                    raw, self.user_id, actor.narrow(filter), visible, now_iso(), limit, cursor, sort, offset
                )
        self._log(actor, "list", found.memories)
        return found

    @asks("count")
    async def count(self, filter: Filter, actor: Actor, *, as_of: str | None = None) -> int:
        """How many memories pass the filter, or passed it `as_of` a moment."""
        actor.may("read")
        if as_of is not None:
            return await self._count_at(filter, actor, as_of)
        async with self._reading() as raw:
            return await listing.count(raw, self.user_id, actor.narrow(filter), now_iso())

    @asks("tags")
    async def tags(self, actor: Actor, filter: Filter | None = None) -> Sequence[tuple[str, int]]:
        """(tag, count) over active memories (or those of `filter`), most used first."""
        actor.may("read")
        async with self._reading() as raw:
            return await listing.tag_counts(raw, self.user_id, actor.narrow(filter or Filter()), now_iso())

    @asks("stats")
    async def stats(self, actor: Actor) -> dict[str, Any]:
        """Counts of memories: all, by state, client, privacy and day; see `listing.stats`."""
        actor.may("read")
        async with self._reading() as raw:
            return await listing.stats(raw, self.user_id, actor.narrow(Filter(states=())), now_iso())

    @asks("search")
    async def search(self, query: SearchQuery, actor: Actor, *, keep_query: bool = True) -> SearchOutcome:
        """The best memories for a query, of what the actor sees.

        Without `keep_query` the access log does not get its words: they are a memory's, and a purge would miss them.
        """
        searcher = self._backend.searcher or Searcher(self._backend.database, None)
        outcome = await searcher.search(self.user_id, query, actor)
        detail: dict[str, Any] = {"mode": outcome.mode, "took_ms": outcome.took_ms, "confident": outcome.confident}
        if query.as_of is not None:
            detail["as_of"] = query.as_of
        answers = [Answer(hit.memory.id, hit.score, hit.legs) for hit in outcome.hits[:MAX_ANSWERS]]
        self.record(Access(actor.client, "search", answers, query.query if keep_query else None, detail))
        return outcome

    async def export(
        self, filter: Filter, actor: Actor, *, format: str = "jsonl", history: bool = True,
        detail: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[str]:  # fmt: skip
        """Lines of a file that `jmem import` takes back ("jsonl"), or of notes ("md"); for actors that see everything."""
        try:
            actor.may("everything")
        except Refused as error:
            self.refused(actor, "export", error)
            raise
        about = dict(detail or {"format": format})
        self.record(Access(actor.client, "export", detail=about))
        async with self._reading() as raw:
            await audit.note_raw(
                raw, self.user_id, "account.exported", client=actor.client, format=about.get("format", format)
            )
        made = Export(self._backend.database, self.user_id, filter, now_iso())
        async for line in made.markdown() if format == "md" else made.jsonl(history=history):
            yield line
