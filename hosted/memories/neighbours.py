"""What an account does about memories that say nearly the same: find them, merge two, note that two are not the same.

Two texts are near by meaning (the cosine of their vectors in the index), or by their words where a vector is missing. No
transaction is open while the index is asked, and what it names is read again by the tenant.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from hosted.memories import similar, writes
from hosted.memories.activity import asks
from hosted.memories.base import Account
from hosted.memories.finding import Params, condition, load, plain, resolve
from hosted.memories.listing import as_seen
from hosted.ops.rows import COLUMNS, memory_of
from hosted.vectors.client import VectorsUnavailable
from jmem.core import pairs as told
from jmem.core.edits import check_version
from jmem.core.filter import Filter
from jmem.core.model import LEAST_NEAR, Memory, now_iso
from jmem.core.paging import check_limit
from jmem.core.pairs import WORDS, Found, Merged, Pair, Place, of_one, pair_of

if TYPE_CHECKING:
    from hosted.db.engine import Driver
    from jmem.core.actor import Actor

SECONDS = 0.7
"""For one step of a scan."""
BLOCK = 32
"""Memories that are compared at once."""
LOOKED_AT = 48
_INDEXED = (
    "SELECT s.id FROM jmem.index_state s JOIN jmem.memories m ON m.user_id = s.user_id AND m.id = s.id"
    " WHERE s.user_id = $1 AND s.model = $2 AND s.id = ANY ($3::text[]) AND s.text_key = m.text_key"
)
_STAMPS = "SELECT id, stamps ->> 'content' AS stamp FROM jmem.memories WHERE user_id = $1 AND id = ANY ($2::text[])"
_NOTED = (
    "SELECT a, b, stamps FROM jmem.distinctions WHERE user_id = $1 AND a = ANY ($2::text[]) AND b = ANY ($2::text[])"
)
_NOTE = (
    "INSERT INTO jmem.distinctions (user_id, a, b, stamps) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (user_id, a, b) DO UPDATE SET stamps = excluded.stamps"
)
_DROP = "DELETE FROM jmem.distinctions WHERE user_id = $1 AND a = $2 AND b = $3"
Scores = dict[str, tuple[float, str]]
"""id -> how near, and by what"""


class Neighbours(Account):
    """The part of `Memories` that is about memories that say nearly the same."""

    @asks("similar")
    async def similar(self, id: str, actor: Actor, *, limit: int = 10, least: float = LEAST_NEAR) -> Sequence[Pair]:
        """The memories nearest to one, which is the `a` of each pair; raises NotFound, Ambiguous, Invalid."""
        actor.may("read")
        check_limit(limit)
        least = told.checked_least(least)
        async with self._reading() as raw:
            found = await load(raw, self.user_id, await resolve(raw, self.user_id, id, actor))
            (memory,) = await as_seen(raw, self.user_id, actor.narrow(Filter()), [found])
        near = await self._near([memory], actor, limit + 1, least)
        async with self._reading() as raw:
            scores = near.get(memory.id)
            if scores is None:
                scores = await _by_words(raw, self.user_id, memory, actor, least)
            memories = await _memories(raw, self.user_id, list(scores), actor)
            distinct = await _distinct(raw, self.user_id, {memory.id, *scores})
        place = Place(memory.created_at, memory.id)
        pairs = [
            pair_of(*scores[other.id], memory, other, place)
            for other in memories.values()
            if frozenset((memory.id, other.id)) not in distinct
        ]
        pairs = sorted(pairs, key=lambda pair: (-pair.score, pair.b.id))[:limit]
        self._log(actor, "similar", [pair.b for pair in pairs])
        return pairs

    @asks("duplicates")
    async def duplicates(
        self, actor: Actor, *, limit: int = 50, least: float = LEAST_NEAR, cursor: str | None = None
    ) -> Found:  # fmt: skip
        """Pairs of near duplicates, as far as one step of the scan comes; for actors that see everything.

        Raises Invalid. A page may be empty and still have a cursor.
        """
        actor.may("everything")
        check_limit(limit)
        at = None if cursor is None else told.place_of(cursor)
        found = await self._step(actor, limit, told.checked_least(least), at)
        self._log(actor, "duplicates", [memory for pair in found.pairs for memory in (pair.a, pair.b)])
        return found

    @asks("distinct")
    async def set_distinct(self, a: str, b: str, actor: Actor, *, distinct: bool = True) -> tuple[str, str]:
        """Note that two memories are no duplicates, until the text of one changes, or take that back; their ids.

        Raises NotFound, Ambiguous, Invalid.
        """
        actor.may("everything")
        async with self._reading() as raw:
            two = await _two(raw, self.user_id, a, b, actor)
            first, second = sorted(two)
            if distinct:
                stamps = {r["id"]: r["stamp"] for r in await raw.fetch(_STAMPS, self.user_id, [first, second])}
                await raw.execute(_NOTE, self.user_id, first, second, f"{stamps[first]} {stamps[second]}")
            else:
                await raw.execute(_DROP, self.user_id, first, second)
        return two

    @asks("merge")
    async def merge(
        self, keep: str, other: str, actor: Actor, *, content: str | None = None, expected: str | None = None,
        expected_other: str | None = None, secrets: str = "refuse",
    ) -> Merged:  # fmt: skip
        """Make one memory of two, as one action: `keep` gets the tags and metadata of `other` (its own values win) and
        `content`, if given, supersedes it, and `other` is deleted.

        `expected` and `expected_other` are the versions that were read. Raises NotFound, Ambiguous, Conflict `changed`,
        Invalid, SecretFound, TooLarge; nothing is changed then.
        """
        actor.may("everything")
        async with self._writing() as writer:
            kept, gone = [
                await load(writer.raw, self.user_id, id)
                for id in await _two(writer.raw, self.user_id, keep, other, actor)
            ]
            check_version(gone, expected_other)
            action = writer.begin(actor.client, "merge")
            changes = told.united(kept, gone, content)
            screen = secrets if content is not None else "allow"
            edited = await writes.edit(writer, action, kept.id, changes, actor, expected, screen)
            merged = Merged(edited.memory, await writes.delete(writer, action, gone.id, actor))
        self._log(actor, "merge", [merged.memory])
        return merged

    # ---- inside -------------------------------------------------------------------------------

    async def _step(self, actor: Actor, limit: int, least: float, at: Place | None) -> Found:
        deadline = time.monotonic() + SECONDS
        pairs: list[Pair] = []
        skip = 0 if at is None else at.given
        while True:
            block, total, scanned = await self._block(actor, at)
            found = await self._pairs(block[:BLOCK], actor, least)
            pairs += found[min(skip, sum(pair.a.id == block[0].id for pair in found)) if block else 0 :]
            skip = 0
            if len(pairs) > limit:
                place = pairs[limit].place
                done = scanned + next(n for n, one in enumerate(block) if one.id == place.id)
                return Found(pairs[:limit], done, total, told.cursor_at(place))
            if len(block) <= BLOCK:
                return Found(pairs, total, total, None)
            at = Place(block[BLOCK].created_at, block[BLOCK].id)
            if time.monotonic() > deadline:
                return Found(pairs, scanned + BLOCK, total, told.cursor_at(at))

    async def _block(self, actor: Actor, at: Place | None) -> tuple[list[Memory], int, int]:
        """The next memories, newest first, and the one after them; how many there are, and how many are newer."""
        params = Params(self.user_id)
        where = condition(actor.narrow(Filter()), now_iso(), params)
        place = "true"
        if at is not None:
            bound = (params.add(plain(one)) for one in (at.created_at, at.id))
            place = f"(m.created_at, m.id) <= ({next(bound)}, {next(bound)})"
        async with self._reading() as raw:
            rows = await raw.fetch(
                f"SELECT {COLUMNS} FROM jmem.memories m WHERE {where} AND {place}"
                f" ORDER BY m.created_at DESC, m.id DESC LIMIT {BLOCK + 1}",
                *params.values,
            )
            counts = await raw.fetchrow(
                f"SELECT count(*), count(*) FILTER (WHERE NOT {place}) FROM jmem.memories m WHERE {where}",
                *params.values,
            )
        assert counts is not None
        return [memory_of(row) for row in rows], counts[0], counts[1]

    async def _pairs(self, block: Sequence[Memory], actor: Actor, least: float) -> list[Pair]:
        """The pairs of some memories with older ones, in their order."""
        near = await self._near(block, actor, LOOKED_AT, least)
        async with self._reading() as raw:
            for memory in block:
                if memory.id not in near:
                    near[memory.id] = await _by_words(raw, self.user_id, memory, actor, least)
            wanted = {id for scores in near.values() for id in scores}
            memories = await _memories(raw, self.user_id, list(wanted), actor)
            distinct = await _distinct(raw, self.user_id, wanted | near.keys())
        pairs: list[Pair] = []
        for memory in block:
            older = {
                id: score for id, score in near[memory.id].items() if id in memories and _older(memories[id], memory)
            }
            pairs += of_one(memory, older, memories, distinct)
        return pairs

    async def _near(self, block: Sequence[Memory], actor: Actor, most: int, least: float) -> dict[str, Scores]:
        """What is near by meaning to each of these that has a vector of its text as it is now."""
        index = self._backend.index
        target = None if index is None else index.serving
        if index is None or target is None or not block:
            return {}
        async with self._reading() as raw:
            found = await raw.fetch(_INDEXED, self.user_id, target.model, [memory.id for memory in block])
        filter = actor.narrow(Filter())
        try:
            near = await index.vectors.near(
                self.user_id, target.collection, [record["id"] for record in found], filter, now_iso(), most
            )
        except VectorsUnavailable:
            return {}
        return {
            id: {other: (round(min(score, 1.0), 4), "meaning") for other, score in scores if score >= least}
            for id, scores in near.items()
        }


def _older(memory: Memory, than: Memory) -> bool:
    return (memory.created_at, memory.id) < (than.created_at, than.id)


async def _by_words(raw: Driver, user_id: UUID, memory: Memory, actor: Actor, least: float) -> Scores:
    near = await similar.similar(raw, user_id, memory.content, actor, without=memory.id)
    return {one.id: (one.score, "words") for one in near if one.score >= least * WORDS}


async def _memories(raw: Driver, user_id: UUID, ids: Sequence[str], actor: Actor) -> Mapping[str, Memory]:
    """Those of `ids` that are active and may be seen."""
    if not ids:
        return {}
    params = Params(user_id, list(ids))
    visible = actor.narrow(Filter())
    where = condition(visible, now_iso(), params)
    sql = f"SELECT {COLUMNS} FROM jmem.memories m WHERE m.id = ANY ($2::text[]) AND {where}"
    found = [memory_of(record) for record in await raw.fetch(sql, *params.values)]
    return {memory.id: memory for memory in await as_seen(raw, user_id, visible, found)}


async def _distinct(raw: Driver, user_id: UUID, ids: Collection[str]) -> frozenset[frozenset[str]]:
    """The pairs among `ids` that are noted as no duplicates, while their texts are what they were."""
    noted = await raw.fetch(_NOTED, user_id, list(ids))
    named = {id for record in noted for id in (record["a"], record["b"])}
    stamps = {r["id"]: r["stamp"] for r in await raw.fetch(_STAMPS, user_id, list(named))} if named else {}
    return frozenset(
        frozenset((r["a"], r["b"])) for r in noted if f"{stamps.get(r['a'])} {stamps.get(r['b'])}" == r["stamps"]
    )


async def _two(raw: Driver, user_id: UUID, a: str, b: str, actor: Actor) -> tuple[str, str]:
    first, second = await resolve(raw, user_id, a, actor), await resolve(raw, user_id, b, actor)
    if first == second:
        raise told.same_memory()
    return first, second
