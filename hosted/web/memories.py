"""The list of memories: search as one types, filters, and adding."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hosted.web.finding import CHANGED, MOST, PAGE, SORTS, Wanted, facets, find, total, wanted
from hosted.web.flashes import Flash
from hosted.web.routing import Pages
from hosted.web.site import Form, Visit
from jmem.core.drafts import Draft
from jmem.core.errors import Invalid, SecretFound
from jmem.core.model import tags_of

pages = Pages(private=True)


@pages.get("/memories")
async def memories(visit: Visit) -> Response:
    """The list, by its address; htmx asks for the next page of it alone."""
    asked = wanted(Form(list(visit.request.query_params.multi_items())))
    if visit.live and asked.cursor:
        return visit.page("_more.html", **await results(visit, asked))
    return await listed(visit, asked)


@pages.post("/memories/find")
async def search(visit: Visit) -> Response:
    """A question: in a form's body, so that no log, history or referrer holds it. htmx gets the results alone."""
    asked = wanted(visit.form)
    if visit.live:
        response = visit.page("_results.html", **await results(visit, asked))
        response.headers["hx-replace-url"] = asked.address(cursor="")
        return response
    return await listed(visit, asked)


@pages.post("/memories/counts")
async def counts(visit: Visit) -> Response:
    """The numbers beside the filters and above the list, after something on the page was changed; for htmx."""
    asked = wanted(visit.form)
    if not visit.live:
        return visit.go(asked.address())
    return visit.page("_counts.html", asked=asked, facets=await facets(visit, asked), total=await total(visit, asked))


async def results(visit: Visit, asked: Wanted) -> dict[str, Any]:
    """What the list of a page shows."""
    return {"asked": asked, "found": await find(visit, asked), "most": MOST, "page": PAGE}


async def listed(visit: Visit, asked: Wanted) -> Response:
    """The whole page with what is asked for: also where that came by a form, as a question does."""
    if visit.request.method == "POST":  # which is mostly answered with another page's address
        await visit.count()
    return visit.page(
        "memories.html", **await results(visit, asked), facets=await facets(visit, asked), sorts=SORTS, path="/memories"
    )


async def go_on(visit: Visit, asked: Wanted, flash: Flash) -> Response:
    """On with a list, and something to say there. A question is in no address: the page itself comes back for it."""
    if not asked.q:
        return visit.go(asked.address(cursor=""), flash)
    visit.flash = flash
    return await listed(visit, asked)


@pages.get("/memories/new")
async def new(visit: Visit) -> Response:
    """A memory to add."""
    return visit.page("new.html", **_draft("", ""))


def _draft(content: str, tags: str, problem: str = "", secret: bool = False) -> dict[str, Any]:
    return {"content": content, "tags": tags, "problem": problem, "secret": secret}


@pages.post("/memories/new")
async def add(visit: Visit) -> Response:
    """Remember it; a text that seems to carry a password is asked about first."""
    content, tags = visit.form.get("content").strip(), visit.form.get("tags")
    secrets = visit.form.get("secrets", "refuse")
    home = visit.form.get("home") == "welcome"
    try:
        draft = Draft(content, tuple(tags_of(tags)), secrets=secrets if secrets in ("mask", "allow") else "refuse")
        added = await visit.memories.add(draft, visit.actor)
    except Invalid as error:
        if home:
            return visit.go("/welcome")
        said = _draft(content, tags, error.message, isinstance(error, SecretFound))
        return visit.page("_new.html" if visit.live else "new.html", 200 if visit.live else 422, **said)
    flash = Flash("duplicate" if added.duplicate else "added")
    if home:
        return visit.go("/welcome")
    if visit.live:
        response = visit.page("_added.html", flash=flash, **_draft("", ""))
        response.headers["hx-trigger"] = CHANGED
        return response
    return visit.go("/memories", flash)
