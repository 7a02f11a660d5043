"""What is searched for, and what is answered: the same on a machine and in the hosted backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jmem.core.filter import Filter
from jmem.core.model import Memory

MODES = ("hybrid", "text", "vector")


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is searched for. `mode`: hybrid, text (words alone) or vector (meaning alone). `as_of`: a moment in the form
    of `model.iso`; the answer is that of then."""

    query: str
    limit: int = 10
    filter: Filter = field(default_factory=Filter)
    mode: str = "hybrid"
    fold: bool = True
    explain: bool = False
    as_of: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory that answers. `score` (0 to 1) compares within one answer; `also` are ids of equal texts."""

    memory: Memory
    score: float
    also: tuple[str, ...] = ()
    explain: dict[str, Any] | None = None
    legs: dict[str, Any] | None = None
    """what the access log keeps: rank and score by words and by meaning, without a word of the query"""


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """`confident` is False when jmem thinks it knows nothing about this; `degraded` says why vectors were not used."""

    query: str
    took_ms: float
    confident: bool
    mode: str
    hits: list[Hit]
    degraded: str | None = None
