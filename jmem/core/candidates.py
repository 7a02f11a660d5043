"""The candidates of one search: what a leg found and a row confirms."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core.asof import Past
from jmem.core.filter import Filter
from jmem.core.fusion import Candidate
from jmem.core.model import Memory
from jmem.core.store import MEMORY_COLUMNS, MEMORY_WIDTH, row_memory

_CANDIDATE = "m.rowid, m.id, m.at, m.speaker, m.thread IS NOT NULL"
"""The first fields of Candidate."""
_AMONG = "IN (SELECT value FROM json_each(?))"
"""One statement for any number of keys, so that it stays prepared."""
_LINKS = 8
"""Of a chain of superseding memories that are followed."""


@dataclass(slots=True)
class Candidates:
    """At most `size` of the lexical leg and what the vector leg adds; all exist and pass `filter` at `now`."""

    filter: Filter
    now: str
    size: int
    past: Past | None = None
    """where what was changed since `now` is looked up, in a search as of then"""
    lexical_count: int = 0
    found: dict[int, Candidate] = field(default_factory=dict)
    _scores: dict[int, float] = field(default_factory=dict)

    def tables(self, conn: sqlite3.Connection) -> list[tuple[sqlite3.Connection, Filter]]:
        """Where the rows are, each with the condition that they have to pass there."""
        return [(conn, self.filter)] if self.past is None else self.past.tables(self.filter)

    def all(self) -> list[Candidate]:
        """Every candidate, of either leg."""
        return list(self.found.values())

    def add(self, candidate: Candidate) -> bool:
        """Take one more candidate; False when it is known."""
        if candidate.rowid in self.found:
            return False
        self.found[candidate.rowid] = candidate
        return True

    def found_lexical(self, conn: sqlite3.Connection, rows: Sequence[tuple[int, float]]) -> None:
        """Take the best `pool` rows that pass the filter as candidates, and remember the scores of all."""
        self._scores = dict(rows)
        self.lexical_count = 0
        for start in range(0, len(rows), self.size):
            chunk = [rowid for rowid, _ in rows[start : start + self.size]]
            passing = self._passing(conn, "rowid", chunk)
            for rowid in chunk:
                candidate = passing.get(rowid)
                if candidate is not None and self.lexical_count < self.size:
                    self.lexical_count += 1
                    candidate.lexical, candidate.lexical_rank = self._scores[rowid], self.lexical_count
                    self.found[rowid] = candidate
            if self.lexical_count == self.size:
                break

    def found_vector(self, conn: sqlite3.Connection, found: Sequence[tuple[str, float]]) -> None:
        """Take what the vector index found and the rows confirm."""
        known = {candidate.id: candidate for candidate in self.found.values()}
        unknown = [id for id, _ in found if id not in known]
        for candidate in self._passing(conn, "id", unknown).values():
            candidate.lexical = self._scores.get(candidate.rowid)
            known[candidate.id] = self.found[candidate.rowid] = candidate
        for rank, (id, score) in enumerate(found, 1):
            if id in known:
                known[id].vector, known[id].vector_rank = score, rank

    def best_lexical(self) -> float:
        """The best score by words; 0 where none was found by words."""
        return max((c.lexical or 0.0 for c in self.found.values()), default=0.0)

    def best_vector(self) -> float:
        """The best cosine; 0 where none was found by meaning."""
        return max((c.vector for c in self.found.values() if c.vector is not None), default=0.0)

    def take_successors(self, conn: sqlite3.Connection, asked: Sequence[str]) -> dict[str, str]:
        """The id of what supersedes each memory, link by link; successors no leg found become candidates."""
        successors: dict[str, str] = {}
        for _ in range(_LINKS):
            if not asked:
                break
            rows = self._rows(conn, f"m.supersedes, {_CANDIDATE}", "supersedes", asked)
            rows.sort(key=lambda row: (row[3], row[2]))  # by time, then id: the last one holds
            added = []
            for older, *fields in rows:
                candidate = Candidate(*fields)
                candidate.total = float("-inf")
                successors[older] = candidate.id
                if self.add(candidate):
                    added.append(candidate.id)
            asked = added
        return successors

    def memories(self, conn: sqlite3.Connection, chosen: Sequence[Candidate]) -> dict[int, Memory]:
        """Their rows as they are now, by rowid; those that no longer pass are absent."""
        rows = self._rows(conn, f"{MEMORY_COLUMNS}, m.rowid", "rowid", [c.rowid for c in chosen])
        return {row[MEMORY_WIDTH]: row_memory(row) for row in rows}

    def texts(self, conn: sqlite3.Connection, chosen: Sequence[Candidate]) -> Mapping[int, tuple[str, str | None]]:
        """(content, speaker) by rowid."""
        then = {} if self.past is None else self.past.rows
        sql = f"SELECT rowid, content, speaker FROM memories WHERE rowid {_AMONG}"
        rows = conn.execute(sql, [json.dumps([c.rowid for c in chosen if c.rowid not in then])])
        found: dict[int, tuple[str, str | None]] = {rowid: (content, speaker) for rowid, content, speaker in rows}
        return found | {c.rowid: (m.content, m.speaker) for c in chosen if (m := then.get(c.rowid)) is not None}

    def _passing(self, conn: sqlite3.Connection, column: str, keys: Sequence[Any]) -> dict[int, Candidate]:
        """The rows with these keys that exist and pass the filter, as candidates by rowid."""
        return {row[0]: Candidate(*row) for row in self._rows(conn, _CANDIDATE, column, keys)} if keys else {}

    def _rows(self, conn: sqlite3.Connection, columns: str, column: str, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for each, filter in self.tables(conn):
            condition, params = filter.sql(self.now)
            sql = f"SELECT {columns} FROM memories m WHERE m.{column} {_AMONG} AND {condition}"
            found += each.execute(sql, [json.dumps(keys), *params])
        return found


def newest(conn: sqlite3.Connection, filter: Filter, now: str, count: int) -> list[Candidate]:
    """Those of the `count` memories written last that pass the filter."""
    condition, params = filter.sql(now)
    last = "SELECT rowid FROM memories ORDER BY rowid DESC LIMIT ?"
    sql = f"SELECT {_CANDIDATE} FROM memories m WHERE m.rowid IN ({last}) AND {condition}"
    return [Candidate(*row) for row in conn.execute(sql, [count, *params])]
