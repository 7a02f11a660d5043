"""The stream of changes: what was written after a given op, as server-sent events.

Nothing is buffered for a listener. It reads the op log from its own place, is woken when a commit has gone past that
place, and is dropped by the server when it stops taking what it asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

KEEP_ALIVE_S = 15.0
PAGE = 500


class Hub:
    """Wakes the listeners of a store. Lives on the event loop; `notify` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self.closing = False

    def start(self) -> None:
        """Bind to the running loop."""
        self._loop = asyncio.get_running_loop()

    def notify(self, user_id: str) -> None:
        """Something was written; costs nothing while nobody listens."""
        if self._listeners.get(user_id) and self._loop is not None and not self.closing:
            self._loop.call_soon_threadsafe(self._wake, user_id)

    def close(self) -> None:
        """End every stream; call on the loop."""
        self.closing = True
        for user_id in self._listeners:
            self._wake(user_id)

    def count(self) -> int:
        """How many listen."""
        return sum(map(len, self._listeners.values()))

    def _wake(self, user_id: str) -> None:
        for event in self._listeners.get(user_id, ()):
            event.set()

    async def stream(self, user_id: str, read: Callable[[int], list[dict[str, Any]]], since: int) -> AsyncIterator[bytes]:  # fmt: skip
        """Events after op `since`, for ever; `read(seq)` gives the next page of them and may block."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        listeners = self._listeners.setdefault(user_id, set())
        listeners.add(woken)
        try:
            yield b"retry: 1000\n\n"
            while not self.closing:
                woken.clear()
                events = await loop.run_in_executor(None, read, since)
                if events:
                    since = events[-1]["seq"]
                    yield b"".join(map(encode, events))
                    continue
                try:
                    await asyncio.wait_for(woken.wait(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield b": keep-alive\n\n"
        finally:
            listeners.discard(woken)


def encode(event: dict[str, Any]) -> bytes:
    """One server-sent event: its id is where a listener resumes."""
    return f"id: {event['seq']}\nevent: memory\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
