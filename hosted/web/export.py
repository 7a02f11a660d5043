"""The whole account as a file: the archive that programs get, with every memory in the form that `jmem import` takes back."""

from __future__ import annotations

from starlette.responses import Response

from hosted.api.portable import archived
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.filter import Filter
from jmem.core.model import STATES

pages = Pages(private=True)


@pages.get("/export")
async def export(visit: Visit) -> Response:
    """What the file holds, and the button."""
    total = await visit.memories.count(Filter(states=STATES, expired=True), visit.actor)
    return visit.page("export.html", total=total)


@pages.post("/export")
async def download(visit: Visit) -> Response:
    """The file, as it stands when it begins, some memories at a time, so that its size costs no memory."""
    token, identity = visit.session.tokens.access_token, visit.site.identity
    visit.request.state.again = lambda: identity.again(token)
    return await archived(visit.request, visit.site.backend, visit.me)
