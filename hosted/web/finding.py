"""What a list of memories is asked for: by the address, or by the form whose question no address should hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from hosted.web import words
from hosted.web.site import Form, Visit
from jmem.core.errors import Invalid
from jmem.core.filter import Filter
from jmem.core.model import ACCEPTED, Memory
from jmem.core.query import Hit, SearchQuery
from jmem.core.wire.common import make_filter

PAGE = 30
CHANGED = "jmem-changed"
"""The event that has the list ask anew, with the question and filters it has."""
COUNTS = "jmem-counts"
"""The event that has only the numbers beside the filters asked for anew."""
MOST = 240
"""Hits that a question shows at most, by asking for more."""
MAX_PACKED = 32
"""Parts of what a list is asked for: its filters, and each tag."""
VIEWS = ("active", "paused", "archived", "all", "deleted")
TIMES = {"": None, "day": 1, "week": 7, "month": 30, "year": 365}
SORTS = {
    "-created": "newest first",
    "created": "oldest first",
    "-updated": "changed last",
    "-occurred": "happened last",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question and filters."""

    q: str = ""
    view: str = "active"
    tags: tuple[str, ...] = ()
    client: str = ""
    time: str = ""
    sort: str = "-created"
    cursor: str = ""
    limit: int = PAGE

    @property
    def narrowed(self) -> bool:
        """Whether anything but the plain list is asked for."""
        return bool(self.q or self.tags or self.client or self.time or self.view != "active")

    @property
    def states(self) -> Sequence[str]:
        """The states of the memories that the list is for."""
        return ACCEPTED if self.view in ("all", "deleted") else (self.view,)

    def filter(self) -> Filter:
        """As the services take it; raises Invalid."""
        days = TIMES[self.time]
        since = None if days is None else (datetime.now(UTC) - timedelta(days=days)).isoformat()
        clients = (self.client,) if self.client else ()
        return make_filter(
            tags=self.tags, clients=clients, states=self.states, since=since, deleted=self.view == "deleted"
        )

    def address(self, **changes: Any) -> str:
        """The list's address with these filters; never with the question."""
        query = replace(self, **changes)._query()
        return "/memories" + (f"?{query}" if query else "")

    @property
    def packed(self) -> str:
        """All of it but the cursor as one field of a form, which `unpacked` takes."""
        limit = str(self.limit) if self.limit != PAGE else ""
        return replace(self, cursor="")._query(("q", self.q), ("limit", limit))

    def _query(self, *more: tuple[str, str]) -> str:
        pairs = [("view", self.view if self.view != "active" else ""), *(("tag", tag) for tag in self.tags),
                 ("client", self.client), ("time", self.time), ("sort", self.sort if self.sort != "-created" else ""),
                 ("cursor", self.cursor), *more]  # fmt: skip
        return urlencode([(name, value) for name, value in pairs if value])


def unpacked(field: str) -> Wanted:
    """What a list was asked for, from the field that keeps it; the plain list for what is none."""
    try:
        return wanted(Form(parse_qsl(field, max_num_fields=MAX_PACKED)))
    except ValueError:
        return Wanted()


def wanted(form: Form) -> Wanted:
    """From a form or a query string; what makes no sense there counts as not said."""
    tags = tuple(dict.fromkeys(tag for given in form.all("tag") if (tag := given.strip())))
    limit = form.get("limit")
    return Wanted(
        form.get("q").strip(), _one(form.get("view"), VIEWS, "active"), tags[:16], form.get("client").strip()[:64],
        _one(form.get("time"), tuple(TIMES), ""), _one(form.get("sort"), tuple(SORTS), "-created"), form.get("cursor"),
        min(int(limit), MOST) if limit.isascii() and limit.isdigit() and len(limit) < 5 and int(limit) else PAGE,
    )  # fmt: skip


def _one(value: str, allowed: Sequence[str], otherwise: str) -> str:
    return value if value in allowed else otherwise


@dataclass(frozen=True, slots=True)
class Found:
    """What a list shows."""

    cards: list[dict[str, Any]]
    total: int
    more: str = ""
    """the cursor of the next page"""
    confident: bool = True
    degraded: str = ""
    took_ms: float = 0.0


async def find(visit: Visit, asked: Wanted) -> Found:
    """The page that is asked for. A question about deleted memories is looked for in words, by the list."""
    filter = asked.filter()
    if asked.q and asked.view != "deleted":
        query = SearchQuery(asked.q[:2000], asked.limit, filter, explain=True)
        outcome = await visit.memories.search(
            query, visit.actor, keep_query=False
        )  # nobody needs each key that was typed
        cards = await cards_of(visit, [hit.memory for hit in outcome.hits], outcome.hits)
        return Found(cards, len(cards), "", outcome.confident, outcome.degraded or "", outcome.took_ms)
    try:
        page = await visit.memories.list(filter, visit.actor, limit=PAGE, cursor=asked.cursor or None, sort=asked.sort)
    except Invalid:
        if not asked.cursor:
            raise
        page = await visit.memories.list(filter, visit.actor, limit=PAGE, sort=asked.sort)
    total = await visit.memories.count(filter, visit.actor)
    return Found(await cards_of(visit, page.memories), total, page.next_cursor or "")


async def total(visit: Visit, asked: Wanted) -> int | None:
    """How many there are in a list; None under a question, whose number is that of its hits."""
    return None if asked.q else await visit.memories.count(asked.filter(), visit.actor)


async def cards_of(visit: Visit, memories: Sequence[Memory], hits: Sequence[Hit | None] = ()) -> list[dict[str, Any]]:
    """Memories as lists show them; `hits` is what they are of a question, one each."""
    apart = await visit.memories.written_apart([memory.id for memory in memories if not memory.deleted])
    found = zip(memories, hits or [None] * len(memories), strict=True)
    return [_card(memory, hit, apart=memory.id in apart) for memory, hit in found]


async def card_of(visit: Visit, memory: Memory) -> dict[str, Any]:
    """One memory as lists show it."""
    (card,) = await cards_of(visit, [memory])
    return card


def _card(memory: Memory, hit: Hit | None, *, apart: bool) -> dict[str, Any]:
    why = hit.explain if hit and hit.explain else None
    text = words.short(memory.content)
    return {
        "m": memory, "text": words.marked(text, why["terms"]) if why else text, "long": words.is_long(memory.content),
        "score": hit.score if hit else None, "why": why, "also": len(hit.also) if hit else 0, "apart": apart,
    }  # fmt: skip


async def facets(visit: Visit, asked: Wanted) -> dict[str, Any]:
    """What one may narrow by, with how many there are."""
    stats = await visit.memories.stats(visit.actor)
    tags = await visit.memories.tags(visit.actor)
    shown = [tag for tag in asked.tags if tag not in dict(tags[:24])]
    return {
        "states": stats["states"], "everything": sum(n for s, n in stats["states"].items() if s in ACCEPTED),
        "clients": stats["clients"], "tags": [*((tag, dict(tags).get(tag, 0)) for tag in shown), *tags[:24]],
        "tags_left": max(0, len(tags) - 24), "total": stats["memories"],
    }  # fmt: skip
