"""What happens in the daemon while the interface is open, as messages.

One thread reads the event stream and posts; it touches no widget. When the daemon goes away it looks for it again,
and never starts it: only what a person does, starts a daemon.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump

from jmem import wire
from jmem.client import API, Client

RETRY_S = (0.2, 0.5, 1.0, 2.0)
"""Pauses between looks for a daemon that went away; the last one goes on."""


class Connected(Message):
    """The stream is open: whatever was read before may be old."""


class Disconnected(Message):
    """The daemon is gone."""


class Starting(Message):
    """The daemon is being started because something was asked of it; `event` is what became of that so far."""

    def __init__(self, event: str) -> None:
        super().__init__()
        self.event = event


class Changed(Message):
    """A memory was written: `id`, the `kind` of action, and the `client` that did it."""

    def __init__(self, event: dict[str, Any]) -> None:
        super().__init__()
        self.id: str = event["id"]
        self.kind: str = event["kind"]
        self.client: str = event["client"]


class Accessed(Message):
    """A program asked: `event` has id, client, what, query, count and at."""

    def __init__(self, event: dict[str, Any]) -> None:
        super().__init__()
        self.event = event


class Feed:
    """The thread; `to` gets the messages."""

    def __init__(self, client: Client, to: MessagePump) -> None:
        self._client, self._to = client.without_start(), to
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="jmem-feed", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End after the next line of the stream, which is a keep-alive at the latest; don't wait for it."""
        self._stop.set()
        self._hurry.set()

    def hurry(self) -> None:
        """Look for the daemon now."""
        self._hurry.set()

    def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            try:
                for line in self._lines():
                    if self._stop.is_set():
                        return
                    if tries >= 0:
                        self._to.post_message(Connected())
                        tries = -1
                    self._read(line)
            except Exception:  # noqa: BLE001, S110  whatever a stream holds, the thread goes on and looks again
                pass
            if tries < 0:
                self._to.post_message(Disconnected())
                tries = 0
            self._hurry.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
            self._hurry.clear()
            tries += 1

    def _lines(self) -> Iterable[bytes]:
        if not self._client.running():
            return ()
        return self._client.lines("GET", API + "/events", query={"access": True}, timeout=None)

    def _read(self, line: bytes) -> None:
        """One line of the stream: what an event is, shows in its fields."""
        if line.startswith(b"event: reset"):
            self._to.post_message(Connected())
        if not line.startswith(b"data:"):
            return
        event = wire.loads(line[5:])
        if "what" in event:
            self._to.post_message(Accessed(event))
        elif "kind" in event:
            self._to.post_message(Changed(event))
