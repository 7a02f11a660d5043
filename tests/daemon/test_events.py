"""The stream of changes: what arrives, and how it resumes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import daemon.events
from bench.home import Api, Home, wait_for
from daemon.events import Hub
from tests.daemon.harness import exchange, request


class Listener:
    """A raw reader of server-sent events."""

    def __init__(self, path: str, query: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.socket.sendall(request("GET", f"/api/v1/events{query}", [("Host", "x"), *headers]))
        self._data = b""
        self.head = self._until(b"\r\n\r\n")
        assert b"200 OK" in self.head, self.head
        assert b"text/event-stream" in self.head

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self._data += piece
        found, _, self._data = self._data.partition(mark)
        return found

    def events(self, count: int) -> list[dict[str, Any]]:
        """The next events; each one's id is its seq."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            block = self._until(b"\n\n")
            lines = dict(
                line.split(b": ", 1) for line in block.splitlines() if b": " in line and not line.startswith(b":")
            )
            if b"data" in lines:
                event = json.loads(lines[b"data"])
                assert int(lines[b"id"]) == event["seq"]
                found.append(event)
        return found

    def ended(self) -> bool:
        """Whether the stream comes to its orderly end."""
        while piece := self.socket.recv(65536):
            self._data += piece
        return self._data.endswith(b"0\r\n\r\n")


@pytest.fixture
def listen(daemon: Home) -> Iterator[Any]:
    made: list[Listener] = []

    def open_(query: str = "", *headers: tuple[str, str]) -> Listener:
        made.append(Listener(daemon.socket_path, query, headers))
        return made[-1]

    yield open_
    for listener in made:
        listener.socket.close()


def test_changes_arrive_as_they_happen(api: Api, listen: Any) -> None:
    listener = listen()
    memory = api.add("news for the listener")
    api.must("PATCH", f"/memories/{memory['id']}", {"content": "newer news"})
    api.must("PATCH", f"/memories/{memory['id']}", {"state": "archived"})
    api.must("DELETE", f"/memories/{memory['id']}")
    api.must("POST", "/undo", {})
    api.must("DELETE", f"/memories/{memory['id']}?purge=true")
    events = listener.events(6)
    assert [event["kind"] for event in events] == ["add", "edit", "archive", "delete", "restore", "purge"]
    assert {event["id"] for event in events} == {memory["id"]}
    assert {event["client"] for event in events} == {"cli"}


def test_a_listener_resumes_where_it_was(api: Api, listen: Any) -> None:
    first = listen()
    api.add("seen by the first")
    (seen,) = first.events(1)
    first.socket.close()
    missed = [api.add(f"missed {n}")["id"] for n in range(3)]
    assert [e["id"] for e in listen(f"?since={seen['seq']}").events(3)] == missed
    by_header = listen("?since=0", ("Last-Event-ID", str(seen["seq"])))
    assert [e["id"] for e in by_header.events(3)] == missed
    assert len(listen("?since=0").events(4)) == 4


def test_a_number_from_another_store_goes_on_from_now(api: Api, listen: Any) -> None:
    listener = listen("?since=1000000")
    memory = api.add("after the restored backup")
    assert listener.events(1)[0]["id"] == memory["id"]


def test_bad_places_are_problems(daemon: Home) -> None:
    for query, header in (("?since=-1", []), ("?since=x", []), ("", [("Last-Event-ID", "x")])):
        ask = request("GET", f"/api/v1/events{query}", [("Host", "x"), *header])
        assert exchange(daemon.socket_path, ask)[0] == 422


def test_listeners_come_and_go(daemon: Home, api: Api, listen: Any) -> None:
    def count() -> int:
        return int(api.must("GET", "/status")["daemon"]["events"])

    listeners = [listen() for _ in range(5)]
    wait_for(lambda: count() >= 5, what="five listeners")
    for listener in listeners:
        listener.socket.close()
    wait_for(lambda: count() == 0, what="no listener")


def test_stop_ends_the_streams(home: Home) -> None:
    pid = home.start()
    with contextlib.closing(home.api()) as api:
        api.add("makes the store")
    listener = Listener(home.socket_path)
    listener.events(0)
    wait_for(lambda: home.status()["daemon"]["events"] == 1, what="the listener")
    os.kill(pid, signal.SIGTERM)
    assert listener.ended()
    listener.socket.close()


async def test_an_idle_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon.events, "KEEP_ALIVE_S", 0.01)
    hub = Hub()
    hub.start()
    stream = hub.stream("user", lambda seq: [], 0)
    assert await anext(stream) == b"retry: 1000\n\n"
    assert await anext(stream) == b": keep-alive\n\n"
    hub.close()
    assert [piece async for piece in stream] == []
    assert hub.count() == 0


def test_a_last_event_id_of_thousands_of_digits_is_refused(daemon: Home) -> None:
    headers = [("Host", "x"), ("Last-Event-ID", "9" * 5000)]
    status, _, body = exchange(daemon.socket_path, request("GET", "/api/v1/events", headers))
    assert (status, json.loads(body)["code"]) == (422, "invalid")
