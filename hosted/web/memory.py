"""One memory: read, edit, tag, archive, pause, delete, bring back, forget; and everything it ever said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

from starlette.responses import Response

from hosted.web import unsaved, words
from hosted.web.finding import COUNTS, card_of, unpacked, wanted
from hosted.web.flashes import Flash
from hosted.web.memories import go_on
from hosted.web.routing import Pages
from hosted.web.site import Visit
from jmem.core.errors import Conflict, Invalid, NotFound, SecretFound
from jmem.core.model import Memory, tags_line, tags_of
from jmem.core.revisions import Revision

pages = Pages(private=True)
STATES = {"archive": ("archived", "archived"), "pause": ("paused", "paused"), "resume": ("active", "resumed")}
SHOWN_REVISIONS = 100
COMPARED_REVISIONS = 20
"""Of the newest ones the page shows what changed; of those before them, the beginning of their texts."""


@pages.get("/memories/{id}")
async def read(visit: Visit) -> Response:
    """All of it."""
    memory = await _memory(visit)
    if visit.live:
        return visit.page("_card.html", card=await card_of(visit, memory))
    apart = not memory.deleted and await visit.memories.written_apart([memory.id])
    return visit.page("memory.html", m=memory, revisions=await _revisions(visit, memory), in_conflict=bool(apart))


@pages.get("/memories/{id}/edit")
async def edit(visit: Visit) -> Response:
    """A form with the text as it stands; it knows the version it was made from."""
    memory = await _memory(visit)
    return visit.page("_edit.html" if visit.live else "edit.html", **form_of(memory))


def form_of(memory: Memory, **changes: Any) -> dict[str, Any]:
    """What the form of a memory shows: the memory as it stands, with `changes`."""
    form: dict[str, Any] = {"m": memory, "content": memory.content, "tags": tags_line(memory.tags), "version": memory.version,
            "problem": "", "secret": False, "theirs": None, "gone": False, "back": False}  # fmt: skip
    return form | changes


@pages.post("/memories/{id}/edit")
async def save(visit: Visit) -> Response:
    """Save, if the memory is still the one that was read; else show both texts and let the person choose. One that was
    deleted meanwhile is brought back by whoever was asked and says so."""
    id, form = visit.request.path_params["id"], visit.form
    content, tags, secrets = form.get("content").strip(), form.get("tags"), form.get("secrets")
    typed = {"content": content, "tags": tags, "version": form.get("version")}
    changes: dict[str, Any] = {"content": content, "tags": tags_of(tags)}
    template = "_edit.html" if visit.live else "edit.html"
    back = False
    try:
        if form.get("again"):
            typed["version"], back = await _brought_back(visit)
        edited = await visit.memories.edit(
            id, changes, visit.actor, expected=typed["version"],
            secrets=secrets if secrets in ("mask", "allow") else "refuse",
        )  # fmt: skip
    except NotFound:
        return await _gone(visit, template, typed)
    except Conflict:
        now = await _memory(visit)
        differs = await asyncio.to_thread(words.diff, now.content, content)
        theirs = {"diff": differs, "by": now.client, "at": now.updated_at, "content": now.content,
                  "tags": tags_line(now.tags)}  # fmt: skip
        typed["version"] = now.version
        return visit.page(template, 200 if visit.live else 409, **form_of(now, **typed, theirs=theirs))
    except Invalid as error:
        said = {"problem": error.message, "secret": isinstance(error, SecretFound), "back": back}
        return visit.page(template, 200 if visit.live else 422, **form_of(await _memory(visit), **typed, **said))
    saying = "edited" if edited.changed else "restored" if back else "unchanged"
    flash = await said_of(visit, saying, [edited.memory.id], edited.changed or back)
    if visit.live:
        return _in_place(visit, await card_of(visit, edited.memory), flash)
    return visit.go(f"/memories/{edited.memory.id}", flash)


async def _brought_back(visit: Visit) -> tuple[str, bool]:
    """The version to edit of a memory that is to come back, and whether it has: as it was deleted, else the one on the form."""
    memory = await _memory(visit)
    if memory.deleted and memory.version == visit.form.get("version"):
        return (await visit.memories.restore(memory.id, visit.actor)).memory.version, True
    return visit.form.get("version"), False


async def _gone(visit: Visit, template: str, typed: dict[str, str]) -> Response:
    """Nothing is saved: the memory was deleted meanwhile, or is forgotten for ever."""
    try:
        memory = await _memory(visit)
    except NotFound:
        shown = unsaved.kept(visit, gone=True)
        if shown is None:
            raise
        return shown
    typed["version"] = memory.version
    return visit.page(template, 200 if visit.live else 409, **form_of(memory, **typed, gone=True))


@pages.post("/memories/{id}/act")
async def act(visit: Visit) -> Response:
    """One of the buttons beside a memory."""
    do, memory = visit.form.get("do"), await _memory(visit)
    if do in STATES:
        state, saying = STATES[do]
        changed = (await visit.memories.edit(memory.id, {"state": state}, visit.actor)).memory
        return await _done(visit, saying, changed, gone=changed.state not in wanted(visit.form).states)
    if do == "restore":
        changed = (await visit.memories.restore(memory.id, visit.actor)).memory
        return await _done(visit, "restored", changed, gone=True)
    if do not in ("delete", "purge"):
        raise NotFound("there is no such action")
    seen = visit.form.get("version") or memory.version
    try:
        if do == "delete":
            await visit.memories.delete(memory.id, visit.actor, expected=seen)
            return await _done(visit, "deleted", memory, gone=True)
        await visit.memories.purge(memory.id, visit.actor, expected=seen)
    except Conflict as error:
        raise Conflict("the memory was changed since this page was made", code=error.code,
                       fix="reload the page, and look at it before you delete it") from error  # fmt: skip
    if visit.live:
        return _in_place(visit, None, Flash("purged"))
    return visit.go("/memories?view=deleted", Flash("purged"))


async def _done(visit: Visit, saying: str, memory: Memory, *, gone: bool) -> Response:
    """`gone`: the list that the card was in is no longer for this memory."""
    flash = await said_of(visit, saying, [memory.id])
    if visit.live:
        return _in_place(visit, None if gone else await card_of(visit, memory), flash, item=True)
    if visit.form.has("list"):
        return await go_on(visit, unpacked(visit.form.get("list")), flash)
    return visit.go("/memories" if saying == "deleted" else f"/memories/{memory.id}", flash)


def _in_place(visit: Visit, shown: dict[str, Any] | None, flash: Flash, *, item: bool = False) -> Response:
    """What htmx puts where the memory was, as an `item` of the list or as what is in one; the numbers on the page follow."""
    response = visit.page("_changed.html", card=shown, item=item, flash=flash)
    response.headers["hx-trigger"] = COUNTS
    return response


async def said_of(visit: Visit, saying: str, ids: list[str], changed: bool = True, n: int = 1) -> Flash:
    """What to say about a change, with the way to take it back: the newest action on the memory, which was ours."""
    if not changed or not ids:
        return Flash(saying, n)
    entries, _ = await visit.memories.log(visit.actor, limit=1, id=ids[0], client=visit.actor.client)
    return Flash(saying, n, entries[0].action, entries[0].at) if entries else Flash(saying, n)


# ---- history ----------------------------------------------------------------------------------


@pages.post("/memories/{id}/restore")
async def restore(visit: Visit) -> Response:
    """As it was at a revision."""
    memory = await _memory(visit)
    rev = visit.form.get("rev")
    changed = (await visit.memories.restore(memory.id, visit.actor, rev=rev)).memory
    return visit.go(f"/memories/{changed.id}", await said_of(visit, "restored", [changed.id]))


async def _revisions(visit: Visit, memory: Memory) -> list[dict[str, Any]]:
    """Newest first, each with what it changed."""
    history = await visit.memories.history(memory.id, visit.actor)
    return await asyncio.to_thread(_told, history.revisions, visit.zone)


def _told(revisions: Sequence[Revision], zone: tzinfo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for n in range(len(revisions) - 1, max(-1, len(revisions) - 1 - SHOWN_REVISIONS), -1):
        revision, before = revisions[n], revisions[n - 1] if n else None
        was, content = (before.content if before else None) or "", revision.content or ""
        text = ""
        if before is None or (was != content and len(found) >= COMPARED_REVISIONS):
            text = words.short(content)
        elif was != content:
            text = words.diff(was, content)
        found.append({"r": revision, "text": text, "fields": _fields(revision, zone), "current": not found})
    return found


_NAMED = {"tags": "tags", "state": "state", "deleted": "deleted", "occurred_at": "happened", "expires_at": "expires",
          "source": "source", "thread": "thread", "speaker": "speaker", "privacy": "privacy", "supersedes": "replaces"}  # fmt: skip
_TIMES = {"occurred_at": words.date, "expires_at": words.until}


def _fields(revision: Revision, zone: tzinfo) -> list[tuple[str, str]]:
    shown: list[tuple[str, str]] = []
    for name, value in revision.set.items():
        if name not in _NAMED or (revision.kind == "add" and not value):
            continue
        if value and name in _TIMES:
            text = _TIMES[name](value, zone)
        elif isinstance(value, list | tuple):
            text = ", ".join(f"#{tag}" for tag in value) or "none"
        else:
            text = {True: "yes", False: "no", None: "none"}.get(value, value) if not isinstance(value, str) else value
        shown.append((_NAMED[name], words.line(str(text))))
    return shown


async def _memory(visit: Visit) -> Memory:
    id = visit.request.path_params["id"]
    try:
        return await visit.memories.get(id, visit.actor, deleted=True)
    except Invalid:  # what helps at a terminal does not help here
        raise NotFound(f"no memory has the id '{words.line(id, 80)}'") from None
