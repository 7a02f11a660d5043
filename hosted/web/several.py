"""What is done to all that is marked, as one step; and taking back what was done."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hosted.web import browser
from hosted.web.finding import CHANGED, COUNTS, unpacked, wanted
from hosted.web.flashes import Flash
from hosted.web.memories import go_on, results
from hosted.web.memory import said_of
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import NotFound
from jmem.core.model import MAX_BATCH, tags_of

pages = Pages(private=True)


@pages.post("/memories/marked")
async def marked(visit: Visit) -> Response:
    """Archive, pause, resume, tag, delete or bring back the marked ones; one undo takes all of it back."""
    ids = list(dict.fromkeys(visit.form.all("id")))[:MAX_BATCH]
    if not ids:
        return await _said(visit, Flash("none_marked"))
    if visit.form.get("do") in ("tag", "untag") and not tags_of(visit.form.get("tags")):
        return await _said(visit, Flash("no_tag"))
    fields, saying = _step(visit)
    each = await visit.memories.batch([{**fields, "id": id} for id in ids], visit.actor)
    done = [id for id, result in zip(ids, each, strict=True) if result.error is None]
    if not done:
        error = each[0].error
        assert error is not None
        raise error
    return await _said(visit, await said_of(visit, saying, done, n=len(done)), changed=True)


async def _said(visit: Visit, flash: Flash, *, changed: bool = False) -> Response:
    """On with the list that the marked ones are in."""
    asked = wanted(visit.form)
    if visit.live and changed:
        response = visit.page("_marked.html", **await results(visit, asked), flash=flash)
        response.headers["hx-trigger"] = COUNTS
        return response
    if visit.live:
        response = visit.page("_toast.html", said=flash)
        response.headers.update({"hx-retarget": "#toasts", "hx-reswap": "beforeend"})
        return response
    return await go_on(visit, asked, flash)


def _step(visit: Visit) -> tuple[dict[str, Any], str]:
    match visit.form.get("do"):
        case "archive":
            return {"op": "edit", "state": "archived"}, "archived"
        case "pause":
            return {"op": "edit", "state": "paused"}, "paused"
        case "resume":
            return {"op": "edit", "state": "active"}, "resumed"
        case "delete":
            return {"op": "delete"}, "deleted"
        case "restore":
            return {"op": "restore"}, "restored"
        case "tag" | "untag" as do:
            named = tags_of(visit.form.get("tags"))
            return {"op": "edit", "add_tags" if do == "tag" else "remove_tags": named}, "tagged"
    raise NotFound("there is no such action")


@pages.post("/undo")
async def undo(visit: Visit) -> Response:
    """Take back one action (of whichever program), the newest one where none is named, or repeat what was taken back."""
    action, at, form = visit.form.get("action"), visit.form.get("at"), visit.form
    if form.get("redo"):
        report = await visit.memories.undo(visit.actor, n=1, redo=True)
    elif action.isascii() and action.isdigit() and len(action) < 19 and at:
        client = form.get("client") or visit.actor.client
        report = await visit.memories.undo(visit.actor, client=client, since=at, upto=int(action))
    else:
        report = await visit.memories.undo(visit.actor, n=1)
    saying = "redone" if form.get("redo") else "undone"
    if not report.changed:
        saying = "nothing_undone"
    elif report.skipped:
        saying = "some_left"
    flash = Flash(saying, max(1, report.changed))
    if visit.live and _back(visit) == "/memories":
        response = visit.page("_toast.html", said=flash)
        response.headers["hx-trigger"] = CHANGED
        return response
    if form.has("list") and not visit.live:
        return await go_on(visit, unpacked(form.get("list")), flash)
    return visit.go(_back(visit), flash)


def _back(visit: Visit) -> str:
    return browser.safe_next(visit.form.get("back"))
