"""The thread that reads the daemon's events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jmem.client import Client
from jmem.tui.feed import Changed, Connected, Disconnected, Feed


class Inbox:
    """What is posted."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def post_message(self, message: Any) -> None:
        self.messages.append(message)


def test_the_feed_outlives_what_it_can_not_read_and_starts_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = [
        [b"data: {half"],
        [b'data: {"id": "a", "kind": "add"}'],
        [b'data: {"id":"b","kind":"add","client":"cli"}'],
    ]
    autostarts: list[bool] = []

    def lines(client: Client, *_: Any, **__: Any) -> Iterator[bytes]:
        autostarts.append(client._autostart)
        yield from streams.pop(0) if streams else ()

    monkeypatch.setattr(Client, "lines", lines)
    monkeypatch.setattr(Client, "running", lambda self: True)
    monkeypatch.setattr("jmem.tui.feed.RETRY_S", (0.01,))
    inbox = Inbox()
    feed = Feed(Client(str(tmp_path)), inbox)  # type: ignore[arg-type]
    feed.start()
    deadline = time.monotonic() + 10
    while not any(isinstance(message, Changed) for message in inbox.messages):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    feed.stop()
    assert [type(message) for message in inbox.messages[:5]] == [
        Connected, Disconnected, Connected, Disconnected, Connected,
    ]  # fmt: skip
    assert not any(autostarts)
