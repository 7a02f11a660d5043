"""Who asked for what and what they were answered, as every log of it holds and tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jmem.core.actor import Actor
from jmem.core.errors import Refused
from jmem.core.model import frozen, milliseconds, now_iso

MAX_ACCESSES = 20_000
"""Of one store that are kept."""
MAX_ANSWERS = 100
"""ids that are logged of one answer"""
READS = ("search", "list", "get")
"""What gives a program memories."""


@frozen
class Answer:
    """A memory in an answer, with its score and its rank and score in each leg of a search (`fusion.legs`)."""

    id: str
    score: float | None = None
    legs: Mapping[str, Any] | None = None
    rank: int = field(default=0, compare=False)
    """its place in the answer, from 1; 0 until it is read from the log"""

    def as_dict(self) -> dict[str, Any]:
        """The shape of an answer in GET /access."""
        return {"id": self.id, "rank": self.rank, "score": self.score, "legs": dict(self.legs) if self.legs else None}


@frozen
class Access:
    """One request: who (client), what (search, list, get, add, …), when, and which memories it got."""

    client: str
    what: str
    answers: Sequence[Answer] = ()
    query: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    at: str = field(default_factory=now_iso)
    id: int = field(default=0, compare=False)
    """its number in the log, rising; 0 until it is read from there"""

    @property
    def count(self) -> int:
        """How many memories it got, also where the log holds only the first of them."""
        return int(self.detail.get("count", len(self.answers)))

    @property
    def refused(self) -> str | None:
        """The code of the error that it was refused with, where it was."""
        return self.detail.get("refused")

    @property
    def review(self) -> bool:
        """Whether what it added had to wait for the owner's review."""
        return bool(self.detail.get("review"))

    def as_dict(self) -> dict[str, Any]:
        """The shape of GET /access."""
        return {
            "id": self.id, "at": self.at, "client": self.client, "what": self.what, "query": self.query, "detail": dict(self.detail),
            "answers": [answer.as_dict() for answer in self.answers],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which accesses: of one client, of some kinds (`what`), with one memory in the answer, newer or older than one."""

    client: str | None = None
    what: Sequence[str] = ()
    memory: str | None = None
    after: int | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A memory of an answer: its text at that moment (None: no longer held), whether it reads differently now, and
    whether it is gone (deleted, forgotten)."""

    content: str | None
    changed: bool
    gone: bool


def told_of(now: tuple[str, bool] | None, texts: Sequence[tuple[str, str]], at: str) -> Told:
    """What an answer of a moment told. `now`: (content, deleted); `texts`: (stamp, content) by stamp."""
    if now is None:
        return Told(None, changed=False, gone=True)
    until = f"{milliseconds(at) + 1:012x}"
    then = next((text for stamp, text in reversed(texts) if stamp < until), now[0])
    return Told(then, changed=then != now[0], gone=now[1])


def refusal(actor: Actor, what: str, error: Refused) -> Access:
    """The record of a refusal: `refused` in its detail is the error's code.

    Neither the query nor an id is kept of it: nothing was answered, so a purge could not find the record again.
    """
    return Access(actor.client, what, detail={"refused": error.code})


def access_of(actor: Actor, what: str, ids: Sequence[str], more: Mapping[str, Any] | None = None) -> Access:
    """The record of what was done with memories: the first ids, and how many there were."""
    detail = {**(more or {}), **({"count": len(ids)} if len(ids) > MAX_ANSWERS else {})}
    return Access(actor.client, what, [Answer(id) for id in ids[:MAX_ANSWERS]], detail=detail)
