"""The stream of changes: what was written after a given op, and who asked for what, as server-sent events.

Nothing is buffered for a listener. It reads the op log (and the access log) from its own place, is woken when
something has been written past that place, and is dropped by the server when it stops taking what it asked for.
A restored backup is another store, whose numbers say nothing about the one before: the listener is told to begin anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

KEEP_ALIVE_S = 15.0
PAGE = 500


@dataclass(frozen=True, slots=True)
class Place:
    """How far a listener has come: the store, its last seq, and the last access (None: it does not want those)."""

    store: str | None
    seq: int | None
    access: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell, where the listener stands after that, and whether there may be more already."""

    events: Sequence[bytes]
    place: Place
    more: bool = False


@dataclass(eq=False, slots=True)
class _Listener:
    accesses: bool
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Wakes the listeners of a store. Lives on the event loop; `notify` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[str, set[_Listener]] = {}
        self.closing = False

    def start(self) -> None:
        """Bind to the running loop."""
        self._loop = asyncio.get_running_loop()

    def notify(self, user_id: str, *, access: bool = False) -> None:
        """Something was written (`access`: to the access log); costs nothing while nobody listens."""
        listeners = self._listeners.get(user_id)
        if listeners and self._loop is not None and not self.closing:
            self._loop.call_soon_threadsafe(self._wake, user_id, access)

    def close(self) -> None:
        """End every stream; call on the loop."""
        self.closing = True
        for user_id in self._listeners:
            self._wake(user_id)

    def count(self) -> int:
        """How many listen."""
        return sum(map(len, self._listeners.values()))

    def _wake(self, user_id: str, access: bool = False) -> None:
        for listener in self._listeners.get(user_id, ()):
            if listener.accesses or not access:
                listener.woken.set()

    async def stream(self, user_id: str, read: Callable[[Place], Told], place: Place) -> AsyncIterator[bytes]:
        """Events from a place on, for ever; `read(place)` gives the next page of them and may block."""
        loop = asyncio.get_running_loop()
        listener = _Listener(place.access is not None)
        listeners = self._listeners.setdefault(user_id, set())
        listeners.add(listener)
        try:
            yield b"retry: 1000\n\n"
            while not self.closing:
                listener.woken.clear()
                told = await loop.run_in_executor(None, read, place)
                place = told.place
                if told.events:
                    yield b"".join(told.events)
                if told.more:
                    continue
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):  # wait_for of Python 3.11 may swallow a cancellation
                        await listener.woken.wait()
                except TimeoutError:
                    yield b": keep-alive\n\n"
        finally:
            listeners.discard(listener)


def encode(name: str, data: dict[str, Any], resume: int | None = None) -> bytes:
    """One server-sent event; `resume` is where a listener goes on that saw it."""
    id = "" if resume is None else f"id: {resume}\n"
    return f"{id}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
