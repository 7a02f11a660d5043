"""The lexical leg: bm25 over what Postgres' full-text index finds, and over the neighbours in a thread.

Postgres ranks by no inverse frequency, so it is asked which rows have a word and how often, and the score is made here,
as FTS5 makes it on a device. What a memory's neighbours say counts for it by CONTEXT_WEIGHT, as there; the neighbours are
looked up for the best rows when the question comes, so that nothing hidden can be in any context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hosted.db.fulltext import TERM
from hosted.memories.finding import Params, condition
from hosted.ops.rows import IS_MEMORY
from jmem.core.filter import Filter
from jmem.core.fusion import Candidate
from jmem.core.terms import Weighed, query_terms
from jmem.core.texts import CONTEXT_AFTER, CONTEXT_BEFORE

if TYPE_CHECKING:
    from hosted.ops.rows import Driver

CONTEXT_WEIGHT = 0.4
TERM_ROWS = 2_000
"""Rows of one word, the newest, that are looked at; rarer words bring all of theirs."""
CONTEXT_ROWS = 100
"""The best rows, whose neighbours are looked up."""
_ONCE = 0.0607927
"""What ts_rank gives a word that stands once; twice 1.25 of it, three times 1.36."""
_MATCHING = (
    "SELECT f.term, f.total, f.ids FROM jmem.matching(ARRAY(SELECT "
    + TERM.format("u.word")
    + " FROM unnest($1::text[]) WITH ORDINALITY u (word, n) ORDER BY n), $2) f"
)
_ROWS = f"""
    WITH q AS MATERIALIZED (SELECT n, {TERM.format("u.word")} AS query FROM unnest($2::text[]) WITH ORDINALITY u (word, n))
    SELECT m.id, m.at, m.speaker, m.thread, m.state = 'active' AND m.expires_at IS NULL AS gives, length(m.words) AS length,
        (SELECT array_agg(ts_rank(m.words, q.query) ORDER BY q.n) FROM q) AS ranks
    FROM unnest($3::text[]) AS i (id) JOIN jmem.memories m ON m.user_id = $1 AND m.id = i.id WHERE """
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
    """A memory, with how often it has each word of the question."""

    candidate: Candidate
    counts: list[float]
    length: int
    source: bool
    """whether its text counts for its neighbours"""


@dataclass(slots=True)
class Lexical:
    """What the leg found: every row that was looked at with its score, and the words with their weights."""

    rows: dict[str, Row] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    weighed: Weighed = field(default_factory=lambda: Weighed((), (), (), {}, 0))

    def best(self, most: int) -> list[Candidate]:
        """The best rows, best first, with their scores and ranks."""
        ids = sorted(self.scores, key=lambda id: (-self.scores[id], id))[:most]
        found = [self.rows[id].candidate for id in ids]
        for rank, candidate in enumerate(found, 1):
            candidate.lexical, candidate.lexical_rank = self.scores[candidate.id], rank
        return found


async def search(raw: Driver, user_id: UUID, text: str, filter: Filter, now: str) -> Lexical:
    """Score the rows of a tenant's transaction that have a word of the question and pass the filter."""
    terms = query_terms(text)
    found = Lexical()
    matches = await raw.fetch(_MATCHING, terms, TERM_ROWS) if terms else []
    totals = {terms[match["term"] - 1]: int(match["total"]) for match in matches}
    ids = {id for match in matches for id in match["ids"] or ()}
    found.rows = await _rows(raw, user_id, terms, list(ids), filter, now)
    if filter.visible is not None:  # how frequent a word is elsewhere would tell what the hidden part has
        totals = {term: sum(1 for row in found.rows.values() if row.counts[n]) for n, term in enumerate(terms)}
    found.weighed = Weighed(
        tuple(sorted((term for term in terms if totals.get(term)), key=lambda term: totals[term])), (), (),
        {term: totals.get(term, 0) for term in terms}, await _stock(raw, user_id, filter, now),
    )  # fmt: skip
    weights = [found.weighed.weight(term) if totals.get(term) else 0.0 for term in terms]
    mean = max(1.0, sum(row.length for row in found.rows.values()) / max(1, len(found.rows)))
    found.scores = {id: _bm25(row.counts, weights, row.length / mean) for id, row in found.rows.items()}
    if filter.visible is None:
        await _add_context(raw, user_id, terms, found, (filter, now), (weights, mean))
    return found


async def _stock(raw: Driver, user_id: UUID, filter: Filter, now: str) -> int:
    """How many memories the words are weighed against: all, or those that may be seen."""
    scope = Filter(states=(), visible=filter.visible, waiting_of=filter.waiting_of, expired=True)
    params = Params(user_id)
    sql = f"SELECT count(*) FROM jmem.memories m WHERE {condition(scope, now, params)}"
    return int(await raw.fetchval(sql, *params.values))


async def _rows(
    raw: Driver, user_id: UUID, terms: Sequence[str], ids: Sequence[str], filter: Filter, now: str
) -> dict[str, Row]:
    if not ids:
        return {}
    params = Params(user_id, list(terms), list(ids))
    records = await raw.fetch(_ROWS + condition(filter, now, params), *params.values)
    return {record["id"]: _row(record) for record in records}


def _row(record: Any) -> Row:
    threaded = record["thread"] is not None
    return Row(
        Candidate(0, record["id"], record["at"], record["speaker"], int(threaded)),
        [_times(rank) for rank in record["ranks"] or ()], record["length"] or 1, threaded and record["gives"],
    )  # fmt: skip


def _times(rank: float) -> float:
    """How often a word stands, from its rank by Postgres; four stands for more."""
    share = rank / _ONCE
    if share < 0.5:
        return 0.0
    return 1.0 if share < 1.1 else 2.0 if share < 1.3 else 3.0 if share < 1.4 else 4.0


def _bm25(counts: Sequence[float], weights: Sequence[float], length: float) -> float:
    norm = 1.2 * (0.25 + 0.75 * length)
    return sum(weight * 2.2 * n / (n + norm) for n, weight in zip(counts, weights, strict=True) if n)


async def _add_context(
    raw: Driver, user_id: UUID, terms: Sequence[str], found: Lexical, passing: tuple[Filter, str],
    scale: tuple[Sequence[float], float],
) -> None:  # fmt: skip
    """Add what the best rows say to the scores of their neighbours; neighbours without a word of their own come in."""
    sources = [c.id for c in found.best(CONTEXT_ROWS) if found.rows[c.id].source]
    if not sources:
        return
    near = await raw.fetch(_NEIGHBOURS, user_id, sources)
    unknown = {pair["id"] for pair in near} - found.rows.keys()
    found.rows |= await _rows(raw, user_id, terms, list(unknown), *passing)
    said: dict[str, list[float]] = {}
    for pair in near:
        if pair["id"] in found.rows:
            counts = said.setdefault(pair["id"], [0.0] * len(terms))
            for n, count in enumerate(found.rows[pair["source"]].counts):
                counts[n] += count
    weights, mean = scale
    for id, counts in said.items():
        row = found.rows[id]
        both = [own + CONTEXT_WEIGHT * other for own, other in zip(row.counts, counts, strict=True)]
        found.scores[id] = _bm25(both, weights, row.length / mean)
