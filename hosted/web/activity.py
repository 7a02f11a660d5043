"""Who asked for what and was told what, and what was changed; each change can be taken back from here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from hosted.identity.principal import SESSION_CLIENT
from hosted.web import words
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.accesses import Access
from jmem.core.errors import Invalid

pages = Pages(private=True)
PAGE = 40
LOOKED = 400
TEXTS = 10
"""Memories that are shown of an answer, each by a beginning of `BEGIN` characters."""
BEGIN = 800
_VERBS = {"add": "added", "search": "asked", "list": "listed memories", "get": "read", "edit": "changed", "delete": "deleted",
          "restore": "brought back", "undo": "took back", "redo": "did again", "batch": "changed", "purge": "forgot",
          "tag": "tagged", "archive": "archived", "pause": "paused", "resume": "resumed", "import": "imported",
          "sync": "synced", "settle": "settled", "approve": "accepted", "reject": "rejected", "review": "put into review", "fetch": "read"}  # fmt: skip
OWN = SESSION_CLIENT


@pages.get("/activity")
async def activity(visit: Visit) -> Response:
    """Questions on one side, changes on the other; newest first."""
    view = "changes" if visit.query.get("view") == "changes" else "asked"
    client = visit.query.get("client", "")[:64]
    clients = [name for name in (await visit.memories.stats(visit.actor))["clients"] if name]
    if view == "changes":
        entries, cursor = await _changes(visit, client)
        values: dict[str, Any] = {"entries": entries, "next": cursor, "asked": []}
    else:
        asked, cursor = await _asked(visit, client)
        values = {"entries": [], "asked": asked, "next": cursor}
        clients = sorted({*clients, *(one["client"] for one in asked)} - {OWN})
    values |= {
        "view": view,
        "client": client,
        "back": "/activity?" + urlencode({"view": "changes", **({"client": client} if client else {})}),
        "clients": clients,
        "verbs": _VERBS,
        "cursor": visit.query.get("cursor", ""),
    }
    return visit.page("_activity.html" if visit.live else "activity.html", **values)


async def _changes(visit: Visit, client: str) -> tuple[list[Any], str | None]:
    cursor = visit.query.get("cursor") or None
    try:
        found, following = await visit.memories.log(visit.actor, limit=PAGE, cursor=cursor, client=client or None)
    except Invalid:
        found, following = await visit.memories.log(visit.actor, limit=PAGE, client=client or None)
    return list(found), following


async def _asked(visit: Visit, client: str) -> tuple[list[dict[str, Any]], str | None]:
    """What programs asked; one's own looking around on these pages is left out."""
    before = visit.query.get("cursor", "")
    below = int(before) if before.isascii() and before.isdigit() and len(before) < 18 else None
    shown: list[Access] = []
    following: str | None = None
    while len(shown) < PAGE:
        found = await visit.memories.accesses(visit.actor, client=client or None, before=below, limit=LOOKED)
        shown += [access for access in found if access.client != OWN]
        if len(found) < LOOKED:
            break
        below = found[-1].id
    if len(shown) > PAGE:
        shown = shown[:PAGE]
        following = str(shown[-1].id)
    first = [replace(access, answers=access.answers[:TEXTS]) for access in shown]
    told = await visit.memories.told(first, visit.actor, begin=BEGIN)
    return [_shown(access, texts) for access, texts in zip(shown, told, strict=True)], following


def _shown(access: Access, told: Any) -> dict[str, Any]:
    texts = [
        (answer.id, words.line(one.content or "(forgotten)", 160))
        for answer, one in zip(access.answers[:TEXTS], told, strict=True)
    ]
    return {"at": access.at, "client": access.client, "what": _VERBS.get(access.what, access.what), "query": access.query,
            "count": access.count, "texts": texts, "refused": access.refused}  # fmt: skip
