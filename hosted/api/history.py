"""What happened: revisions, restore, undo, the log of actions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Response

from hosted.api.routing import Call, Routes, answer, listing, listings, page
from jmem.core.model import MAX_LIMIT
from jmem.core.wire import answers
from jmem.core.wire.asks import LogQuery, RestoreAsk, UndoAsk
from jmem.core.wire.base import NoQuery
from jmem.core.wire.common import start_of

routes = Routes("history")


@routes.route("GET", "/memories/{id}/history", NoQuery, "Revisions of a memory", answers={200: answers.History}, problems=(404, 409))  # fmt: skip
async def history(call: Call, ask: NoQuery) -> Response:
    """Oldest first, of deleted memories too; the newest ones where all would be too much (`truncated`)."""
    found = await call.memories.history(call.params["id"], call.actor)
    revisions = [
        {"rev": r.rev, "stamp": r.stamp, "at": r.at, "client": r.client, "kind": r.kind, "set": r.set, "content": r.content}
        for r in found.revisions
    ]  # fmt: skip
    return listing("revisions", revisions, {"id": found.id, "heads": found.heads}, newest_last=True)


@routes.route("POST", "/memories/{id}/restore", RestoreAsk, "Bring a memory back", answers={200: answers.Memory}, problems=(404, 409))  # fmt: skip
async def restore(call: Call, ask: RestoreAsk) -> Response:
    """A deleted one as it was, or its fields as they were at a revision."""
    return answer((await call.memories.restore(call.params["id"], call.actor, rev=ask.rev)).memory.as_dict())


@routes.route("POST", "/undo", UndoAsk, "Take back the newest actions", answers={200: answers.Undone})
async def undo(call: Call, ask: UndoAsk) -> Response:
    """An undo can be undone (`redo`); what was changed again since, and what was purged, is left alone and named."""
    report = await call.memories.undo(
        call.actor, n=ask.n, redo=ask.redo, dry_run=ask.dry_run, client=ask.client, since=start_of(ask.since),
        upto=ask.upto,
    )  # fmt: skip
    lists: dict[str, list[Any]] = {
        "undone": [asdict(action) for action in report.undone],
        "skipped": [{"id": id, "reason": reason} for id, reason in report.skipped[:MAX_LIMIT]],
        "changes": [asdict(change) for change in report.changes],
    }
    return listings(lists, {"changed": report.changed})


@routes.route("GET", "/log", LogQuery, "What was done", answers={200: answers.Actions}, problems=(404, 409))
async def log(call: Call, ask: LogQuery) -> Response:
    """Actions, newest first."""
    since = start_of(ask.since)

    async def fetch(limit: int) -> tuple[list[dict[str, Any]], str | None]:
        entries, cursor = await call.memories.log(
            call.actor, limit=limit, cursor=ask.cursor, id=ask.id, client=ask.client, since=since
        )
        return [asdict(entry) for entry in entries], cursor

    return await page("actions", fetch, ask.limit)
