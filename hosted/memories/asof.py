"""The memory of an account as it stood at an earlier moment: what the ops stamped up to then add up to.

What no op has changed since stands in the table as it stood then. The others are folded anew from their ops, some at a
time, so that only the page that is asked for is held. What was purged has no ops any more and is missing from every moment.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories import finding, listing
from hosted.memories.listing import SORTS
from hosted.ops import log
from jmem.core import merge
from jmem.core.actor import Actor
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.model import Memory
from jmem.core.moments import bound_of, cursor_kind, newest_of, there
from jmem.core.paging import Page, check_limit, decode_cursor, encode_cursor

if TYPE_CHECKING:
    from hosted.db.engine import Driver

AT_ONCE = 200
"""Changed memories that are folded at a time."""
_CHANGED = (
    "SELECT DISTINCT o.memory_id FROM jmem.ops o WHERE o.user_id = $1 AND o.stamp >= $2 AND o.memory_id > $3"
    " AND EXISTS (SELECT FROM jmem.ops b WHERE b.user_id = $1 AND b.memory_id = o.memory_id AND b.stamp < $2)"
    " AND EXISTS (SELECT FROM jmem.memories m WHERE m.user_id = $1 AND m.id = o.memory_id AND m.version >= $2)"
    " ORDER BY 1 LIMIT $4"
)
_LINKED = "SELECT id FROM jmem.memories WHERE user_id = $1 AND supersedes = $2"
_KEYS = {"created": "created_at", "updated": "updated_at"}


async def changed(raw: Driver, user_id: UUID, bound: str) -> AsyncIterator[Memory]:
    """What was changed since, as it stood then, by id; what was not there then is left out."""
    last = ""
    while True:
        ids = [r["memory_id"] for r in await raw.fetch(_CHANGED, user_id, bound, last, AT_ONCE)]
        for memory in await folded(raw, user_id, ids, bound):
            yield memory
        if len(ids) < AT_ONCE:
            return
        last = ids[-1]


async def folded(raw: Driver, user_id: UUID, ids: Sequence[str], bound: str) -> list[Memory]:
    """What the ops with stamps below `bound` make of these memories; those that had no content are left out."""
    then = await log.folded(raw, user_id, ids, bound)
    found = [merge.memory(id, then[id].registers) for id in ids if id in then]
    return [memory for memory in found if memory is not None]


async def memory_at(
    raw: Driver, user_id: UUID, part: str, actor: Actor, moment: str, *, deleted: bool = False
) -> Memory:
    """One memory as it stood; raises NotFound, also when it was not there yet or was deleted then, Ambiguous."""
    id = await finding.resolve(raw, user_id, part, actor, deleted=True)
    found = await folded(raw, user_id, [id], bound_of(moment))
    then = there(found[0] if found else None, id, moment, deleted=deleted)
    (memory,) = await listing.as_seen(raw, user_id, actor.narrow(Filter()), [then])
    linked = [record["id"] for record in await raw.fetch(_LINKED, user_id, id)]
    newer = await folded(raw, user_id, linked, bound_of(moment))
    return replace(memory, superseded_by=newest_of(newer, id, moment))


async def page(
    raw: Driver, user_id: UUID, filter: Filter, scope: Filter, moment: str, limit: int = 100, cursor: str | None = None,
    sort: str = "-created", offset: int = 0,
) -> Page:  # fmt: skip
    """As `listing.page`, of the past; `scope` is what may be seen at all. Its cursors carry the moment."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    if name not in SORTS:
        raise Invalid(f"sort must be one of {', '.join(SORTS)}, with - for the newest first", field="sort")
    after = None
    if cursor is not None:
        _, value, id = decode_cursor(cursor, cursor_kind(sort), 3)
        after = (finding.plain(value), finding.plain(id))
    wanted = offset + check_limit(limit) + 1
    unchanged = replace(filter, before=bound_of(moment))
    found = await listing.rows(raw, user_id, unchanged, moment, wanted, after, sort)
    newer: dict[str, tuple[str, str]] = {}
    some: list[Memory] = []
    async for memory in changed(raw, user_id, bound_of(moment)):
        if memory.supersedes and scope.passes(memory, moment):
            at = (memory.occurred_at or memory.created_at, memory.id)
            newer[memory.supersedes] = max(newer.get(memory.supersedes, ("", "")), at)
        key = _key(memory, name)
        if filter.passes(memory, moment) and (after is None or (key < after if down else key > after)):
            some.append(memory)
            if len(some) >= 2 * wanted + AT_ONCE:
                some = _best(some, name, down, wanted)
    chosen = _best([*found, *some], name, down, wanted)[offset:]
    shown = await _with_successors(raw, user_id, scope, moment, chosen[:limit], newer)
    if len(chosen) <= limit:
        return Page(shown)
    return Page(shown, encode_cursor(cursor_kind(sort), moment, *_key(shown[-1], name)))


async def count(raw: Driver, user_id: UUID, filter: Filter, moment: str) -> int:
    """How many memories passed the filter then."""
    total = await listing.count(raw, user_id, replace(filter, before=bound_of(moment)), moment)
    async for memory in changed(raw, user_id, bound_of(moment)):
        total += filter.passes(memory, moment)
    return total


async def _with_successors(
    raw: Driver,
    user_id: UUID,
    scope: Filter,
    moment: str,
    memories: Sequence[Memory],
    newer: dict[str, tuple[str, str]],
) -> list[Memory]:
    """`newer`: what superseded which, among what was changed since."""
    held = await listing.successors(raw, user_id, replace(scope, before=bound_of(moment)), moment, memories)
    shown: list[Memory] = []
    for memory in await listing.as_seen(raw, user_id, scope, list(memories)):
        of_it = [one for one in (held.get(memory.id), newer.get(memory.id)) if one is not None]
        shown.append(replace(memory, superseded_by=max(of_it)[1]) if of_it else memory)
    return shown


def _best(memories: Sequence[Memory], name: str, down: bool, most: int) -> list[Memory]:
    choose = heapq.nlargest if down else heapq.nsmallest
    return choose(most, memories, key=lambda memory: _key(memory, name))


def _key(memory: Memory, name: str) -> tuple[str, str]:
    value = memory.occurred_at or memory.created_at if name == "occurred" else getattr(memory, _KEYS[name])
    return value, memory.id
