"""Texts of one memory that were written apart, side by side: keep one, keep both, or write one of both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from hosted.web import words
from hosted.web.flashes import Flash
from hosted.web.memory import form_of, said_of
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.apart import Conflict, Version
from jmem.core.errors import Conflict as Clash
from jmem.core.errors import Invalid, NotFound, SecretFound

pages = Pages(private=True)
PAGE = 20


@pages.get("/conflicts")
async def conflicts(visit: Visit) -> Response:
    """All of them, the oldest memory first."""
    cursor = visit.query.get("cursor") or None
    try:
        found, following = await visit.memories.conflicts(visit.actor, limit=PAGE, cursor=cursor)
    except Invalid:
        found, following = await visit.memories.conflicts(visit.actor, limit=PAGE)
    return visit.page("conflicts.html", items=await _items(visit, found), next=following)


@pages.get("/conflicts/{id}")
async def one(visit: Visit) -> Response:
    """That of one memory; where there is none (any more), the memory."""
    id = visit.request.path_params["id"]
    try:
        found, _ = await visit.memories.conflicts(visit.actor, id=id)
    except NotFound as error:
        if error.code != "no_conflict":
            raise
        return visit.go(f"/memories/{id}")
    except Invalid:  # what helps at a terminal does not help here
        raise NotFound(f"no memory has the id '{words.line(id, 80)}'") from None
    return await _page(visit, found)


@pages.post("/conflicts/{id}")
async def settle(visit: Visit) -> Response:
    """Settle one, as it was shown; what came meanwhile is looked at first, and what was typed stays."""
    id, form = visit.request.path_params["id"], visit.form
    how, content, secrets = form.get("how"), form.get("content").strip(), form.get("secrets")
    if how not in ("keep", "both", "text"):
        raise NotFound("there is no such decision")
    try:
        settled = await visit.memories.settle(
            id, visit.actor, "keep" if how == "keep" else "both" if how == "both" else "text", version=form.get("version"),
            content=content, expected=form.all("stamp"), secrets=secrets if secrets in ("mask", "allow") else "refuse",
        )  # fmt: skip
    except (Clash, NotFound) as error:
        if error.code not in ("changed", "no_conflict"):
            raise
        return await _meanwhile(visit, id, content if how == "text" else "")
    except Invalid as error:
        if how != "text":
            raise
        found, _ = await visit.memories.conflicts(visit.actor, id=id)
        said = {"typed": content, "problem": error.message, "secret": isinstance(error, SecretFound)}
        return await _page(visit, found, 422, **said)
    flash = await said_of(visit, "settled", [settled.memory.id], n=1 + len(settled.others))
    await visit.count()
    if visit.live and visit.waiting.apart:
        return visit.page("_decided.html", flash=flash, path="/conflicts")
    return visit.go("/conflicts", flash)


async def _meanwhile(visit: Visit, id: str, typed: str) -> Response:
    """It is another conflict now, or none: nothing was done."""
    if not typed:
        return visit.go("/conflicts", Flash("changed_meanwhile"))
    try:
        found, _ = await visit.memories.conflicts(visit.actor, id=id)
    except NotFound:
        memory = await visit.memories.get(id, visit.actor)
        return visit.page("edit.html", 409, **form_of(memory, content=typed, problem=Flash("settled_meanwhile").text))
    return await _page(visit, found, 409, typed=typed, problem=Flash("changed_meanwhile").text)


async def _page(visit: Visit, found: Sequence[Conflict], status: int = 200, **typed: Any) -> Response:
    (item,) = await _items(visit, found)
    return visit.page("conflicts.html", status, items=[{**item, **typed}], next=None, alone=True)


async def _items(visit: Visit, found: Sequence[Conflict]) -> list[dict[str, Any]]:
    """The conflicts as the page shows them."""
    return await asyncio.to_thread(lambda: [_item(one) for one in found])


def _item(conflict: Conflict) -> dict[str, Any]:
    texts: dict[str, list[Version]] = {}
    for version in conflict.versions:
        texts.setdefault(version.content, []).append(version)
    live = conflict.versions[0].content
    shown: list[dict[str, Any]] = []
    for content, versions in texts.items():
        other = next(text for text in texts if text != live) if content == live else live
        alone, _ = words.sides(content, other)
        first = versions[0]
        text = words.shown(content) if content == live and len(texts) > 2 else alone
        by = [{"who": one.client, "where": one.where, "at": one.at} for one in versions]
        shown.append(
            {"stamp": first.stamp, "live": first.live, "text": text, "line": words.line(content, 40), "by": by}
        )
    return {
        "m": conflict.memory, "texts": shown, "stamps": [version.stamp for version in conflict.versions],
        "typed": "\n\n".join(texts), "problem": "", "secret": False,
    }  # fmt: skip
