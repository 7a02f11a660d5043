"""Pairs of memories that say nearly the same, as scans tell them, and what becomes of two that are merged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmem.core.errors import Invalid
from jmem.core.model import Memory
from jmem.core.paging import decode_cursor, encode_cursor
from jmem.core.words import share, words

WORDS = 0.8
"""By words alone, what a score of 1 by meaning counts as: the same thing in other words shares fewer of them."""
PER_MEMORY = 3
"""Older memories that one is paired with at most."""
LOWEST = 0.5
"""Below, everything is near to something."""
_CURSOR = "duplicates"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan goes on: at the memory that was created then, with so many of its pairs given already."""

    created_at: str
    id: str
    given: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two memories and how near they are, 0 to 1. `same_words`: the share of words they have in common. `by`: meaning,
    or words where one of them has no vector."""

    score: float
    same_words: float
    by: str
    a: Memory
    b: Memory
    place: Place

    def scores(self) -> dict[str, Any]:
        """The shape in which it is told how near they are."""
        return {"score": self.score, "same_words": self.same_words, "by": self.by}


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found: `scanned` of `total` memories are done; `next` is where the scan goes on."""

    pairs: list[Pair]
    scanned: int
    total: int
    next: Place | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of pairs. `scanned` of `total` memories are done; without a `next_cursor` all of them."""

    pairs: Sequence[Pair]
    scanned: int
    total: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Merged:
    """The memory that stays, and the id of the one that was deleted."""

    memory: Memory
    deleted: str


def of_one(
    a: Memory,
    found: Mapping[str, tuple[float, str]],
    memories: Mapping[str, Memory],
    distinct: frozenset[frozenset[str]],
) -> list[Pair]:
    """The pairs of one memory, best first; of equal texts only the nearest in time, so that many make a chain."""
    others = [b for id in found if (b := memories.get(id)) is not None and frozenset((a.id, id)) not in distinct]
    newest_first = sorted(others, key=lambda b: (b.created_at, b.id), reverse=True)
    ordered = sorted(newest_first, key=lambda b: -round(found[b.id][0], 4))
    if ordered and ordered[0].content == a.content:
        ordered = ordered[:1]
    return [
        pair_of(*found[b.id], a, b, Place(a.created_at, a.id, given)) for given, b in enumerate(ordered[:PER_MEMORY])
    ]


def pair_of(score: float, by: str, a: Memory, b: Memory, place: Place) -> Pair:
    """A pair, with the words that both have."""
    mine, theirs = words(a.content), words(b.content)
    both = share(mine, theirs) if mine or theirs else float(a.content == b.content)
    return Pair(round(score, 4), round(both, 3), by, a, b, place)


def cursor_at(place: Place) -> str:
    """The cursor of a page that begins there."""
    return encode_cursor(_CURSOR, place.created_at, place.id, place.given)


def place_of(cursor: str) -> Place:
    """Where the page of a cursor begins; raises Invalid."""
    created_at, id, given = decode_cursor(cursor, _CURSOR, 3)
    return Place(str(created_at), str(id), max(int(given), 0) if isinstance(given, int) else 0)


def checked_least(least: float) -> float:
    """How near two have to be; raises Invalid."""
    if not math.isfinite(least) or not LOWEST <= least <= 1:
        raise Invalid(f"least must be {LOWEST} to 1", field="least")
    return least


def same_memory() -> Invalid:
    """The error for two names of one memory."""
    return Invalid("these are one memory, not two", code="same_memory", fix="name two memories")


def united(kept: Memory, gone: Memory, content: str | None) -> Mapping[str, Any]:
    """What the memory that stays gets: tags and metadata of both, where its own win, and the new text, if any."""
    changes: dict[str, Any] = {"add_tags": [tag for tag in gone.tags if tag not in kept.tags]}
    if content is not None:
        changes["content"] = content
    if any(name not in kept.metadata for name in gone.metadata):
        changes["metadata"] = {**gone.metadata, **kept.metadata}
    if kept.supersedes is None and gone.supersedes != kept.id:
        changes["supersedes"] = gone.id
    return changes
