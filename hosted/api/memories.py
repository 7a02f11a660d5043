"""Memories: add, list, read, change, delete, several at once."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from hosted.api.routing import Call, Routes, answer, page
from jmem.core.errors import NotFound
from jmem.core.model import MAX_BATCH_BYTES
from jmem.core.moments import moment_of
from jmem.core.wire import answers
from jmem.core.wire.asks import BatchAsk, DeleteQuery, EditAsk, ListQuery, MemoryAsk, MemoryQuery
from jmem.core.wire.common import (
    added_dict,
    batch_dict,
    changes_asked,
    draft_asked,
    inferred_dict,
    list_filter,
    past_of,
)

routes = Routes("memories")
_ADDED = answers.MemoryAdded | answers.Inferred


@routes.route("POST", "/memories", MemoryAsk, "Add a memory", answers={201: _ADDED, 200: _ADDED},
              problems=(404, 409, 413))  # fmt: skip
async def add(call: Call, ask: MemoryAsk) -> Response:
    """201 with the stored memory; 200 with `duplicate` when an equal one was there. Nothing is refused for resembling.

    With `infer` the answer lists the memories that the text was split into; when the model fails, the text as it is.
    """
    draft = draft_asked(ask)
    if ask.infer:
        found = inferred_dict(await call.memories.remember(draft, call.actor))
        return answer(found, 201 if any(not memory["duplicate"] for memory in found["memories"]) else 200)
    added = await call.memories.add(draft, call.actor)
    return answer(added_dict(added), 200 if added.duplicate else 201)


@routes.route("GET", "/memories", ListQuery, "List memories", answers={200: answers.Memories})
async def list_memories(call: Call, ask: ListQuery) -> Response:
    """A page; one that would be larger than an answer may be has fewer memories than asked for, and a cursor."""
    filter = list_filter(ask)
    as_of = past_of(ask.as_of)
    if as_of is not None and ask.cursor is not None:  # further pages are of the first one's moment
        as_of = moment_of(ask.cursor, ask.sort)
    then = {} if as_of is None else {"as_of": as_of}

    async def fetch(limit: int) -> tuple[list[dict[str, Any]], str | None]:
        found = await call.memories.list(
            filter, call.actor, limit=limit, cursor=ask.cursor, sort=ask.sort, offset=ask.offset, as_of=as_of
        )
        return [memory.as_dict() for memory in found.memories], found.next_cursor

    total = {"total": await call.memories.count(filter, call.actor, as_of=as_of)} if ask.count else {}
    return await page("memories", fetch, ask.limit, **then, **total)


@routes.route("GET", "/memories/{id}", MemoryQuery, "Read a memory", answers={200: answers.Memory}, problems=(404, 409))
async def get(call: Call, ask: MemoryQuery) -> Response:
    """By its id or any part of it that fits no other; `as_of` a moment, as it stood then."""
    as_of = past_of(ask.as_of)
    memory = (await call.memories.get(call.params["id"], call.actor, as_of=as_of)).as_dict()
    return answer(memory if as_of is None else {**memory, "as_of": as_of})


@routes.route("PATCH", "/memories/{id}", EditAsk, "Change a memory", answers={200: answers.MemoryEdited},
              problems=(404, 409, 413), headers={"If-Match": "the version that was read; 409 `changed` if it is another now"})  # fmt: skip
async def edit(call: Call, ask: EditAsk) -> Response:
    """Only the fields that are given change."""
    version = call.request.headers.get("if-match")
    expected = version.strip().strip('"') if version else None
    edited = await call.memories.edit(
        call.params["id"], changes_asked(ask), call.actor, expected=expected, secrets=ask.secrets
    )
    return answer(edited.memory.as_dict())


@routes.route(
    "DELETE", "/memories/{id}", DeleteQuery, "Delete a memory", answers={200: answers.Deleted}, problems=(404, 409)
)
async def delete(call: Call, ask: DeleteQuery) -> Response:
    """Undo brings it back; with `purge` it is forgotten for ever, and the answer is a receipt of every place."""
    part = call.params["id"]
    if ask.purge:
        purged = await call.memories.purge(part, call.actor)
        return answer({"purged": [{"id": p.id, "receipt": [r.as_dict() for r in p.receipt]} for p in purged]})
    outcome = await call.memories.delete(part, call.actor)
    if outcome.missing:
        raise NotFound(f"no memory has the id {part!r}", id=part, fix="jmem list")
    return answer({"deleted": outcome.deleted, "missing": outcome.missing})


@routes.route("POST", "/memories/batch", BatchAsk, "Several operations as one action", answers={200: answers.BatchResults},
              problems=(413,), body_limit=MAX_BATCH_BYTES)  # fmt: skip
async def batch(call: Call, ask: BatchAsk) -> Response:
    """Each operation stands or falls by itself; one undo takes all of them back.

    Where whole memories would be too large an answer, the last results have their ids only (`truncated`).
    """
    return answer(batch_dict(await call.memories.batch(ask.operations, call.actor)))
