"""Backups: make one, list them, restore one. The daily ones are made by daemon/backups.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from daemon import replies
from daemon.http import Answer, Call, Routes, json_answer
from jmem.core.access import Access
from jmem.core.model import iso
from jmem.core.wire.base import Ask, NoBody, NoQuery

routes = Routes("backups")


class RestoreBackupAsk(Ask):
    """Which backup."""

    path: Annotated[str, Field(json_schema_extra={"minLength": 1}, description="a backup's name, or a path",
                               examples=["memories-20261122T201305Z-daily.db"])]  # fmt: skip


@routes.route("POST", "/backup", NoBody, "Make a backup", answers={200: replies.Backup}, problems=(404, 507))
def make(call: Call, ask: NoBody) -> Answer:
    """A consistent copy while work goes on, on disk and verified when this answers."""
    from jmem.core.backup import write_backup

    made = write_backup(call.user.folder, "manual")
    call.user.access.record(Access(call.actor.client, "backup", detail={"name": made.path.name}))
    return json_answer({**made.as_dict(), "verified": True})


@routes.route(
    "GET", "/backups", NoQuery, "List backups", answers={200: replies.Backups}, problems=(404,), needs_user=False
)
def list_(call: Call, ask: NoQuery) -> Answer:
    """The newest first, and when the next daily one is due. Works also while the store can't be opened."""
    from jmem.core.backup import backups

    name = call.identity.user or ""
    due = call.daemon.backups.due(call.daemon.users.id_of(name))
    found = [backup.as_dict() for backup in backups(call.daemon.users.folder(name))]
    return json_answer({"backups": found, "next": iso(due) if due is not None else None})


@routes.route("POST", "/backup/restore", RestoreBackupAsk, "Restore a backup", answers={200: replies.Restored},
              problems=(404, 409, 507), needs_user=False)  # fmt: skip
def restore(call: Call, ask: RestoreBackupAsk) -> Answer:
    """Proves the copy, backs up what it replaces, and swaps it in; the store is unchanged when that fails.

    Works also while the store can't be opened. What was forgotten for ever stays forgotten. With a token only the
    user's own backups are found: a path could lead to what another user remembers.
    """
    from jmem.core.restore import find_backup
    from jmem.core.restore import restore as put_back

    users, name = call.daemon.users, call.identity.user or ""
    folder = users.folder(name)
    source = find_backup(folder, ask.path, anywhere=call.identity.local)
    done = put_back(folder, source, lambda work: users.alone(name, work))
    memory = users.open(name)
    memory.access.record(Access(call.identity.client, "restore backup", detail={"name": done.source.name}))
    return json_answer(done.as_dict())
