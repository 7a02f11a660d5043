"""What the tools do with an account's memories."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hosted.mcp.caller import Caller
from hosted.mcp.connector import FETCH, SEARCH, document, results
from jmem.core.drafts import Draft
from jmem.core.errors import NotFound, Refused
from jmem.core.mcp import arguments, outcomes
from jmem.core.mcp.outcomes import Outcome
from jmem.core.mcp.tools import LIST_LIMIT, SEARCH_LIMIT, Tool, offered
from jmem.core.model import is_id
from jmem.core.query import SearchQuery
from jmem.core.wire.common import make_filter

Run = Callable[[Caller, Any], Awaitable[Outcome]]


class Tools:
    """The tools of one deployment. `public_url` is where its pages are."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")
        self.offered: Mapping[str, Tool] = {**offered(delete_all=False), SEARCH.name: SEARCH, FETCH.name: FETCH}
        self._runs: Mapping[str, Run] = {
            "add_memories": self.add,
            "search_memory": self.search,
            "list_memories": self.list,
            "delete_memories": self.delete,
            SEARCH.name: self.find,
            FETCH.name: self.fetch,
        }

    async def run(self, tool: Tool, caller: Caller, given: dict[str, Any] | None) -> Outcome:
        """Do what a tool is for; raises JmemError for whatever the caller can be told."""
        return await self._runs[tool.name](caller, arguments.parse(tool.takes, given))

    async def add(self, caller: Caller, given: arguments.Add) -> Outcome:
        """Store the text, once; or what a language model makes of it, where that is wanted and one is set up."""
        draft = Draft(content=given.text, tags=tuple(given.tags or ()), thread=caller.thread)
        if given.infer:
            return outcomes.inferred(await caller.memories.remember(draft, caller.actor), caller.actor)
        return outcomes.saved(await caller.memories.add(draft, caller.actor), caller.actor)

    async def search(self, caller: Caller, given: arguments.Search) -> Outcome:
        """The memories that answer the question best."""
        filter = make_filter(tags=given.tags or (), since=given.since, until=given.until)
        query = SearchQuery(query=given.query, limit=given.limit or SEARCH_LIMIT, filter=filter)
        return outcomes.found(await caller.memories.search(query, caller.actor))

    async def list(self, caller: Caller, given: arguments.List) -> Outcome:
        """The newest memories, in pages."""
        filter, limit = make_filter(tags=given.tags or ()), given.limit or LIST_LIMIT
        page = await caller.memories.list(filter, caller.actor, limit=limit, cursor=given.cursor)
        # a shorter page knows where the next one begins, and what it begins after
        while (fitted := outcomes.page(page.memories)).left_out:
            page = await caller.memories.list(filter, caller.actor, limit=len(fitted.items), cursor=given.cursor)
        return outcomes.listed(fitted, page.next_cursor)

    async def delete(self, caller: Caller, given: arguments.Delete) -> Outcome:
        """Delete what the program may delete."""
        wanted, whole = outcomes.wanted_ids(given.memory_ids)
        if not whole:
            self._may_delete(caller)
            return outcomes.gone(wanted, [], self.take_back)
        deleted = (await caller.memories.delete(whole, caller.actor)).deleted
        return outcomes.gone(wanted, deleted, self.take_back)

    async def find(self, caller: Caller, given: arguments.Search) -> Outcome:
        """What `search` finds, as ChatGPT's connectors want it."""
        query = SearchQuery(query=given.query, limit=SEARCH_LIMIT)
        outcome = await caller.memories.search(query, caller.actor)
        return results([hit.memory for hit in outcome.hits], self._address)

    async def fetch(self, caller: Caller, given: Any) -> Outcome:
        """One memory whole, as ChatGPT's connectors want it."""
        id = given.id.strip().lower()
        if not is_id(id):
            raise NotFound(f"no memory has the id {id!r}", id=id, fix="take an id as search gave it")
        return document(await caller.memories.get(id, caller.actor), self._address(id))

    def _may_delete(self, caller: Caller) -> None:
        try:
            caller.actor.may("delete")
        except Refused as error:
            caller.memories.refused(caller.actor, "delete", error)
            raise

    def take_back(self, actions: int) -> str:
        """Where the owner takes changes back."""
        return f"{self._public_url}/timeline"

    def _address(self, id: str) -> str:
        return f"{self._public_url}/memories/{id}"
