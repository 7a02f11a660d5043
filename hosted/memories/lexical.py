"""The lexical leg: bm25 over what Postgres' full-text index finds, and over the neighbours in a thread.

Postgres ranks by no inverse frequency, so it is asked which rows have a word and how often, and the score is made here,
as FTS5 makes it on a device. What a memory's neighbours say counts for it by CONTEXT_WEIGHT, as there; the neighbours are
looked up for the best rows when the question comes, so that nothing hidden can be in any context.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.fulltext import TERM
from hosted.memories.finding import Params, condition
from hosted.ops.rows import IS_MEMORY
from jmem.core.filter import Filter
from jmem.core.fusion import Candidate
from jmem.core.model import Memory
from jmem.core.terms import Weighed, query_terms
from jmem.core.texts import CONTEXT_AFTER, CONTEXT_BEFORE

if TYPE_CHECKING:
    from hosted.db.engine import Driver

CONTEXT_WEIGHT = 0.4
TERM_ROWS = 2_000
"""Rows of one word, the newest, that are looked at; rarer words bring all of theirs."""
DEPTH = 300
"""Of the best rows that are read at a time, where nearly every row passes the filter."""
CONTEXT_ROWS = 100
"""The best rows, whose neighbours are looked up."""
_ONCE = 0.0607927
"""What ts_rank gives a word that stands once; twice 1.25 of it, three times 1.36."""
MATCHING = (
    "SELECT f.term, f.total, f.ids, f.ranks, f.lengths FROM jmem.matching(ARRAY(SELECT "
    + TERM.format("u.word")
    + " FROM unnest($1::text[]) WITH ORDINALITY u (word, n) ORDER BY n), $2) f"
)
_ROWS = (
    "SELECT m.id, m.at, m.speaker, m.thread, m.state = 'active' AND m.expires_at IS NULL AS gives"
    " FROM unnest($2::text[]) AS i (id) JOIN jmem.memories m ON m.user_id = $1 AND m.id = i.id WHERE "
)
_PAST = (
    "SELECT q.n::integer, t.id, ts_rank(w.words, q.query), length(w.words)"
    " FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) t (id, content, speaker, occurred, tags)"
    " CROSS JOIN LATERAL (SELECT jmem.words_of(t.content, t.speaker, t.occurred, ARRAY[t.tags]) AS words) w"
    " CROSS JOIN unnest(ARRAY(SELECT "
    + TERM.format("u.word")
    + " FROM unnest($1::text[]) WITH ORDINALITY u (word, n) ORDER BY n)) WITH ORDINALITY q (query, n)"
    " WHERE w.words @@ q.query"
)
_GIVES = f"{IS_MEMORY} AND NOT m.deleted AND m.state = 'active' AND m.expires_at IS NULL"
_SIDE = (
    "(SELECT m.id FROM jmem.memories m WHERE m.user_id = $1 AND m.thread = s.thread AND (m.at, m.id) {sign} (s.at, s.id)"
    " AND " + _GIVES + " ORDER BY m.at {order}, m.id {order} LIMIT {most})"
)
# a memory stands in the context of the one before it and of the two after it
_NEIGHBOURS = (
    "SELECT s.id AS source, n.id FROM unnest($2::text[]) AS i (id) JOIN jmem.memories s ON s.user_id = $1 AND s.id = i.id"
    " CROSS JOIN LATERAL ("
    + _SIDE.format(sign="<", order="DESC", most=CONTEXT_AFTER)
    + " UNION ALL "
    + _SIDE.format(sign=">", order="ASC", most=CONTEXT_BEFORE)
    + ") n"
)


@dataclass(slots=True)
class Row:
    """A memory that passes the filter."""

    candidate: Candidate
    source: bool
    """whether its text counts for its neighbours"""


@dataclass(slots=True)
class Lexical:
    """What the leg found: scores by id, of rows that pass the filter as far as they were read; the words' weights."""

    rows: dict[str, Row] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    weighed: Weighed = field(default_factory=lambda: Weighed((), (), (), {}, 0))

    def best(self, most: int) -> list[Candidate]:
        """The best rows, best first, with their scores and ranks."""
        found = [self.rows[id].candidate for id in islice((id for id in self.order() if id in self.rows), most)]
        for rank, candidate in enumerate(found, 1):
            candidate.lexical, candidate.lexical_rank = self.scores[candidate.id], rank
        return found

    def order(self) -> list[str]:
        """Every id with a score, best first."""
        return sorted(self.scores, key=lambda id: (-self.scores[id], id))


@dataclass(slots=True)
class _Matches:
    """How often each row has each word, and in how many rows each word stands."""

    terms: list[str]
    totals: list[int]
    counts: dict[str, dict[int, float]] = field(default_factory=dict)
    """of each row, by the numbers of the words that it has: of a long question nearly every row has one alone"""
    lengths: dict[str, int] = field(default_factory=dict)
    weights: list[float] = field(default_factory=list)
    mean: float = 1.0

    def score(self, id: str, counts: Mapping[int, float]) -> float:
        """bm25."""
        norm = 1.2 * (0.25 + 0.75 * self.lengths.get(id, self.mean) / self.mean)
        return sum(self.weights[n] * 2.2 * times / (times + norm) for n, times in counts.items())


