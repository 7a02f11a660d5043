"""What the tools do with a memory on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from daemon.mcp.caller import Caller
from jmem.core.asked import asked
from jmem.core.drafts import Draft
from jmem.core.filter import Filter
from jmem.core.mcp import arguments, outcomes
from jmem.core.mcp.outcomes import Outcome
from jmem.core.mcp.tools import LIST_LIMIT, SEARCH_LIMIT
from jmem.core.model import MAX_BATCH
from jmem.core.query import SearchQuery
from jmem.core.remember import remember
from jmem.core.wire.common import make_filter


def add(caller: Caller, given: arguments.Add) -> Outcome:
    """Store the text, once; or what a language model makes of it, where that is wanted and one is set up."""
    draft = Draft(content=given.text, tags=tuple(given.tags or ()), thread=caller.thread)
    if given.infer:
        done = remember(caller.user.service, caller.user.extractor, draft, caller.actor)
        return outcomes.inferred(done, caller.actor)
    return outcomes.saved(caller.user.service.add(draft, caller.actor), caller.actor)


def search(caller: Caller, given: arguments.Search) -> Outcome:
    """The memories that answer the question best."""
    filter = make_filter(tags=given.tags or (), since=given.since, until=given.until)
    query = SearchQuery(query=given.query, limit=given.limit or SEARCH_LIMIT, filter=filter)
    outcome = caller.user.service.search(query, caller.actor)
    if caller.searches is not None:
        caller.searches.add((outcome.mode,), outcome.took_ms / 1000)
    return outcomes.found(outcome)


def list_(caller: Caller, given: arguments.List) -> Outcome:
    """The newest memories, in pages."""
    service = caller.user.service
    filter = make_filter(tags=given.tags or ())
    limit = given.limit or LIST_LIMIT
    page = service.list(filter, caller.actor, limit=limit, cursor=given.cursor)
    # a shorter page knows where the next one begins, and what it begins after
    while (fitted := outcomes.page(page.memories)).left_out:
        page = service.list(filter, caller.actor, limit=len(fitted.items), cursor=given.cursor)
    return outcomes.listed(fitted, page.next_cursor)


def delete(caller: Caller, given: arguments.Delete) -> Outcome:
    """Delete what the client may delete."""
    wanted, whole = outcomes.wanted_ids(given.memory_ids)
    deleted: list[str] = []
    if whole:
        deleted = caller.user.service.delete(whole, caller.actor).deleted
    else:
        with asked(caller.user.service.access, caller.actor, "delete"):
            caller.actor.may("delete")
    return outcomes.gone(wanted, deleted, take_back)


def delete_all(caller: Caller, given: arguments.DeleteAll) -> Outcome:
    """Delete every memory that the client can see."""
    service = caller.user.service
    with asked(service.access, caller.actor, "delete"):
        caller.actor.may("read", "delete")
    mine = caller.actor.review  # it may delete nothing but what it wrote and still waits
    everything = Filter(states=("review",), clients=(caller.client,)) if mine else Filter(states=())
    everything = replace(everything, expired=True)
    deleted: list[str] = []
    actions = 0
    while page := service.list(everything, caller.actor, limit=MAX_BATCH).memories:
        gone = service.delete([memory.id for memory in page], caller.actor).deleted
        if not gone:
            break
        deleted += gone
        actions += 1
    return outcomes.all_gone(deleted, actions, caller.actor, take_back)


def take_back(actions: int) -> str:
    """The command that takes back so many actions."""
    return "jmem undo" if actions == 1 else f"jmem undo -n {actions}"


RUNS: Mapping[str, Callable[[Caller, Any], Outcome]] = {
    "add_memories": add,
    "search_memory": search,
    "list_memories": list_,
    "delete_memories": delete,
    "delete_all_memories": delete_all,
}
"""By the tool's name; each blocks, and raises JmemError for whatever the caller can be told."""
