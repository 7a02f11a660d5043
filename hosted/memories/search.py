"""Search of one account: two legs, one ranking, and nothing in the answer that the tenant's rows do not confirm.

The question is embedded while the full-text index is asked; no connection to Postgres is held while others are waited
for. Without a usable embedder or vector index it goes on with words alone and says so (`degraded`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.engine import Database, Driver, driver
from hosted.memories import asof, lexical
from hosted.memories.finding import Params, condition
from hosted.memories.lexical import Lexical
from hosted.memories.listing import with_successors
from hosted.ops.rows import COLUMNS, memory_of
from hosted.vectors.client import Vectors, VectorsUnavailable
from jmem.core import moments
from jmem.core.actor import Actor
from jmem.core.confidence import is_confident
from jmem.core.embed import EmbedderUnavailable
from jmem.core.errors import Invalid, TooLarge
from jmem.core.filter import Filter
from jmem.core.folding import Folded, explained
from jmem.core.fusion import Candidate, demote_superseded, fuse
from jmem.core.model import MAX_CONTENT_BYTES, Memory, now_iso
from jmem.core.query import MODES, Hit, SearchOutcome, SearchQuery

if TYPE_CHECKING:
    from typing import Protocol

    from hosted.vectors.drain import Target

    class Index(Protocol):
        """What search needs of the vector index."""

        vectors: Vectors

        @property
        def serving(self) -> Target | None: ...

        @property
        def reached(self) -> bool: ...

        def moved(self) -> None: ...


LEXICAL_POOL, VECTOR_POOL = 100, 60
"""Candidates of each leg, more for a higher limit."""
MAX_CHANGED = 5_000
"""Changed memories that a search as of a moment looks through, by their words."""
_LINKS = 8
"""Of a chain of superseding memories that are followed."""
_NO_INDEX = "this account has no vector index"
_FILLING = "the vector index is being filled for another embedder"
_NOT_REACHED = "the vector index was not reached yet"
_LINKED = "SELECT EXISTS (SELECT FROM jmem.memories WHERE user_id = $1 AND supersedes IS NOT NULL)"


@dataclass(slots=True)
class _Search:
    """One search under way."""

    user_id: UUID
    text: str
    query: SearchQuery
    filter: Filter
    now: str
    lexical: Lexical = field(default_factory=Lexical)
    pool: dict[str, Candidate] = field(default_factory=dict)
    nearest: list[tuple[str, float]] = field(default_factory=list)
    embedded: bool = False
    degraded: str | None = None
    past: dict[str, Memory] | None = None
    """what was changed since and passed then, in a search as of a moment; None: of now"""

    def explain(self, c: Candidate) -> dict[str, Any]:
        """Why a candidate stands where it stands."""
        return explained(c, self.lexical.weighed.scored)

    def confident(self) -> bool:
        """Whether the answer is likely to be about the question at all."""
        found = self.pool.values()
        words = max((c.lexical or 0.0 for c in found), default=0.0)
        meaning = max((c.vector for c in found if c.vector is not None), default=0.0) if self.embedded else None
        return is_confident(self.lexical.weighed, words, meaning, scoped=self.filter.visible is not None)


class Searcher:
    """Searches the memories of accounts. `index` None: by words alone."""

    def __init__(self, database: Database, index: Index | None) -> None:
        self._database, self._index = database, index

    async def search(self, user_id: UUID, query: SearchQuery, actor: Actor) -> SearchOutcome:
        """The best memories for a question, of what the actor sees.

        Raises Refused, TooLarge, and Invalid for an empty query, an unknown mode or a limit below 1.
        """
        began = time.perf_counter()
        actor.may("read")
        text = _checked(query)
        search = _Search(user_id, text, query, actor.narrow(query.filter), now_iso())
        if query.as_of is not None:
            actor.may(*moments.PAST)
            search.now = moments.checked_moment(query.as_of)
            search.filter = replace(search.filter, before=moments.bound_of(search.now))
        if query.mode == "text":
            async with self._database.tenant(user_id) as conn:
                raw = driver(conn)
                await _lexical_leg(raw, search)
                hits = await _answer(raw, search)
        else:
            await self._legs(search)
            async with self._database.tenant(user_id) as conn:
                hits = await _answer(driver(conn), search)
        took = round((time.perf_counter() - began) * 1000, 2)
        mode = "text" if search.degraded else query.mode
        return SearchOutcome(query.query, took, bool(hits) and search.confident(), mode, hits, search.degraded)

    async def _legs(self, search: _Search) -> None:
        target = None if self._index is None else self._index.serving
        if self._index is None or target is None:
            search.degraded = _NO_INDEX if self._index is None else _FILLING if self._index.reached else _NOT_REACHED
            await self._by_words(search)
            return
        asked = asyncio.create_task(target.embeddings.query(search.user_id, search.text))
        try:
            await self._by_words(search)
            vector = await asked
            among = list(search.pool)
            most = max(VECTOR_POOL, search.query.limit)
            found = await self._index.vectors.search(
                search.user_id, target.collection, vector.tolist(), search.filter, search.now, most, among
            )
        except EmbedderUnavailable as error:
            search.degraded = error.message
        except VectorsUnavailable as error:
            search.degraded = error.message
            if error.missing:
                self._index.moved()
        else:
            search.nearest, search.embedded = found.nearest, True
            for id, score in found.scores.items():
                search.pool[id].vector = score
        finally:
            asked.cancel()
            with contextlib.suppress(asyncio.CancelledError, EmbedderUnavailable):
                await asked
        if search.degraded is not None and search.query.mode == "vector":
            await self._by_words(search)

    async def _by_words(self, search: _Search) -> None:
        if search.query.mode == "vector" and search.degraded is None:
            return
        async with self._database.tenant(search.user_id) as conn:
            await _lexical_leg(driver(conn), search)


def _checked(query: SearchQuery) -> str:
    """The words of the query, without NULs and lone surrogates; raises Invalid, TooLarge."""
    if len(query.query) > MAX_CONTENT_BYTES:  # it is kept in the access log and told in the answer
        raise TooLarge(f"a query has at most {MAX_CONTENT_BYTES:,} characters", field="query", limit=MAX_CONTENT_BYTES)
    text = query.query.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").strip()
    if not text:
        raise Invalid("the query is empty", field="query")
    if query.mode not in MODES:
        raise Invalid(f"mode is one of {', '.join(MODES)}", field="mode")
    if query.limit < 1:
        raise Invalid("limit is 1 or more", field="limit")
    return text


async def _lexical_leg(raw: Driver, search: _Search) -> None:
    size = max(LEXICAL_POOL, search.query.limit)
    if search.query.as_of is not None:
        search.past = await _changed(raw, search)
    search.lexical = await lexical.search(
        raw, search.user_id, search.text, search.filter, search.now, size, search.past
    )
    best = search.lexical.best(size)
    search.pool = {candidate.id: candidate for candidate in best}


async def _changed(raw: Driver, search: _Search) -> dict[str, Memory]:
    """What was changed since the moment of a search and passed its filter then."""
    filter, found = replace(search.filter, before=None), dict[str, Memory]()
    async for memory in asof.changed(raw, search.user_id, moments.bound_of(search.now)):
        if len(found) == MAX_CHANGED:
            search.degraded = "more was changed since then than is looked through"
            break
        if filter.passes(memory, search.now):
            found[memory.id] = memory
    return found


# ---- in the tenant's transaction --------------------------------------------------------------


async def _answer(raw: Driver, search: _Search) -> list[Hit]:
    await _take_nearest(raw, search)
    for number, candidate in enumerate(search.pool.values()):
        candidate.rowid = number
    ordered = fuse(list(search.pool.values()), search.text, search.now)
    if ordered and await raw.fetchval(_LINKED, search.user_id):
        ordered = await _supersede(raw, search, ordered)
    return await _read(raw, search, ordered)


async def _take_nearest(raw: Driver, search: _Search) -> None:
    """What the vector index found becomes a candidate where a row confirms it."""
    unknown = [id for id, _ in search.nearest if id not in search.pool]
    for candidate, _ in await _candidates(raw, search, "m.id", unknown):
        candidate.lexical = search.lexical.scores.get(candidate.id)
        search.pool[candidate.id] = candidate
    for rank, (id, score) in enumerate(search.nearest, 1):
        if id in search.pool:
            search.pool[id].vector, search.pool[id].vector_rank = score, rank


async def _candidates(
    raw: Driver, search: _Search, column: str, keys: Sequence[str]
) -> list[tuple[Candidate, str | None]]:
    """The rows with these keys that pass, and what each supersedes; oldest first."""
    if not keys:
        return []
    params = Params(search.user_id, list(keys))
    records = await raw.fetch(
        "SELECT m.id, m.at, m.speaker, m.thread IS NOT NULL AS threaded, m.supersedes FROM jmem.memories m"
        f" WHERE {column} = ANY ($2::text[]) AND {condition(search.filter, search.now, params)} ORDER BY m.at, m.id",
        *params.values,
    )
    return [(Candidate(0, r["id"], r["at"], r["speaker"], int(r["threaded"])), r["supersedes"]) for r in records]


async def _supersede(raw: Driver, search: _Search, ordered: list[Candidate]) -> list[Candidate]:
    """Put what supersedes a candidate above it; a successor that no leg found becomes a candidate."""
    successors: dict[str, str] = {}
    asked = [candidate.id for candidate in ordered]
    for _ in range(_LINKS):
        added = []
        for candidate, older in await _candidates(raw, search, "m.supersedes", asked):
            successors[str(older)] = candidate.id  # the last one holds
            if candidate.id not in search.pool:
                candidate.total = float("-inf")
                search.pool[candidate.id] = candidate
                added.append(candidate.id)
        asked = added
        if not asked:
            break
    return demote_superseded(list(search.pool.values()), successors) if successors else ordered


async def _read(raw: Driver, search: _Search, ordered: Sequence[Candidate]) -> list[Hit]:
    """The best rows as they are now, equal texts folded into the first of them."""
    folded = Folded(search.query)
    for chunk in folded.chunks(ordered):
        memories = await _memories(raw, search, [candidate.id for candidate in chunk])
        for candidate in chunk:
            folded.take(candidate, memories.get(candidate.id))
    scope = Filter(visible=search.filter.visible, waiting_of=search.filter.waiting_of, before=search.filter.before)
    shown = await with_successors(raw, search.user_id, scope, search.now, folded.memories)
    return folded.hits(shown, search.explain)


async def _memories(raw: Driver, search: _Search, ids: Sequence[str]) -> dict[str, Memory]:
    params = Params(search.user_id, list(ids))
    records = await raw.fetch(
        f"SELECT {COLUMNS} FROM jmem.memories m WHERE m.id = ANY ($2::text[])"
        f" AND {condition(search.filter, search.now, params)}",
        *params.values,
    )
    past = search.past or {}
    return {memory.id: memory for memory in map(memory_of, records)} | {id: past[id] for id in ids if id in past}
