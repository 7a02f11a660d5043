"""The typed client that the command line and the terminal interface share."""

from __future__ import annotations

import queue
import threading

import pytest

from jmem.client import Client
from jmem.core.errors import Ambiguous, Conflict, Invalid, NotFound, SecretFound

from .conftest import Jmem


@pytest.fixture(scope="module")
def client(jmem: Jmem) -> Client:
    jmem.ok("daemon", "start")
    return Client(str(jmem.home), client="tui", autostart=False)


def test_every_call(client: Client) -> None:
    memory = client.add({"content": "I drink tea", "tags": ["food"]})
    assert (memory["duplicate"], memory["client"]) == (False, "tui")
    id = memory["id"]
    assert client.search({"query": "tea", "limit": 3})["results"][0]["id"] == id
    assert client.get(id[-8:])["content"] == "I drink tea"
    edited = client.edit(id, {"content": "I drink green tea"}, memory["version"])
    assert edited["version"] > memory["version"]
    assert [memory["id"] for memory in client.page({"limit": 10, "tag": ["food"]})["memories"]] == [id]
    assert client.tags() == [{"tag": "food", "count": 1}]
    assert client.stats()["memories"] >= 1
    assert len(client.history(id)["revisions"]) == 2
    assert client.restore(id, 1)["content"] == "I drink tea"
    assert client.log({"limit": 5})["actions"][0]["ids"] == [id]
    assert client.undo(1)["undone"]
    assert client.accesses({"limit": 100}, id)["accesses"]
    assert client.delete(id) == {"deleted": [id], "missing": []}
    results = client.batch([{"op": "add", "content": "one"}, {"op": "add", "content": ""}])
    assert [result["status"] for result in results] == [201, 422]
    assert [line["content"] for line in client.export({"history": "false"})] == ["one"]
    assert client.import_items({"format": "jsonl", "items": [{"content": "two"}]})["added"] == 1
    assert client.backup()["verified"]
    assert len(client.backups()["backups"]) == 1
    assert client.index()["state"] in ("ready", "indexing")
    assert client.purge(id)["purged"][0]["id"] == id
    assert client.status()["daemon"]["pid"] == client.health()["pid"]
    assert len(client.token()) >= 32
    assert isinstance(client.clients(), list)
    assert client.request("GET", "/memories", query={"limit": 1})["memories"]


def test_pages(client: Client) -> None:
    client.batch([{"op": "add", "content": f"page {n}", "tags": ["paged"]} for n in range(7)])
    pages = list(client.pages({"limit": 3, "tag": "paged"}))
    assert [len(page["memories"]) for page in pages] == [3, 3, 1]


def test_what_is_no_text_is_refused(client: Client) -> None:
    """What Python makes of an argument in another encoding."""
    with pytest.raises(Invalid, match="not valid UTF-8"):
        client.add({"content": "a\udcff"})
    with pytest.raises(Invalid, match="not valid UTF-8"):
        client.page({"tag": ["\udcff"]})


def test_errors_are_those_of_the_core(client: Client) -> None:
    memory = client.add({"content": "an error's victim"})
    client.edit(memory["id"], {"tags": ["x"]})
    with pytest.raises(Conflict) as conflict:
        client.edit(memory["id"], {"content": "y"}, memory["version"])
    assert conflict.value.code == "changed"
    with pytest.raises(NotFound):
        client.get("ffffffffff")
    with pytest.raises(Invalid):
        client.add({"content": ""})
    with pytest.raises(SecretFound):
        client.add({"content": "AKIAIOSFODNN7EXAMPLQ"})
    client.add({"content": "another with the same beginning"})
    with pytest.raises(Ambiguous):
        client.get(memory["id"][:4])
    with pytest.raises(Invalid) as unknown:
        client.add({"content": "x", "colour": "red"})
    assert unknown.value.code == "unknown_field"


def test_events_as_they_happen(client: Client) -> None:
    client.add({"content": "before the events"})
    seen: queue.Queue[dict] = queue.Queue()
    names: list[str] = []

    def watch() -> None:
        for name, event in client.events(since=0, access=True):
            names.append(name)
            if name == "memory":
                seen.put(event)
            if enough.is_set():
                return

    enough = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    events = [seen.get(timeout=20)]
    wanted = client.add({"content": "while somebody watches"})["id"]
    while events[-1]["id"] != wanted:
        events.append(seen.get(timeout=20))
    enough.set()
    client.add({"content": "the last thing it sees"})
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert names[0] == "start"
    assert set(names) <= {"start", "memory", "access"}


def test_one_client_serves_threads(client: Client) -> None:
    ids: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: ids.append(client.add({"content": f"thread {n}"})["id"])) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8
