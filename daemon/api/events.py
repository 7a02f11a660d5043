"""The stream of changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daemon.events import PAGE, Place, Told, encode
from daemon.http import EVENTS, Call, Routes, Stream
from jmem.core.access import Access
from jmem.core.errors import StorageFailed, Unreachable
from jmem.core.model import Op
from jmem.core.revisions import kind_of
from jmem.core.store import Store
from jmem.core.wire.asks import EventsQuery
from jmem.core.wire.refusals import HttpProblem

if TYPE_CHECKING:
    from daemon.users import UserMemory, Users

routes = Routes("events")

MAX_DIGITS = 19
"""of a running number: SQLite counts no further"""

_AFTER = """
SELECT o.seq, o.payload, EXISTS (SELECT 1 FROM ops p WHERE p.memory_id = o.memory_id AND p.seq < o.seq)
FROM ops o WHERE o.seq > ? ORDER BY o.seq LIMIT ?"""


@routes.route("GET", "/events", EventsQuery, "Changes as they happen", answers={200: EVENTS},
              headers={"Last-Event-ID": "the seq that was seen last, to resume after it"})  # fmt: skip
async def events(call: Call, ask: EventsQuery) -> Stream:
    """Server-sent events. `start` comes first and has the store and the seq from which it goes on. `memory`: its `id` is
    the seq to resume after, `data` has seq, id, kind and client of a change. `access`, with `access=true`: id, client,
    what, query, count and at. `reset`: the store is another one (a backup was restored), load everything anew."""
    since = ask.since
    if (last := call.headers.get(b"last-event-id")) is not None:
        if not last.isdigit() or len(last) > MAX_DIGITS:
            raise HttpProblem(422, "invalid", "Last-Event-ID is a number", field="Last-Event-ID")
        since = int(last)
    user = call.user
    newest = user.store.last_seq
    if since is not None and (since > newest or ask.store not in (None, user.store.store_id)):
        place = Place("", None)  # of no store: it is told so
    else:
        place = Place(None, newest if since is None else since)
    reader = _Reader(call.daemon.users, user.name, ask.access)
    return Stream(
        call.daemon.hub.stream(user.id, reader.read, replace(place, access=0 if ask.access else None)), EVENTS
    )


class _Reader:
    """Reads what a listener has not seen yet, from whatever store is its user's at the moment."""

    def __init__(self, users: Users, name: str, accesses: bool) -> None:
        self._users = users
        self._name = name
        self._accesses = accesses

    def read(self, place: Place) -> Told:
        """The next page after a place; nothing while the store is being exchanged."""
        try:
            return self._read(self._users.open(self._name), place)
        except (StorageFailed, Unreachable) as error:
            if error.code not in ("closed", "unreachable"):
                raise
            return Told((), place)  # the one that takes its place will say so

    def _read(self, user: UserMemory, place: Place) -> Told:
        store = user.store
        if place.store != store.store_id:
            begun = place.store is not None
            seq = store.last_seq if begun or place.seq is None else place.seq
            data = {"store": store.store_id, "seq": seq}
            first = encode("reset" if begun else "start", data, seq)
            return Told(
                [first], Place(store.store_id, seq, user.access.last_id() if self._accesses else None), more=True
            )
        seq = place.seq or 0
        found = changes(store, seq)
        told = [encode("memory", change, change["seq"]) for change in found]
        if found:
            seq = int(found[-1]["seq"])
        access, more = place.access, len(found) == PAGE
        if access is not None:
            accesses = user.access.following(access, PAGE)
            told += [encode("access", _access(one)) for one in accesses]
            access = accesses[-1].id if accesses else access
            more = more or len(accesses) == PAGE
        return Told(told, Place(store.store_id, seq, access), more)


def changes(store: Store, seq: int) -> list[dict[str, Any]]:
    """The next page of changes after `seq`."""
    with store.reader() as conn:
        rows = conn.execute(_AFTER, (seq, PAGE)).fetchall()
    return [_event(*row) for row in rows]


def _access(access: Access) -> dict[str, Any]:
    return {"id": access.id, "client": access.client, "what": access.what, "query": access.query,
            "count": access.count, "at": access.at, "refused": access.refused, "review": access.review}  # fmt: skip


def _event(seq: int, payload: str, known: int) -> dict[str, Any]:
    op = Op.parse(payload)
    return {"seq": seq, "id": op.id, "kind": kind_of(op, {"content": ""} if known else {}), "client": op.client}
