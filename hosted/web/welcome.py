"""The first steps: a memory, a connected program, its first question."""

from __future__ import annotations

from starlette.responses import Response

from hosted.web.connections import connected
from hosted.web.programs import PROGRAMS
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.filter import Filter
from jmem.core.model import ACCEPTED

pages = Pages(private=True)


@pages.get("/welcome")
async def welcome(visit: Visit) -> Response:
    """What is done, and what comes next."""
    memories = await visit.memories.count(Filter(states=ACCEPTED), visit.actor)
    known = await connected(visit)
    called = [one for one in known if one["last_used_at"]]
    step = 1 if not memories else 2 if not known else 3 if not called else 4
    return visit.page("welcome.html", step=step, memories=memories, connections=known, called=called,
                      programs=PROGRAMS.values())  # fmt: skip
