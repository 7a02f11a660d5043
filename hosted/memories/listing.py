"""Lists in pages, and counts. Pages go by the value after which they continue, so that writes don't shift them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.memories.finding import Params, condition, plain, scope
from hosted.ops.rows import COLUMNS, memory_of
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.links import older_ids, unlinked
from jmem.core.model import STATES, Memory
from jmem.core.paging import Page, check_limit, decode_cursor, encode_cursor

if TYPE_CHECKING:
    import asyncpg

    from hosted.db.engine import Driver

# with LIMIT it is looked up by the index, row for row; an EXISTS would first gather whatever supersedes anything
_SUPERSEDED = (
    "(SELECT true FROM jmem.memories s WHERE s.user_id = m.user_id AND s.supersedes = m.id LIMIT 1) AS superseded"
)
SORTS = {"created": "created_at", "updated": "updated_at", "occurred": "at"}


async def page(
    raw: Driver, user_id: UUID, filter: Filter, visible: Filter, now: str, limit: int = 100, cursor: str | None = None,
    sort: str = "-created", offset: int = 0,
) -> Page:  # fmt: skip
    """The next `limit` memories that pass the filter. `sort` is created, updated or occurred, "-" for newest first.

    `superseded_by` is set from what passes `visible`, and `supersedes` names nothing beyond its scope.
    """
    after = None
    if cursor is not None:
        value, id = decode_cursor(cursor, _checked(sort), 2)
        after = (plain(value), plain(id))
    found = await _records(raw, user_id, filter, now, check_limit(limit) + 1, after, sort, offset)
    memories = await as_seen(raw, user_id, visible, [memory_of(record) for record in found[:limit]])
    # most pages hold no such memory, and cost no second question
    old = [memory for memory, record in zip(memories, found, strict=False) if record["superseded"]]
    if newer := await successors(raw, user_id, visible, now, old):
        memories = [_succeeded(memory, newer) for memory in memories]
    if len(found) <= limit:
        return Page(memories)
    return Page(memories, encode_cursor(sort, found[limit - 1][SORTS[sort.removeprefix("-")]], memories[-1].id))


async def rows(
    raw: Driver, user_id: UUID, filter: Filter, now: str, most: int, after: tuple[str, str] | None, sort: str
) -> list[Memory]:
    """The first memories that pass the filter, after a value and an id."""
    return [memory_of(record) for record in await _records(raw, user_id, filter, now, most, after, sort)]


def _checked(sort: str) -> str:
    if sort.removeprefix("-") not in SORTS:
        raise Invalid(f"sort must be one of {', '.join(SORTS)}, with - for the newest first", field="sort")
    return sort


async def _records(
    raw: Driver, user_id: UUID, filter: Filter, now: str, most: int, after: tuple[str, str] | None, sort: str,
    offset: int = 0,
) -> list[asyncpg.Record]:  # fmt: skip
    column, down = SORTS[_checked(sort).removeprefix("-")], sort.startswith("-")
    params = Params(user_id)
    where = condition(filter, now, params)
    if after is not None:
        where += f" AND (m.{column}, m.id) {'<' if down else '>'} ({params.add(after[0])}, {params.add(after[1])})"
    order = "DESC" if down else "ASC"
    # how many is no parameter: a plan for any number of rows would be so poor that Postgres would plan each page anew
    end = f"LIMIT {most:d}" + (f" OFFSET {params.add(offset)}" if offset else "")
    return await raw.fetch(
        f"SELECT {COLUMNS}, m.at, {_SUPERSEDED} FROM jmem.memories m WHERE {where}"
        f" ORDER BY m.{column} {order}, m.id {order} {end}",
        *params.values,
    )


async def count(raw: Driver, user_id: UUID, filter: Filter, now: str) -> int:
    """How many memories pass the filter."""
    params = Params(user_id)
    sql = f"SELECT count(*) FROM jmem.memories m WHERE {condition(filter, now, params)}"
    return int(await raw.fetchval(sql, *params.values))


async def tag_counts(raw: Driver, user_id: UUID, filter: Filter, now: str) -> list[tuple[str, int]]:
    """(tag, number of memories that pass the filter and have it), most used first."""
    params = Params(user_id)
    where = condition(filter, now, params)
    records = await raw.fetch(
        f"SELECT t.tag, count(*) AS n FROM jmem.memories m, unnest(m.tags) AS t (tag) WHERE {where}"
        ' GROUP BY t.tag ORDER BY n DESC, t.tag COLLATE "C"',
        *params.values,
    )
    return [(record["tag"], record["n"]) for record in records]


async def stats(raw: Driver, user_id: UUID, filter: Filter, now: str) -> dict[str, Any]:
    """Counts of what passes the filter: memories, by state, client, privacy and day added, and how many tags."""
    params = Params(user_id)
    where = condition(filter, now, params)
    records = await raw.fetch(
        "SELECT m.client, m.state, m.privacy, substr(m.created_at, 1, 10) AS day, count(*) AS n FROM jmem.memories m"
        f" WHERE {where} GROUP BY 1, 2, 3, 4",
        *params.values,
    )
    states = dict.fromkeys(STATES, 0)
    clients: Counter[str] = Counter()
    days: Counter[str] = Counter()
    privacy = {"local": 0, "synced": 0}
    for client, state, private, day, number in records:
        states[state] += number
        clients[client] += number
        days[day] += number
        privacy[private] += number
    return {
        "memories": sum(states.values()),
        "states": states,
        "clients": dict(sorted(clients.items(), key=lambda entry: (-entry[1], entry[0]))),
        "privacy": privacy,
        "by_day": dict(sorted(days.items())),
        "tags": len(await tag_counts(raw, user_id, filter, now)),
    }


async def with_successors(
    raw: Driver, user_id: UUID, visible: Filter, now: str, memories: Iterable[Memory]
) -> list[Memory]:
    """The memories as `as_seen`, with `superseded_by` set where a live, active memory that may be seen supersedes them."""
    asked = await as_seen(raw, user_id, visible, list(memories))
    newer = await successors(raw, user_id, visible, now, asked)
    return [_succeeded(memory, newer) for memory in asked] if newer else asked


async def as_seen(raw: Driver, user_id: UUID, visible: Filter, memories: list[Memory]) -> list[Memory]:
    """The memories without the ids of what they supersede where that is beyond the scope of `visible`."""
    if not (older := older_ids(memories, visible)):
        return memories
    params = Params(user_id)
    where, ids = scope(visible, params), params.add(older)
    sql = f"SELECT m.id FROM jmem.memories m WHERE {where} AND m.id = ANY ({ids}::text[])"
    seen = {record["id"] for record in await raw.fetch(sql, *params.values)}
    return unlinked(memories, set(older) - seen)


def _succeeded(memory: Memory, newer: Mapping[str, tuple[str, str]]) -> Memory:
    return replace(memory, superseded_by=newer[memory.id][1]) if memory.id in newer else memory


async def successors(
    raw: Driver, user_id: UUID, visible: Filter, now: str, memories: Sequence[Memory]
) -> dict[str, tuple[str, str]]:
    """(time, id) of the newest memory that passes and supersedes one of these, by its id."""
    if not memories:
        return {}
    params = Params(user_id)
    where = condition(visible, now, params)
    ids = params.add([memory.id for memory in memories])
    records = await raw.fetch(
        f"SELECT DISTINCT ON (m.supersedes) m.supersedes, m.at, m.id FROM jmem.memories m WHERE {where}"
        f" AND m.supersedes = ANY ({ids}::text[]) ORDER BY m.supersedes, m.at DESC, m.id DESC",
        *params.values,
    )
    return {record["supersedes"]: (record["at"], record["id"]) for record in records}
