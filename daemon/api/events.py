"""The stream of changes."""

from __future__ import annotations

from typing import Any

from daemon.events import PAGE
from daemon.http import EVENTS, Call, Routes, Stream
from daemon.problems import HttpProblem
from daemon.schemas import EventsQuery
from jmem.core.history import kind_of
from jmem.core.model import Op
from jmem.core.store import Store

routes = Routes("events")

MAX_DIGITS = 19
"""of a running number: SQLite counts no further"""

_AFTER = """
SELECT o.seq, o.payload, EXISTS (SELECT 1 FROM ops p WHERE p.memory_id = o.memory_id AND p.seq < o.seq)
FROM ops o WHERE o.seq > ? ORDER BY o.seq LIMIT ?"""


@routes.route("GET", "/events", EventsQuery, "Changes as they happen", answers={200: EVENTS},
              headers={"Last-Event-ID": "the seq that was seen last, to resume after it"})  # fmt: skip
async def events(call: Call, ask: EventsQuery) -> Stream:
    """Server-sent events: `id` is the seq to resume after, `data` has seq, id, kind and client of a change."""
    store = call.user.store
    since = ask.since
    if (last := call.headers.get(b"last-event-id")) is not None:
        if not last.isdigit() or len(last) > MAX_DIGITS:
            raise HttpProblem(422, "invalid", "Last-Event-ID is a number", field="Last-Event-ID")
        since = int(last)
    newest = store.last_seq
    # a number from before a restored backup lies in the future: go on from now
    since = newest if since is None or since > newest else since
    return Stream(call.daemon.hub.stream(call.user.id, lambda seq: changes(store, seq), since), EVENTS)


def changes(store: Store, seq: int) -> list[dict[str, Any]]:
    """The next page of changes after `seq`."""
    with store.reader() as conn:
        rows = conn.execute(_AFTER, (seq, PAGE)).fetchall()
    return [_event(*row) for row in rows]


def _event(seq: int, payload: str, known: int) -> dict[str, Any]:
    op = Op.parse(payload)
    return {"seq": seq, "id": op.id, "kind": kind_of(op, {"content": ""} if known else {}), "client": op.client}
