"""The stream of changes: what arrives, and how it resumes."""

from __future__ import annotations

import asyncio
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
from daemon.events import Hub, Place, Told
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

    def event(self) -> tuple[str, dict[str, Any]]:
        """The next event: its name and data. Its id is its seq, where it has one."""
        while True:
            block = self._until(b"\n\n")
            lines = dict(
                line.split(b": ", 1) for line in block.splitlines() if b": " in line and not line.startswith(b":")
            )
            if b"data" in lines:
                name, event = lines[b"event"].decode(), json.loads(lines[b"data"])
                assert (int(lines[b"id"]) if b"id" in lines else None) == (None if name == "access" else event["seq"])
                return name, event

    def events(self, count: int, kind: str = "memory") -> list[dict[str, Any]]:
        """The next events of a kind."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            name, event = self.event()
            if name == kind:
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
    events = listener.events(5)  # before the purge, which takes the ops that are not told yet
    api.must("DELETE", f"/memories/{memory['id']}?purge=true")
    events += listener.events(1)
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
    assert listener.event()[0] == "start"
    wait_for(lambda: home.status()["daemon"]["events"] == 1, what="the listener")
    os.kill(pid, signal.SIGTERM)
    assert listener.ended()
    listener.socket.close()


async def test_an_idle_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon.events, "KEEP_ALIVE_S", 0.01)
    hub = Hub()
    hub.start()
    stream = hub.stream("user", lambda place: Told((), place), Place(None, 0))
    assert await anext(stream) == b"retry: 1000\n\n"
    assert await anext(stream) == b": keep-alive\n\n"
    hub.close()
    assert [piece async for piece in stream] == []
    assert hub.count() == 0


@pytest.mark.parametrize("steps", range(4))
async def test_a_listener_that_leaves_while_something_is_told_is_not_kept(steps: int) -> None:
    hub = Hub()
    hub.start()

    async def listen() -> None:
        async for _ in hub.stream("user", lambda place: Told((), place), Place(None, 0)):
            pass

    leaving = asyncio.create_task(listen())
    while not any(listener.woken._waiters for listener in hub._listeners.get("user", ())):
        await asyncio.sleep(0)
    hub.notify("user")
    for _ in range(steps):
        await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(leaving, 5)
    assert hub.count() == 0


def test_a_last_event_id_of_thousands_of_digits_is_refused(daemon: Home) -> None:
    headers = [("Host", "x"), ("Last-Event-ID", "9" * 5000)]
    status, _, body = exchange(daemon.socket_path, request("GET", "/api/v1/events", headers))
    assert (status, json.loads(body)["code"]) == (422, "invalid")


# ---- who asked for what -----------------------------------------------------------------------


def test_accesses_are_told_when_asked_for(api: Api, listen: Any) -> None:
    memory = api.add("told to whoever asks")
    listener, plain = listen("?access=true"), listen()
    assert listener.event()[0] == plain.event()[0] == "start"
    api.search("told to whoever")
    (access,) = listener.events(1, "access")
    assert (access["client"], access["what"], access["query"]) == ("cli", "search", "told to whoever")
    assert access["count"] >= 1
    newest = api.must("GET", "/access?limit=1")["accesses"][0]
    assert (newest["id"], newest["at"]) == (access["id"], access["at"])
    api.must("GET", f"/memories/{memory['id']}")
    assert listener.events(1, "access")[0]["what"] == "get"
    more = [f"one of many {n}" for n in range(150)]
    api.must("POST", "/memories/batch", {"operations": [{"op": "add", "content": text} for text in more]})
    assert listener.events(1, "access")[0]["count"] == 150
    assert len(plain.events(150)) == 150  # and nothing else


def test_an_access_leaves_the_place_to_resume_alone(api: Api, listen: Any) -> None:
    listener = listen("?access=true")
    _, start = listener.event()
    api.search("anything at all")
    listener.events(1, "access")  # has no id: `event` checks it
    listener.socket.close()
    missed = api.add("written meanwhile")["id"]
    assert listen(f"?since={start['seq']}&store={start['store']}").events(1)[0]["id"] == missed


# ---- another store ----------------------------------------------------------------------------


def test_a_restored_backup_resets_the_listeners(api: Api, listen: Any) -> None:
    kept = api.add("in the backup")["id"]
    backup = api.must("POST", "/backup", {})
    listener = listen("?access=true")
    name, start = listener.event()
    assert name == "start"
    for n in range(3):
        api.add(f"after the backup {n}")
    assert listener.events(3)[-1]["seq"] == start["seq"] + 3
    api.must("POST", "/backup/restore", {"path": backup["name"]})
    (reset,) = listener.events(1, "reset")
    assert reset["store"] != start["store"]
    assert reset["seq"] == start["seq"]
    assert api.must("GET", f"/memories/{kept}")["id"] == kept
    added = api.add("in the store that was put back")["id"]
    (event,) = listener.events(1)  # the same stream goes on
    assert (event["id"], event["seq"]) == (added, reset["seq"] + 1)
    assert listener.events(1, "access")[0]["what"] in ("restore backup", "get", "add")


@pytest.mark.parametrize("header", [True, False])
def test_who_resumes_after_a_restored_backup_is_reset(api: Api, listen: Any, header: bool) -> None:
    api.add("in this backup")
    backup = api.must("POST", "/backup", {})
    first = listen()
    _, start = first.event()
    api.add("gone with the restore")
    api.add("this one too")
    seen = first.events(2)[-1]["seq"]
    first.socket.close()
    api.must("POST", "/backup/restore", {"path": backup["name"]})

    def resume(seq: int, store: str = "") -> tuple[str, dict[str, Any]]:
        query = f"store={store}" if store else ""
        if header:
            return listen(f"?{query}", ("Last-Event-ID", str(seq))).event()
        return listen(f"?since={seq}&{query}".rstrip("&")).event()

    name, reset = resume(seen)
    assert (name, reset["seq"]) == ("reset", start["seq"])
    # numbers that exist in both stores: only the store's name tells
    assert resume(start["seq"], start["store"]) == ("reset", reset)
    assert resume(start["seq"], reset["store"]) == ("start", reset)
    assert resume(start["seq"]) == ("start", reset)
