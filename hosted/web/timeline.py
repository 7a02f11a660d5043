"""Memories along time, by when things happened."""

from __future__ import annotations

from collections import Counter
from datetime import tzinfo
from functools import partial
from itertools import groupby
from typing import Any

from starlette.responses import Response

from hosted.web import words
from hosted.web.finding import cards_of
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import Invalid
from jmem.core.filter import Filter

pages = Pages(private=True)
PAGE = 60
MONTHS = 24
HEIGHT = 56


@pages.get("/timeline")
async def timeline(visit: Visit) -> Response:
    """Newest day first; months at a glance above."""
    cursor = visit.query.get("cursor") or None
    try:
        page = await visit.memories.list(Filter(), visit.actor, limit=PAGE, cursor=cursor, sort="-occurred")
    except Invalid:
        page = await visit.memories.list(Filter(), visit.actor, limit=PAGE, sort="-occurred")
    by_day = groupby(await cards_of(visit, page.memories), key=partial(_day, zone=visit.zone))
    days = [(words.date(day), day, list(cards)) for day, cards in by_day]
    values: dict[str, Any] = {"days": days, "next": page.next_cursor}
    if visit.live:
        return visit.page("_days.html", **values)
    stats = await visit.memories.stats(visit.actor)
    return visit.page("timeline.html", **values, months=_months(stats["by_day"]), height=HEIGHT)


def _day(card: dict[str, Any], zone: tzinfo) -> str:
    at = words.local(card["m"].occurred_at or card["m"].created_at, zone)
    return at.date().isoformat() if at else ""


def _months(by_day: dict[str, int]) -> list[dict[str, Any]]:
    """The last months with memories, each with a bar's height in pixels."""
    counted: Counter[str] = Counter()
    for day, number in by_day.items():
        counted[day[:7]] += number
    last = sorted(counted)[-MONTHS:]
    most = max((counted[month] for month in last), default=1)
    return [
        {"month": f"{words.date(month + '-01').split(' ', 1)[1]}", "n": counted[month], "x": at * 28,
         "h": max(3, round(HEIGHT * counted[month] / most))}
        for at, month in enumerate(last)
    ]  # fmt: skip
