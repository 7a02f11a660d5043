"""No text, whatever it is, breaks the way from a question to an answer."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from jmem.core.errors import Invalid
from jmem.core.fusion import Candidate, demote_superseded, fuse
from jmem.core.terms import MAX_TERMS, match_any, query_terms
from jmem.core.timewords import parse_moment

ANY = st.text(st.characters(exclude_categories=()), max_size=200)
SYNTAX = st.lists(st.sampled_from(['"', "*", "NEAR(", "AND", "OR", "NOT", "^", ":", "-", "+", "(", ")", "{text}", "a", "é", "😀", "\0"]), max_size=12).map(" ".join)  # fmt: skip
IDS = [f"id{i}" for i in range(8)]

_db = sqlite3.connect(":memory:", check_same_thread=False)
_db.execute("CREATE VIRTUAL TABLE f USING fts5 (text, context, tokenize = 'porter unicode61')")
_db.execute("INSERT INTO f VALUES ('a b c', 'near and or not')")


@given(ANY | SYNTAX)
def test_terms_are_never_fts_syntax(query: str) -> None:
    terms = query_terms(query)
    assert len(terms) <= MAX_TERMS
    assert len(set(terms)) == len(terms)
    if terms:
        _db.execute("SELECT rowid FROM f WHERE f MATCH ?", (match_any(terms),)).fetchall()


@given(ANY | st.from_regex(r"(last|this|next|\d{1,6}) (day|week|month|year)s?( ago)?", fullmatch=True))
@settings(max_examples=60, deadline=None)
def test_a_moment_is_a_span_or_a_refusal(text: str) -> None:
    try:
        start, end = parse_moment(text, datetime(2026, 11, 22, 12, tzinfo=UTC))
    except Invalid:
        return
    assert start <= end
    assert len(start) == len(end) == 24


@given(st.lists(st.tuples(st.floats(0, 50) | st.none(), st.floats(-1, 1) | st.none()), max_size=8),
       st.dictionaries(st.sampled_from(IDS), st.sampled_from(IDS)))  # fmt: skip
def test_fusion_ranks_every_candidate_once(
    scores: list[tuple[float | None, float | None]], links: dict[str, str]
) -> None:
    candidates = [
        Candidate(number, IDS[number], "2026-01-01T00:00:00.000Z", lexical=lexical, vector=vector)
        for number, (lexical, vector) in enumerate(scores)
    ]
    now = "2026-11-22T00:00:00.000Z"
    ordered = fuse(candidates, "q", now)
    assert sorted(c.id for c in ordered) == [c.id for c in candidates]
    assert [c.total for c in ordered] == sorted((c.total for c in ordered), reverse=True)
    after = demote_superseded(ordered, links)
    place = {c.id: rank for rank, c in enumerate(after)}
    for older, newer in links.items():
        if older in place and newer in place and links.get(newer) is None:
            assert place[newer] < place[older] or older == newer
