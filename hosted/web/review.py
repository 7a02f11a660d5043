"""What programs wrote whose writes wait for the owner: accept or reject, one by one or all of a program's."""

from __future__ import annotations

from itertools import groupby

from starlette.responses import Response

from hosted.web.finding import cards_of
from hosted.web.flashes import Flash
from hosted.web.memory import said_of
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import NotFound
from jmem.core.filter import Filter

pages = Pages(private=True)
PAGE = 100


@pages.get("/review")
async def review(visit: Visit) -> Response:
    """What waits, by program, oldest first: as it was written."""
    page = await visit.memories.list(Filter(states=("review",)), visit.actor, limit=PAGE, sort="created")
    waiting = sorted(page.memories, key=lambda memory: memory.client)
    cards = await cards_of(visit, waiting)
    groups = [(client, list(some)) for client, some in groupby(cards, key=lambda card: card["m"].client)]
    return visit.page("review.html", groups=groups, more=page.next_cursor is not None)


@pages.post("/review")
async def decide(visit: Visit) -> Response:
    """Accept or reject the ones that are named, or all of a client's."""
    decision = visit.form.get("decision")
    if decision not in ("approve", "reject"):
        raise NotFound("there is no such decision")
    ids, client = visit.form.all("id"), visit.form.get("client")
    if not ids and not client:
        return visit.go("/review", Flash("none_marked"))
    decided = await visit.memories.review(
        "approve" if decision == "approve" else "reject", visit.actor, parts=ids, client=client or None
    )
    saying = "approved" if decision == "approve" else "rejected"
    flash = await said_of(visit, saying, list(decided.ids), n=len(decided.ids))
    if visit.live and ids:
        await visit.count()
        return visit.page("_decided.html", flash=flash)
    return visit.go("/review", flash)
