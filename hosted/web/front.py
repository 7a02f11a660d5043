"""What everybody may see: what this is, privacy, help, whether it works, and the static files."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import text
from starlette.responses import RedirectResponse, Response

from hosted.db.engine import DATABASE_FAILURES
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import JmemError

pages = Pages(private=False)
PATIENCE = 3.0
"""Seconds that a part may take to answer before the status page calls it away."""


@pages.get("/")
async def landing(visit: Visit) -> Response:
    """What jmem is, and the two ways to start."""
    return visit.page("landing.html")


@pages.get("/privacy")
async def privacy(visit: Visit) -> Response:
    """What is kept, where, and how it ends."""
    return visit.page("privacy.html")


@pages.get("/support")
async def support(visit: Visit) -> Response:
    """Where to get help."""
    return visit.page("support.html")


@pages.get("/status")
async def status(visit: Visit) -> Response:
    """Whether each part answers now."""
    site = visit.site

    async def database() -> None:
        async with site.backend.database.engine.connect() as conn:
            await conn.execute(text("SELECT 1"))

    async def identity() -> None:
        await site.supabase.ask_offers()

    names = (("Your memories", database), ("Signing in", identity))
    parts = [(name, *await _asked(ask)) for name, ask in names]
    by_meaning = site.backend.index is not None
    whole = all(ok for _, ok, _ in parts)
    return visit.page("status.html", 200 if whole else 503, parts=parts, whole=whole, by_meaning=by_meaning)


async def _asked(ask: object) -> tuple[bool, int]:
    began = time.perf_counter()
    try:
        await asyncio.wait_for(ask(), PATIENCE)  # type: ignore[operator]
    except (JmemError, *DATABASE_FAILURES):
        return False, 0
    return True, round((time.perf_counter() - began) * 1000)


@pages.get("/favicon.ico")
async def favicon(visit: Visit) -> Response:
    """Where browsers look without being told."""
    return RedirectResponse(f"/static/mark.svg?v={visit.site.static['mark.svg'].digest}", 301)


@pages.get("/robots.txt")
async def robots(visit: Visit) -> Response:
    """Nothing but the front is for search engines."""
    return Response("User-agent: *\nAllow: /$\nAllow: /privacy\nDisallow: /\n", media_type="text/plain")
