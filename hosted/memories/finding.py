"""Which rows a request may find: a filter as one SQL condition, and ids from parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.ops.rows import COLUMNS, IS_MEMORY, memory_of
from jmem.core.actor import Actor
from jmem.core.errors import NotFound
from jmem.core.filter import EVERYTHING, Filter
from jmem.core.idparts import ambiguous, clean, forgotten, reverse_id, unknown, was_deleted
from jmem.core.model import STATES, Memory, is_id

if TYPE_CHECKING:
    import asyncpg

    from hosted.db.engine import Driver

_LOOKED_AT = 50


class Params:
    """The values of a statement, in the order of their numbers."""

    def __init__(self, *first: Any) -> None:
        self.values = list(first)

    def add(self, value: Any) -> str:
        """The placeholder of a value."""
        self.values.append(value)
        return f"${len(self.values)}"


def condition(filter: Filter, now: str, params: Params) -> str:
    """As `Filter.sql`, for Postgres: over the alias `m`, and always of one tenant, whose id is the first parameter."""
    parts = ["m.deleted" if filter.deleted else "NOT m.deleted"]
    add = params.add
    if filter.states and set(filter.states) != set(STATES):
        parts.append(f"m.state = ANY ({add(list(filter.states))}::text[])")
    if filter.lapsed:
        parts.append(f"m.expires_at <= {add(now)}")
    elif not filter.expired:
        parts.append(f"(m.expires_at IS NULL OR m.expires_at > {add(now)})")
    if filter.clients:
        parts.append(f"m.client = ANY ({add(list(filter.clients))}::text[])")
    for column, compare, value in (
        ("m.at", ">=", filter.since), ("m.at", "<", filter.until), ("m.privacy", "=", filter.privacy),
        ("m.thread", "=", filter.thread), ("m.source", "=", filter.source), ("m.version", "<", filter.before),
    ):  # fmt: skip
        if value is not None:
            parts.append(f"{column} {compare} {add(plain(value))}")
    if filter.tags:
        parts.append(f"m.tags @> {add(list(filter.tags))}::text[]")
    return " AND ".join([scope(filter, params), *parts])


def scope(filter: Filter, params: Params) -> str:
    """The part of the condition that says what may be known of at all."""
    parts = ["m.user_id = $1", IS_MEMORY]
    if filter.visible is not None:
        parts.append(f"m.tags && {params.add(list(filter.visible))}::text[]" if filter.visible else "FALSE")
    if filter.waiting_of is not None:
        parts.append(f"(m.state <> 'review' OR m.client = {params.add(filter.waiting_of)})")
    return " AND ".join(parts)


def plain(value: object) -> str:
    """What somebody gave as a text that Postgres takes: no memory has a NUL or half a character anywhere, so that a value
    with one finds nothing."""
    return str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode()


async def resolve(raw: Driver, user_id: UUID, part: str, actor: Actor, *, deleted: bool = False) -> str:
    """The whole id of the one memory that the actor sees and `part` fits; `deleted` ones too, where that is asked.

    Raises Invalid (not a part of an id), NotFound, Ambiguous.
    """
    text = clean(part)
    found = await _search(raw, user_id, text, actor)
    fitting = [record for record in found if deleted or not record["deleted"]]
    if len(fitting) == 1:
        return str(fitting[0]["id"])
    if fitting:
        raise ambiguous(part, [(record["id"], record["begin"]) for record in fitting], actor)
    if found:
        raise was_deleted(found[0]["id"])
    raise await missing(raw, user_id, part)


async def missing(raw: Driver, user_id: UUID, part: str) -> NotFound:
    """The NotFound for an id that fits no memory, saying whether one was forgotten for ever."""
    sql = "SELECT purged FROM jmem.memories WHERE user_id = $1 AND id = $2"
    purged = await raw.fetchval(sql, user_id, part) if is_id(part) else False
    return forgotten(part) if purged else unknown(part)


async def _search(raw: Driver, user_id: UUID, part: str, actor: Actor) -> Sequence[asyncpg.Record]:
    async def select(condition: str, *values: str) -> Sequence[asyncpg.Record]:
        params = Params(user_id, *values)
        where = scope(actor.narrow(EVERYTHING), params)
        return await raw.fetch(
            "SELECT m.id, m.deleted, substr(m.content, 1, 400) AS begin FROM jmem.memories m"
            f" WHERE {condition} AND {where} LIMIT {_LOOKED_AT}",
            *params.values,
        )

    if is_id(part):
        return await select("m.id = $2", part)
    backwards = reverse_id(part)
    either = "((m.id >= $2 AND m.id < $3) OR (m.id_reversed >= $4 AND m.id_reversed < $5))"
    if found := await select(either, part, part + "g", backwards, backwards + "g"):  # "g" sorts after every hex digit
        return found
    return await select("strpos(m.id, $2) > 0" if "-" in part else "strpos(replace(m.id, '-', ''), $2) > 0", part)


async def load(raw: Driver, user_id: UUID, id: str) -> Memory:
    """The memory of a whole id; raises NotFound."""
    sql = f"SELECT {COLUMNS} FROM jmem.memories m WHERE m.user_id = $1 AND m.id = $2 AND {IS_MEMORY}"
    record = await raw.fetchrow(sql, user_id, id)
    if record is None:
        raise await missing(raw, user_id, id)
    return memory_of(record)
