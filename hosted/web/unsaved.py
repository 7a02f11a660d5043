"""A text that came with a form which can't be taken: shown again, so that nobody writes it twice."""

from __future__ import annotations

from starlette.responses import Response

from hosted.web import browser
from hosted.web.site import Visit

_ASKED_FOR = frozenset(("csrf", "content", "tags"))
"""Fields that the page shows, or makes anew."""


def kept(visit: Visit, *, gone: bool = False) -> Response | None:
    """The text of a form whose session is over, or was another one: with the way back in, or to be sent again with the
    token of the session that is. `gone`: what it was written for is there no more, and it can become a memory of its own.
    None for a form without a text, and for what no page of this site has sent."""
    form = visit.form
    if not form.get("content").strip() or not browser.is_ours(visit.request, visit.site.origins):
        return None
    status = 404 if gone else 403 if visit.principal else 401
    response = visit.page(
        "unsaved.html", 200 if visit.live else status, content=form.get("content"),
        tags=form.get("tags") if form.has("tags") else None,
        gone=gone, others=[(name, value) for name, value in form.pairs if name not in _ASKED_FOR],
    )  # fmt: skip
    if visit.live:
        response.headers.update({"hx-retarget": "body", "hx-reswap": "innerHTML show:window:top"})
    return response
