"""What happened: revisions, undo, the log of actions, who read what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from daemon.api.common import listing, listings, page
from daemon.http import Answer, Call, Routes, json_answer
from jmem.core.model import MAX_LIMIT
from jmem.core.wire import answers
from jmem.core.wire.asks import AccessQuery, LogQuery, RestoreAsk, UndoAsk
from jmem.core.wire.base import NoQuery
from jmem.core.wire.common import start_of

routes = Routes("history")


@routes.route("GET", "/memories/{id}/history", NoQuery, "Revisions of a memory", answers={200: answers.History}, problems=(404, 409))  # fmt: skip
def history(call: Call, ask: NoQuery) -> Answer:
    """Oldest first, of deleted memories too; the newest ones where all would be too much (`truncated`)."""
    found = call.user.service.history(call.params["id"], call.actor)
    revisions = [
        {"rev": r.rev, "stamp": r.stamp, "at": r.at, "client": r.client, "kind": r.kind, "set": r.set, "content": r.content}
        for r in found.revisions
    ]  # fmt: skip
    return listing("revisions", revisions, {"id": found.id, "heads": found.heads}, newest_last=True)


@routes.route("POST", "/memories/{id}/restore", RestoreAsk, "Bring a memory back", answers={200: answers.Memory}, problems=(404, 409, 507))  # fmt: skip
def restore(call: Call, ask: RestoreAsk) -> Answer:
    """A deleted one as it was, or its fields as they were at a revision."""
    return json_answer(call.user.service.restore(call.params["id"], call.actor, rev=ask.rev).memory.as_dict())


@routes.route("GET", "/memories/{id}/access", AccessQuery, "Who got a memory", answers={200: answers.Accesses}, problems=(404, 409))  # fmt: skip
def access_of(call: Call, ask: AccessQuery) -> Answer:
    """Newest first."""
    return _accesses(call, ask, call.params["id"])


@routes.route("GET", "/access", AccessQuery, "Who asked for what", answers={200: answers.Accesses})
def access(call: Call, ask: AccessQuery) -> Answer:
    """Newest first."""
    return _accesses(call, ask, None)


def _accesses(call: Call, ask: AccessQuery, id: str | None) -> Answer:
    service = call.user.service
    found = service.accesses(
        call.actor, id=id, client=ask.client, what=ask.what, after=ask.after, before=ask.before, limit=ask.limit
    )  # fmt: skip
    documents = [access.as_dict() for access in found]
    if ask.content:
        for document, texts in zip(documents, service.told(found, call.actor), strict=True):
            for answer, text in zip(document["answers"], texts, strict=True):
                answer.update(asdict(text))
    return listing("accesses", documents)


@routes.route("POST", "/undo", UndoAsk, "Take back the newest actions", answers={200: answers.Undone}, problems=(507,))
def undo(call: Call, ask: UndoAsk) -> Answer:
    """An undo can be undone (`redo`); what was changed again since, and what was purged, is left alone and named."""
    report = call.user.service.undo(
        call.actor, n=ask.n, redo=ask.redo, dry_run=ask.dry_run, client=ask.client, since=start_of(ask.since),
        upto=ask.upto,
    )  # fmt: skip
    lists = {
        "undone": [asdict(action) for action in report.undone],
        "skipped": [{"id": id, "reason": reason} for id, reason in report.skipped[:MAX_LIMIT]],
        "changes": [asdict(change) for change in report.changes],
    }
    return listings(lists, {"changed": report.changed})


@routes.route("GET", "/log", LogQuery, "What was done", answers={200: answers.Actions}, problems=(404, 409))
def log(call: Call, ask: LogQuery) -> Answer:
    """Actions, newest first."""
    since = start_of(ask.since)

    def fetch(limit: int) -> tuple[list[dict[str, Any]], str | None]:
        entries, cursor = call.user.service.log(
            call.actor, limit=limit, cursor=ask.cursor, id=ask.id, client=ask.client, since=since
        )
        return [asdict(entry) for entry in entries], cursor

    return page("actions", fetch, ask.limit)
