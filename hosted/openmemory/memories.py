"""Memories as OpenMemory's clients ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import Response

from hosted.api.routing import Call, Routes, answer
from hosted.identity.principal import bearer
from hosted.openmemory import answers
from hosted.openmemory.access import PREFIX, header, program
from hosted.openmemory.asks import (
    CreateAsk,
    FilterAsk,
    IdsAsk,
    MemoriesQuery,
    OpenQuery,
    PageQuery,
    PauseAsk,
    UpdateAsk,
)
from jmem.core.drafts import Draft
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.model import CLIENT_NAME, MAX_BATCH, MAX_LIMIT, Memory, iso
from jmem.core.query import SearchQuery
from jmem.core.wire.common import make_filter

routes = Routes("openmemory", PREFIX, proofs=(bearer, header), any_query=True)
SHOWN = ("active", "paused")
FOUND = 100
"""Hits of a search that are paged through."""
MAX_QUERY = 10_000
_NOBODY = "-"


@routes.route("GET", "/memories/", MemoriesQuery, "List memories", answers={200: answers.Page}, who=program, also=("/memories",))  # fmt: skip
async def list_memories(call: Call, ask: MemoriesQuery) -> Response:
    """Active and paused ones, newest first; with `search_query` the 100 best hits, best first."""
    categories = [name.strip() for name in (ask.categories or "").split(",") if name.strip()]
    apps = None if ask.app_id is None else await _apps(call, [ask.app_id])
    filter = _filter(SHOWN, apps, categories, ask.from_date, ask.to_date)
    return await _page(call, filter, ask.search_query, ask.page, ask.size, ask.sort_direction)


@routes.route("POST", "/memories/filter", FilterAsk, "Find memories", answers={200: answers.Page}, who=program, writes=False,
              also=("/memories/filter/",))  # fmt: skip
async def filter_memories(call: Call, ask: FilterAsk) -> Response:
    """As the list, by several programs and categories; archived ones too where they are asked for."""
    apps = await _apps(call, ask.app_ids) if ask.app_ids else None
    categories = await _categories(call, ask.category_ids) if ask.category_ids else []
    filter = _filter((*SHOWN, "archived") if ask.show_archived else SHOWN, apps, categories, ask.from_date, ask.to_date)
    if ask.category_ids and not categories:
        return answer(_paged([], 0, ask.page, ask.size))
    return await _page(call, filter, ask.search_query, ask.page, ask.size, ask.sort_direction)


@routes.route("GET", "/memories/categories", OpenQuery, "Categories", answers={200: answers.Categories}, who=program,
              also=("/memories/categories/",))  # fmt: skip
async def categories(call: Call, ask: OpenQuery) -> Response:
    """The tags of active and paused memories, the most used first."""
    found = [
        {"id": answers.category_id(tag), "name": tag, "description": "", "created_at": None, "updated_at": None}
        for tag, _ in await call.memories.tags(call.actor, Filter(states=SHOWN))
    ]
    return answer({"categories": found, "total": len(found)})


@routes.route("POST", "/memories/", CreateAsk, "Add a memory", answers={200: answers.Saved}, problems=(413,), who=program,
              also=("/memories",))  # fmt: skip
async def create(call: Call, ask: CreateAsk) -> Response:
    """With `infer`, the first of the memories that the text was split into, where this backend has a model."""
    name = (ask.app or ask.app_name or "").strip().lower()
    client = name if call.actor.unrestricted and CLIENT_NAME.fullmatch(name) else None
    draft = Draft(ask.text, metadata=ask.metadata or {}, client=client)
    if ask.infer:
        found = (await call.memories.remember(draft, call.actor)).memories
        memory = found[0][0] if found else None
    else:
        memory = (await call.memories.add(draft, call.actor, similar=False)).memory
    if memory is None:
        raise Invalid("there is nothing to remember in this text", code="empty", field="text")
    return answer(answers.saved(memory, call.principal.user_id))


@routes.route("DELETE", "/memories/", IdsAsk, "Delete memories", answers={200: answers.Message}, who=program, also=("/memories",))  # fmt: skip
async def delete(call: Call, ask: IdsAsk) -> Response:
    """Those that there are; undo brings them back."""
    deleted = (await call.memories.delete([str(id) for id in ask.memory_ids], call.actor)).deleted
    return _done("deleted", len(deleted))


@routes.route("POST", "/memories/actions/archive", IdsAsk, "Archive memories", answers={200: answers.Message}, problems=(404,),
              who=program)  # fmt: skip
async def archive(call: Call, ask: IdsAsk) -> Response:
    """They are kept, and neither listed nor found."""
    return _done("archived", await _change(call, [str(id) for id in ask.memory_ids], "archived"))


@routes.route("POST", "/memories/actions/pause", PauseAsk, "Pause memories", answers={200: answers.Message}, problems=(404,),
              who=program)  # fmt: skip
async def pause(call: Call, ask: PauseAsk) -> Response:
    """Sets the state, `paused` by default, of these memories, or of all of a program, of some categories, or at all."""
    state = ask.state or "paused"
    filter: Filter | None = None
    if ask.global_pause:
        filter = _filter(_others(state), None, [], None, None)
    elif ask.app_id is not None:
        filter = _filter(_others(state), await _apps(call, [ask.app_id]), [], None, None)
    elif not ask.memory_ids and ask.category_ids:
        named = await _categories(call, ask.category_ids)
        filter = _filter(_others(state), None, named, None, None) if named else None
    if filter is None:
        return _done("paused", await _change(call, [str(id) for id in ask.memory_ids or ()], state))
    count = 0
    while found := (await call.memories.list(filter, call.actor, limit=MAX_LIMIT)).memories:
        count += await _change(call, [memory.id for memory in found], state)
    return _done("paused", count)


@routes.route("GET", "/memories/{memory_id}", OpenQuery, "Read a memory", answers={200: answers.Whole}, problems=(404, 409),
              who=program, also=("/memories/{memory_id}/",))  # fmt: skip
async def get(call: Call, ask: OpenQuery) -> Response:
    """By its id."""
    memory = await call.memories.get(call.params["memory_id"], call.actor)
    return answer({**answers.item(memory), "text": memory.content})


@routes.route("PUT", "/memories/{memory_id}", UpdateAsk, "Change a memory", answers={200: answers.Saved}, problems=(404, 409, 413),
              who=program, also=("/memories/{memory_id}/",))  # fmt: skip
async def update(call: Call, ask: UpdateAsk) -> Response:
    """Its text."""
    edited = await call.memories.edit(call.params["memory_id"], {"content": ask.memory_content}, call.actor)
    return answer(answers.saved(edited.memory, call.principal.user_id))


@routes.route("GET", "/memories/{memory_id}/access-log", PageQuery, "Who got a memory", answers={200: answers.AccessLog},
              problems=(404, 409), who=program, also=("/memories/{memory_id}/access-log/",))  # fmt: skip
async def access_log(call: Call, ask: PageQuery) -> Response:
    """Newest first, of the newest 1,000; for a key without restriction."""
    whole = (await call.memories.get(call.params["memory_id"], call.actor)).id
    found = await call.memories.accesses(call.actor, id=whole, limit=MAX_LIMIT)
    logs = [
        {"id": str(one.id), "memory_id": whole, "app_id": answers.app_id(one.client), "app_name": one.client,
         "accessed_at": one.at, "access_type": one.what}
        for one in _slice(found, ask.page, ask.page_size)
    ]  # fmt: skip
    return answer({"total": len(found), "page": ask.page, "page_size": ask.page_size, "logs": logs})


@routes.route("GET", "/memories/{memory_id}/related", OpenQuery, "Related memories", answers={200: answers.Page},
              problems=(404, 409), who=program, also=("/memories/{memory_id}/related/",))  # fmt: skip
async def related(call: Call, ask: OpenQuery) -> Response:
    """The five that are found by its text."""
    memory = await call.memories.get(call.params["memory_id"], call.actor)
    query = SearchQuery(memory.content[:MAX_QUERY], 6, Filter(states=SHOWN))
    hits = [hit.memory for hit in (await call.memories.search(query, call.actor, keep_query=False)).hits]
    others = [hit for hit in hits if hit.id != memory.id][:5]
    return answer(_paged(others, len(others), 1, 5))


# ---- inside -----------------------------------------------------------------------------------


async def _page(call: Call, filter: Filter, query: str | None, page: int, size: int, direction: str | None) -> Response:
    if query and query.strip():
        outcome = await call.memories.search(SearchQuery(query[:MAX_QUERY], FOUND, filter), call.actor)
        hits = [hit.memory for hit in outcome.hits]
        return answer(_paged(_slice(hits, page, size), len(hits), page, size))
    sort = "created" if (direction or "").lower() == "asc" else "-created"
    total = await call.memories.count(filter, call.actor)
    found = await call.memories.list(filter, call.actor, limit=size, sort=sort, offset=(page - 1) * size)
    return answer(_paged(found.memories, total, page, size))


def _paged(memories: Iterable[Memory], total: int, page: int, size: int) -> dict[str, Any]:
    return {
        **answers.fitting("items", memories),
        "total": total,
        "page": page,
        "size": size,
        "pages": -(-total // size),
    }


def _slice(whole: Sequence[Any], page: int, size: int) -> Sequence[Any]:
    return whole[(page - 1) * size : page * size]


def _filter(
    states: tuple[str, ...], clients: Sequence[str] | None, categories: Sequence[str], since: int | None, until: int | None
) -> Filter:  # fmt: skip
    """Memories with any of the categories. No client where none of those asked for is known: then there is nothing."""
    filter = make_filter(
        tags=tuple(categories) if len(categories) == 1 else (),
        clients=() if clients is None else tuple(clients) or (_NOBODY,), states=states,
        since=None if since is None else iso(since * 1000), until=None if until is None else iso((until + 1) * 1000),
    )  # fmt: skip
    return filter if len(categories) < 2 else replace(filter, visible=tuple(categories))


async def _apps(call: Call, ids: Iterable[UUID]) -> list[str]:
    wanted = {str(id) for id in ids}
    return [name for name in (await call.memories.stats(call.actor))["clients"] if answers.app_id(name) in wanted]


async def _categories(call: Call, ids: Iterable[UUID]) -> list[str]:
    wanted = {str(id) for id in ids}
    tags = await call.memories.tags(call.actor, Filter(states=(*SHOWN, "archived")))
    return [tag for tag, _ in tags if answers.category_id(tag) in wanted]


def _others(state: str) -> tuple[str, ...]:
    """The states of memories that a command for many changes: archived ones stay what they are."""
    return tuple(one for one in SHOWN if one != state)


async def _change(call: Call, ids: Sequence[str], state: str) -> int:
    """Give memories a state, as one action; how many there were. Raises the first refusal when none could be changed."""
    if not ids:
        raise Invalid("nothing was given", code="empty", field="memory_ids")
    operations: list[dict[str, Any]] = [
        {"op": "delete", "id": id} if state == "deleted" else {"op": "edit", "id": id, "state": state}
        for id in ids[:MAX_BATCH]
    ]
    results = await call.memories.batch(operations, call.actor)
    refused = [result.error for result in results if result.error is not None]
    if refused and len(refused) == len(results):
        raise refused[0]
    return len(results) - len(refused)


def _done(what: str, count: int) -> Response:
    return answer({"message": f"Successfully {what} {count} memories"})
