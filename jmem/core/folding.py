"""The best memories of a search, equal texts folded into the first of them; why each stands where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jmem.core.fusion import Candidate, legs, relevance
from jmem.core.model import Memory
from jmem.core.query import Hit, SearchQuery

_LEAST_READ = 16


class Folded:
    """Takes ranked candidates, best first, until it holds as many texts as the query asks for."""

    def __init__(self, query: SearchQuery) -> None:
        self._query = query
        self._best: dict[str, tuple[Candidate, Memory, list[str]]] = {}

    def chunks(self, ordered: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
        """The candidates whose rows have to be read, some at a time; ends once there are enough."""
        size = max(self._query.limit, _LEAST_READ)
        for start in range(0, len(ordered), size):
            if len(self._best) == self._query.limit:
                return
            yield ordered[start : start + size]

    def take(self, candidate: Candidate, memory: Memory | None) -> None:
        """The next one with its row; None: it no longer passes."""
        if memory is None:
            return
        key = " ".join(memory.content.split()).casefold() if self._query.fold else memory.id
        if key in self._best:
            self._best[key][2].append(memory.id)
        elif len(self._best) < self._query.limit:
            self._best[key] = (candidate, memory, [])

    @property
    def memories(self) -> list[Memory]:
        """What is held, best first."""
        return [memory for _, memory, _ in self._best.values()]

    def hits(self, shown: Sequence[Memory], explain: Callable[[Candidate], dict[str, Any]]) -> list[Hit]:
        """The answer; `shown` are `memories` as they are to be told."""
        why = explain if self._query.explain else lambda candidate: None
        return [
            Hit(memory, relevance(c.total), tuple(also), why(c), legs(c))
            for memory, (c, _, also) in zip(shown, self._best.values(), strict=True)
        ]


def explained(c: Candidate, terms: Sequence[str], dropped: Sequence[str] = ()) -> dict[str, Any]:
    """Why a candidate stands where it stands; `terms` of the query counted, `dropped` ones are too common."""
    return {
        "text": {"rank": c.lexical_rank, "score": _short(c.lexical), "z": _short(c.lexical_z)},
        "vector": {"rank": c.vector_rank, "score": _short(c.vector), "z": _short(c.vector_z)},
        "speaker": _short(c.boost),
        "recency": _short(c.recency),
        "superseded_by": c.superseded_by,
        "total": _short(c.total),
        "terms": list(terms),
        "terms_dropped": list(dropped),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
