"""Import and export over HTTP, with a real daemon."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bench.home import Api, Home, wait_for


@pytest.fixture
def other(daemon: Home, request: pytest.FixtureRequest) -> Iterator[Api]:
    """A user of the test's own on the module's daemon."""
    with contextlib.closing(daemon.api(user=f"user of {request.node.name}"[:60])) as made:
        yield made


def exported(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.call("GET", f"/api/v1/export{query}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.raw.splitlines()]


def test_a_whole_store_goes_from_one_user_to_another(api: Api, other: Api) -> None:
    first = api.add("I prefer aisle seats", tags=["travel"], metadata={"n": 1})
    api.must("PATCH", f"/memories/{first['id']}", {"content": "I prefer window seats"})
    gone = api.add("To be forgotten")
    api.must("DELETE", f"/memories/{gone['id']}?purge=true")
    lines = exported(api)
    report = other.must("POST", "/import", {"items": lines})
    assert (report["added"], report["duplicates"], report["skipped"]) == (len(lines), 0, [])
    assert exported(other) == lines
    assert other.search("window seat")["results"][0]["id"] == first["id"]
    assert other.must("POST", "/undo", {})["undone"][0]["kind"] == "import"
    assert list(other.every()) == []


def test_every_item_stands_for_itself(other: Api) -> None:
    items = [
        {"content": "one"},
        {"content": "two", "zeal": 1},
        5,
        {"content": "my password: hunter2hunter"},
        {"content": "one"},
    ]
    report = other.must("POST", "/import", {"items": items, "dry_run": True})
    assert (report["added"], report["duplicates"]) == (2, 1)
    assert list(other.every()) == []
    report = other.must("POST", "/import", {"items": items, "client": "mem0"})
    assert (report["added"], report["duplicates"]) == (2, 1)
    assert [(e["item"], e["code"]) for e in report["skipped"]] == [(1, "unknown_field"), (2, "not_an_object")]
    assert report["masked"] == [{"item": 3, "kinds": ["password"]}]
    assert {m["client"] for m in other.every()} == {"mem0"}
    report = other.must("POST", "/import", {"items": [{"content": "three"}], "action": report["action"]})
    other.must("POST", "/undo", {})
    assert list(other.every()) == []


def test_markdown_goes_out_and_in(api: Api, other: Api) -> None:
    api.add("Likes artichokes\n\na lot", tags=["food"], occurred_at="2023-05-08")
    notes = exported(api, "?format=md&tag=food")
    assert [note["path"][:26] for note in notes] == ["2023-05-08-likes-artichoke"]
    assert other.must("POST", "/import", {"format": "md", "items": notes})["added"] == 1
    assert [m["content"] for m in other.every()] == ["Likes artichokes\n\na lot"]
    notes[0]["text"] = notes[0]["text"].replace("artichokes", "asparagus")
    assert api.must("POST", "/import", {"format": "md", "items": notes})["updated"] == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid"), ({"items": []}, "invalid"), ({"items": [{"content": "x"}] * 1001}, "invalid"), ({"items": "x"}, "invalid"),
        ({"items": [{"content": "x"}], "format": "xml"}, "invalid"), ({"items": [{"content": "x"}], "secrets": "hide"}, "invalid"),
        ({"items": [{"content": "x"}], "file": "x"}, "unknown_field"), ({"items": [{"content": "x"}], "client": "A B"}, "invalid"),
    ],
)  # fmt: skip
def test_bad_requests_change_nothing(other: Api, body: dict[str, Any], code: str) -> None:
    answer = other.call("POST", "/api/v1/import", body)
    assert (answer.status, answer.body["code"]) == (422, code)
    assert "memories" not in answer.body


def test_filters_of_an_export(other: Api) -> None:
    other.add("Work", tags=["work"], thread="t")
    other.add("Home", state="archived")
    gone = other.add("Gone")
    other.must("DELETE", f"/memories/{gone['id']}")
    assert sorted(m["content"] for m in exported(other)) == ["Gone", "Home", "Work"]
    assert sorted(m["content"] for m in exported(other, "?history=false")) == ["Home", "Work"]
    assert [m["content"] for m in exported(other, "?history=false&deleted=true")] == ["Gone"]
    assert [m["content"] for m in exported(other, "?state=active&thread=t")] == ["Work"]
    assert exported(other, "?tag=none") == []
    assert other.call("GET", "/api/v1/export?limit=5").status == 422
    assert other.call("GET", "/api/v1/export?format=xml").status == 422


def test_a_reader_that_leaves_holds_nothing_up(daemon: Home, other: Api) -> None:
    """The snapshot of an export that nobody reads any more is let go: a purge can then scrub the log."""
    items = [{"content": f"{n} " + "lorem ipsum " * 400} for n in range(80)]
    other.must("POST", "/import", {"items": items})
    user = other._headers["X-Jmem-User"]
    with socket.socket(socket.AF_UNIX) as leaving:
        leaving.connect(daemon.socket_path)
        leaving.sendall(f"GET /api/v1/export HTTP/1.1\r\nHost: localhost\r\nX-Jmem-User: {user}\r\n\r\n".encode())
        assert leaving.recv(1000).startswith(b"HTTP/1.1 200")

    def scrubbed() -> bool:
        id = other.add("to be purged")["id"]
        (receipt,) = other.must("DELETE", f"/memories/{id}?purge=true")["purged"]
        return {place["result"] for place in receipt["receipt"] if "write-ahead" in place["place"]} == {"erased"}

    wait_for(scrubbed, 20, "a purge that is not held up")


def test_an_action_beyond_what_the_database_counts_is_refused(other: Api) -> None:
    answer = other.call("POST", "/api/v1/import", {"items": [{"content": "x"}], "action": 2**63})
    assert (answer.status, answer.body["field"]) == (422, "action")
