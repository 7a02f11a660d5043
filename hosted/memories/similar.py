"""Memories that resemble one that is added, which only names them: by the few rare words that both have."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories.finding import Params, condition
from hosted.memories.lexical import MATCHING
from jmem.core.actor import Actor
from jmem.core.drafts import Near
from jmem.core.filter import Filter
from jmem.core.model import now_iso
from jmem.core.resemblance import ENOUGH_TERMS, MAX_DOCS, MAX_LOOKED_AT, nearest, needed, telling
from jmem.core.words import words

if TYPE_CHECKING:
    from hosted.db.engine import Driver


async def similar(
    raw: Driver, user_id: UUID, content: str, actor: Actor, *, without: str | None = None
) -> tuple[Near, ...]:
    """At most three visible active memories that share at least half of their words with `content`, best first."""
    mine = words(content)
    terms = telling(mine)
    if not actor.read or not terms:
        return ()
    records = await raw.fetch(MATCHING, [term[:64] for term in terms], 200)
    ids = {id for record in records for id in record["ids"] or ()}
    params = Params(user_id, list(ids))
    where = condition(actor.narrow(Filter()), now_iso(), params)
    sql = f"SELECT m.id, m.content FROM jmem.memories m WHERE m.id = ANY ($2::text[]) AND {where}"
    if len(ids) > MAX_DOCS:  # long texts are read only where they are compared
        sql = sql.replace("m.content", "NULL AS content", 1)
    passing = {row["id"]: row["content"] for row in await raw.fetch(sql, *params.values)} if ids else {}
    chosen = _sharing([[id for id in record["ids"] or () if id in passing] for record in records])
    if len(ids) > MAX_DOCS and chosen:
        params.values[1] = chosen
        rows = await raw.fetch(sql.replace("NULL AS content", "m.content", 1), *params.values)
        passing = {row["id"]: row["content"] for row in rows}
    return nearest(mine, ((id, passing[id]) for id in chosen if id in passing), without)


def _sharing(holding: list[list[str]]) -> list[str]:
    """The ids that hold most of the rare words; where all words are frequent, those that hold all of them."""
    shared: Counter[str] = Counter()
    rare = [ids for ids in holding if 0 < len(ids) <= MAX_DOCS][:ENOUGH_TERMS]
    frequent = [set(ids) for ids in holding if len(ids) > MAX_DOCS]
    for ids in rare:
        shared.update(ids)
    need = needed(len(rare))
    if not shared and len(frequent) > 1:
        shared.update(set.intersection(*frequent))
        need = 1
    return [id for id, held in shared.most_common(MAX_LOOKED_AT) if held >= need]
