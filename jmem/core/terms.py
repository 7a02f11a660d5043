"""From a question to the terms that full-text search is asked for, and how frequent they are.

Every term is a run of letters and digits and goes out in quotes, so that no query, whatever is in it, is
ever read as FTS5 syntax.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from jmem.core.words import WORD

MAX_TERMS = 48
"""Of one query; further words are ignored by the lexical leg (the vector sees the first 4,000 characters)."""
MAX_TERM_CHARS = 64
SCORED_ROWS, MOST_SCORED_ROWS = 2_000, 12_000
"""Rows that bm25 is computed for (2 µs each): terms are taken rarest first up to the first number, the two rarest
ones up to the second. Stores of up to about a thousand memories never reach it."""
COUNTED_ROWS, COUNTED_TERMS = 40_000, 4
"""Further terms that are in no more rows than this only add their weight to what the rare ones found."""
CACHED_TERMS = 20_000
DRIFT = 1.2
"""A term is counted again once the store has grown by this factor."""

_STOP = """
a an the of in on at to for from by with and or is are was were be been do does did has have had what when
where who whom which why how that this these those it its as about i you he she they we his her their my your
s t can could would will should not no so if me us them our am being than then there here any some
"""
STOP_WORDS = frozenset(_STOP.split())


def query_terms(query: str) -> list[str]:
    """The distinct words of a query, lower-case, without stop words unless nothing else is left; at most MAX_TERMS."""
    words = [word[:MAX_TERM_CHARS] for word in WORD.findall(query.lower())]
    content = [word for word in words if word not in STOP_WORDS]
    return list(dict.fromkeys(content or words))[:MAX_TERMS]


def match_any(terms: Iterable[str]) -> str:
    """The FTS5 expression for rows with any of the terms."""
    return " OR ".join(f'"{term}"' for term in terms)


@dataclass(frozen=True, slots=True)
class Weighed:
    """The terms of a query in a store of `rows` full-text rows."""

    scored: tuple[str, ...]
    """what bm25 is computed for, rarest first"""
    counted: tuple[str, ...]
    """too frequent for that: rows that have them as well get their weight"""
    dropped: tuple[str, ...]
    """so frequent that they tell nothing worth the time"""
    frequencies: Mapping[str, int]
    rows: int

    def weight(self, term: str) -> float:
        """bm25's inverse document frequency, which FTS5 never lets fall to zero."""
        n = self.frequencies[term]
        return max(1e-6, log(max(self.rows - n + 0.5, 0.5) / (n + 0.5)))

    @property
    def best_score(self) -> float:
        """What bm25 would give a row that is full of every word of the query, unknown words included."""
        return 2.2 * sum(self.weight(term) for term in self.frequencies)


class Frequencies:
    """In how many rows a term stands, remembered while the store stays about as large. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def weigh(self, conn: sqlite3.Connection, terms: Sequence[str], more: sqlite3.Connection | None = None) -> Weighed:
        """Count the terms, part them by how frequent they are; unknown ones are left out.

        `more` has further full-text rows, in which words may stand that are in none of the store's now.
        """
        rows = conn.execute("SELECT COALESCE(MAX(rowid), 0) FROM memories").fetchone()[0]
        counts = {term: self._count(conn, term, rows) for term in terms}
        if more is not None:
            counts = {term: min(rows, n + _matches(more, term)) for term, n in counts.items()}
        ordered = sorted((term for term in terms if counts[term]), key=lambda term: counts[term])
        scored = 0
        total = 0
        for term in ordered:
            total += counts[term]
            if scored and total > (MOST_SCORED_ROWS if scored == 1 else SCORED_ROWS):
                break
            scored += 1
        rest = ordered[scored:]
        counted = [term for term in rest if counts[term] <= min(COUNTED_ROWS, rows / 2)][:COUNTED_TERMS]
        dropped = tuple(term for term in rest if term not in counted)
        return Weighed(tuple(ordered[:scored]), tuple(counted), dropped, counts, rows)

    def _count(self, conn: sqlite3.Connection, term: str, rows: int) -> int:
        with self._lock:
            held = self._counts.get(term)
            if held is not None and held[1] <= rows <= held[1] * DRIFT:
                self._counts.move_to_end(term)
                return held[0]
        count = _matches(conn, term)
        if count:  # an unknown word may be written any moment
            with self._lock:
                self._counts[term] = (count, rows)
                while len(self._counts) > CACHED_TERMS:
                    self._counts.popitem(last=False)
        return count

    def clear(self) -> None:
        """Forget every term: they may come from a purged memory."""
        with self._lock:
            self._counts.clear()


def _matches(conn: sqlite3.Connection, term: str) -> int:
    found = conn.execute("SELECT COUNT(*) FROM memory_fts WHERE memory_fts MATCH ?", (f'"{term}"',))
    return int(found.fetchone()[0])