async def search(
    raw: Driver, user_id: UUID, text: str, filter: Filter, now: str, pool: int, past: Mapping[str, Memory] | None = None
) -> Lexical:
    """Score the rows of a tenant's transaction that have a word of the question; at least `pool` that pass the filter,
    where there are as many, are read. `past`: what was changed since `now` and passed then, in a search as of then."""
    found, terms = Lexical(), query_terms(text)
    matches = await _match(raw, terms)
    plain = replace(filter, expired=True) == Filter(expired=True)
    if not plain:
        found.rows = await _rows(raw, user_id, list(matches.counts), filter, now)
        matches.counts = {id: counts for id, counts in matches.counts.items() if id in found.rows}
    if past:
        await _match_past(raw, found, matches, past)
    if filter.visible is not None:  # how frequent a word is elsewhere would tell what the hidden part has
        having = Counter(n for counts in matches.counts.values() for n in counts)
        matches.totals = [having[n] for n in range(len(terms))]
    found.weighed = await _weigh(raw, user_id, matches, filter, now)
    found.scores = {id: matches.score(id, counts) for id, counts in matches.counts.items()}
    if plain:
        await _read_best(raw, user_id, found, filter, now, pool)
    if filter.visible is None and past is None:
        await _add_context(raw, user_id, found, matches, filter, now)
    return found


async def _match(raw: Driver, terms: list[str]) -> _Matches:
    matches = _Matches(terms, [0] * len(terms))
    for record in await raw.fetch(MATCHING, terms, TERM_ROWS) if terms else ():
        await asyncio.sleep(0)  # others get their turn: a word may bring thousands
        n = record["term"] - 1
        matches.totals[n] = record["total"]
        for id, rank, length in zip(record["ids"] or (), record["ranks"] or (), record["lengths"] or (), strict=True):
            counts = matches.counts.get(id)
            if counts is None:
                counts = matches.counts[id] = {}
                matches.lengths[id] = length
            counts[n] = _times(rank)
    return matches


async def _match_past(raw: Driver, found: Lexical, matches: _Matches, past: Mapping[str, Memory]) -> None:
    """What the words match in texts as they were, which no index has."""
    memories = list(past.values())
    columns = [[m.id for m in memories], [m.content for m in memories], [m.speaker for m in memories],
               [m.occurred_at for m in memories], [" ".join(m.tags) for m in memories]]  # fmt: skip
    for n, id, rank, length in await raw.fetch(_PAST, matches.terms, *columns):
        memory = past[id]
        matches.counts.setdefault(id, {})[n - 1] = _times(rank)
        matches.lengths[id] = length
        matches.totals[n - 1] += 1
        candidate = Candidate(
            0, id, memory.occurred_at or memory.created_at, memory.speaker, int(memory.thread is not None)
        )
        found.rows[id] = Row(candidate, source=False)


async def _weigh(raw: Driver, user_id: UUID, matches: _Matches, filter: Filter, now: str) -> Weighed:
    """Against how many memories there are: all, or those that may be seen."""
    scope = Filter(states=(), visible=filter.visible, waiting_of=filter.waiting_of, expired=True)
    params = Params(user_id)
    sql = f"SELECT count(*) FROM jmem.memories m WHERE {condition(scope, now, params)}"
    stock = int(await raw.fetchval(sql, *params.values))
    totals = dict(zip(matches.terms, matches.totals, strict=True))
    known = sorted((term for term in matches.terms if totals[term]), key=lambda term: totals[term])
    weighed = Weighed(tuple(known), (), (), totals, stock)
    matches.weights = [weighed.weight(term) if totals[term] else 0.0 for term in matches.terms]
    matches.mean = max(1.0, sum(matches.lengths[id] for id in matches.counts) / max(1, len(matches.counts)))
    return weighed


async def _read_best(raw: Driver, user_id: UUID, found: Lexical, filter: Filter, now: str, pool: int) -> None:
    """Read rows from the best on, until enough pass; those that don't have no score."""
    order, step = found.order(), max(DEPTH, pool)
    for start in range(0, len(order), step):
        chunk = order[start : start + step]
        found.rows |= await _rows(raw, user_id, chunk, filter, now)
        for id in chunk:
            if id not in found.rows:
                del found.scores[id]
        if len(found.rows) >= pool:
            return


async def _rows(raw: Driver, user_id: UUID, ids: Sequence[str], filter: Filter, now: str) -> dict[str, Row]:
    if not ids:
        return {}
    params = Params(user_id, list(ids))
    records = await raw.fetch(_ROWS + condition(filter, now, params), *params.values)
    return {record["id"]: _row(record) for record in records}


def _row(record: Any) -> Row:
    threaded = record["thread"] is not None
    candidate = Candidate(0, record["id"], record["at"], record["speaker"], int(threaded))
    return Row(candidate, threaded and record["gives"])


def _times(rank: float) -> float:
    """How often a word stands, from its rank by Postgres; four stands for more."""
    share = rank / _ONCE
    return 1.0 if share < 1.1 else 2.0 if share < 1.3 else 3.0 if share < 1.4 else 4.0


async def _add_context(
    raw: Driver, user_id: UUID, found: Lexical, matches: _Matches, filter: Filter, now: str
) -> None:  # fmt: skip
    """Add what the best rows say to the scores of their neighbours; neighbours without a word of their own come in."""
    sources = [c.id for c in found.best(CONTEXT_ROWS) if found.rows[c.id].source]
    if not sources:
        return
    near = await raw.fetch(_NEIGHBOURS, user_id, sources)
    unknown = {pair["id"] for pair in near} - found.rows.keys()
    found.rows |= await _rows(raw, user_id, list(unknown), filter, now)
    both: dict[str, dict[int, float]] = {}
    for pair in near:
        if pair["id"] in found.rows:
            counts = both.setdefault(pair["id"], dict(matches.counts.get(pair["id"], {})))
            for n, count in matches.counts[pair["source"]].items():
                counts[n] = counts.get(n, 0.0) + CONTEXT_WEIGHT * count
    for id, counts in both.items():
        found.scores[id] = matches.score(id, counts)
