"""The HTTP API over the unix socket: shapes, errors, pages, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.home import Answer, Api, Home, temporary_home, wait_for
from jmem.core.model import MAX_ANSWER_BYTES
from tests.daemon.harness import exchange, request


def problem(answer: Answer) -> tuple[int, str, str | None]:
    """Status, code and field of a problem document, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.body
    assert body["status"] == answer.status
    assert body["type"].endswith("/" + body["code"])
    assert body["title"]
    return answer.status, body["code"], body.get("field")


def test_a_memory_is_added_read_changed_and_deleted(api: Api) -> None:
    answer = api.call("POST", "/api/v1/memories", {"content": "I prefer aisle seats", "tags": ["travel"]})
    memory = answer.body
    assert (answer.status, memory["duplicate"], memory["similar"]) == (201, False, [])
    assert (memory["client"], memory["differs"]) == ("cli", [])
    again = api.call("POST", "/api/v1/memories", {"content": "I prefer aisle seats"})
    assert (again.status, again.body["duplicate"], again.body["id"]) == (200, True, memory["id"])
    other = {"content": "I prefer aisle seats", "tags": ["other"], "privacy": "local"}
    assert api.must("POST", "/memories", other)["differs"] == ["privacy", "tags"]
    suffix = memory["id"][-8:]
    assert api.must("GET", f"/memories/{suffix}")["id"] == memory["id"]
    changed = api.must("PATCH", f"/memories/{suffix}", {"content": "I prefer window seats", "add_tags": ["seat"]})
    assert (changed["content"], changed["tags"]) == ("I prefer window seats", ["travel", "seat"])
    assert changed["version"] > memory["version"]
    assert api.must("DELETE", f"/memories/{suffix}") == {"deleted": [memory["id"]], "missing": []}
    assert problem(api.call("GET", f"/api/v1/memories/{memory['id']}"))[:2] == (404, "not_found")
    assert api.must("POST", f"/memories/{memory['id']}/restore", {})["content"] == "I prefer window seats"
    history = api.must("GET", f"/memories/{memory['id']}/history")
    assert [revision["kind"] for revision in history["revisions"]] == ["add", "edit", "delete", "restore"]
    assert api.must("POST", f"/memories/{memory['id']}/restore", {"rev": 1})["content"] == "I prefer aisle seats"
    purged = api.must("DELETE", f"/memories/{memory['id']}?purge=true")["purged"]
    assert purged[0]["id"] == memory["id"]
    assert {place["result"] for place in purged[0]["receipt"]} <= {
        "erased",
        "nothing there",
        "forgotten again whenever one is restored",
    }
    assert problem(api.call("POST", f"/api/v1/memories/{memory['id']}/restore", {}))[0] == 404


def test_if_match_guards_against_lost_changes(api: Api) -> None:
    memory = api.add("a memory that two windows change")
    path = f"/api/v1/memories/{memory['id']}"
    first = api.call("PATCH", path, {"content": "changed in one"}, headers={"If-Match": f'"{memory["version"]}"'})
    assert first.status == 200
    second = api.call("PATCH", path, {"content": "changed in the other"}, headers={"If-Match": memory["version"]})
    assert problem(second)[:2] == (409, "changed")
    assert api.must("GET", f"/memories/{memory['id']}")["content"] == "changed in one"


def test_another_privacy_makes_another_memory(api: Api) -> None:
    memory = api.add("nobody else's business")
    moved = api.must("PATCH", f"/memories/{memory['id']}", {"privacy": "local"})
    assert (moved["replaces"], moved["privacy"]) == (memory["id"], "local")
    assert moved["id"] != memory["id"]


def test_a_batch_is_one_action(api: Api) -> None:
    keep = api.add("a memory for the batch")
    results = api.must("POST", "/memories/batch", {"operations": [
        {"op": "add", "content": "added in the batch"},
        {"op": "edit", "id": keep["id"], "content": "edited in the batch"},
        {"op": "add"},
        {"op": "explode", "id": keep["id"]},
        {"op": "delete", "id": "ffffffffffff"},
        {"op": "delete", "id": keep["id"]},
    ]})["results"]  # fmt: skip
    assert [result["status"] for result in results] == [201, 200, 422, 422, 404, 200]
    assert results[2]["problem"]["field"] == "content"
    assert results[5]["deleted"] == [keep["id"]]
    undone = api.must("POST", "/undo", {})["undone"]
    assert len(undone) == 1
    assert set(undone[0]["ids"]) == {results[0]["memory"]["id"], keep["id"]}
    assert api.must("GET", f"/memories/{keep['id']}")["content"] == "a memory for the batch"
    redone = api.must("POST", "/undo", {"redo": True})["undone"]
    assert set(redone[0]["ids"]) == set(undone[0]["ids"])


def test_search_finds_what_was_just_added(api: Api) -> None:
    api.add("The spare key hangs behind the garden shed", tags=["home"])
    found = api.search("where is the spare key", explain=True)
    assert found["results"][0]["content"].startswith("The spare key")
    assert found["mode"] == "hybrid"
    assert found["results"][0]["explain"]
    assert api.search("spare key", tags=["travel"])["results"] == []
    assert "explain" not in api.search("spare key", mode="text")["results"][0]
    assert api.search("spare key", since="tomorrow")["results"] == []
    assert api.search("spare key", since="yesterday", until="today")["results"]


def test_pages_follow_each_other_without_gaps(api: Api) -> None:
    ids = [api.add(f"page entry {n}", source="pages")["id"] for n in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.must("GET", f"/memories?limit=3&source=pages{cursor}")
        seen += [memory["id"] for memory in page["memories"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    assert [m["id"] for m in api.must("GET", "/memories?source=pages&sort=created&limit=2")["memories"]] == ids[:2]
    assert problem(api.call("GET", "/api/v1/memories?cursor=nonsense"))[1:] == ("bad_cursor", "cursor")
    other = api.must("GET", "/memories?limit=3&source=pages")["next_cursor"]
    assert problem(api.call("GET", f"/api/v1/memories?sort=updated&cursor={other}"))[1] == "bad_cursor"


def test_a_screen_reads_any_part_of_a_list_and_its_length(api: Api) -> None:
    for number in range(7):
        api.add(f"row {number}", source="rows")
    whole = api.must("GET", "/memories?source=rows")
    assert "total" not in whole
    part = api.must("GET", "/memories?source=rows&limit=2&offset=4&count=true")
    assert part["total"] == 7
    assert part["memories"] == whole["memories"][4:6]
    assert api.must("GET", "/memories?source=rows&offset=7&count=true")["memories"] == []
    assert problem(api.call("GET", "/api/v1/memories?offset=-1"))[1:] == ("invalid", "offset")


def test_an_answer_keeps_within_its_limit(api: Api) -> None:
    ids = {api.add(f"{n} " + "long text " * 6000, source="long")["id"] for n in range(12)}
    answer = api.call("GET", "/api/v1/memories?source=long&limit=100")
    assert len(answer.raw) <= MAX_ANSWER_BYTES
    page = answer.body
    assert 0 < len(page["memories"]) < 12
    rest = api.must("GET", f"/memories?source=long&limit=100&cursor={page['next_cursor']}")
    assert {memory["id"] for memory in page["memories"] + rest["memories"]} == ids
    found = api.call("POST", "/api/v1/search", {"query": "long text", "limit": 100, "mode": "text", "source": "long"})
    assert len(found.raw) <= MAX_ANSWER_BYTES
    assert found.body["truncated"] is True
    memory = api.add("a text that grows")
    for n in range(10):
        api.must("PATCH", f"/memories/{memory['id']}", {"content": f"{n} " + "long text " * 6000})
    answer = api.call("GET", f"/api/v1/memories/{memory['id']}/history")
    assert len(answer.raw) <= MAX_ANSWER_BYTES
    assert answer.body["truncated"] is True
    assert [revision["rev"] for revision in answer.body["revisions"]] == list(
        range(12 - len(answer.body["revisions"]), 12)
    )
    adds = [{"op": "add", "content": f"batch {n} " + "long text " * 6000} for n in range(12)]
    answer = api.call("POST", "/api/v1/memories/batch", {"operations": adds})
    assert len(answer.raw) <= MAX_ANSWER_BYTES + 12 * 200
    assert (answer.body["truncated"], len({result["memory"]["id"] for result in answer.body["results"]})) == (True, 12)
    api.must("POST", "/memories/batch", {"operations": [
        {"op": "delete", "id": id} for id in [*ids, memory["id"], *(r["memory"]["id"] for r in answer.body["results"])]
    ]})  # fmt: skip


BAD: list[tuple[str, str, Any, tuple[int, str, str | None]]] = [
    ("POST", "/memories", {"content": ""}, (422, "invalid", "content")),
    ("POST", "/memories", {"content": "  \n"}, (422, "invalid", "content")),
    ("POST", "/memories", {}, (422, "invalid", "content")),
    ("POST", "/memories", {"content": 5}, (422, "invalid", "content")),
    ("POST", "/memories", {"content": "a\0b"}, (422, "invalid", "content")),
    ("POST", "/memories", {"content": "x" * 65_537}, (413, "too_large", "content")),
    ("POST", "/memories", {"content": "x", "colour": "red"}, (422, "unknown_field", "colour")),
    ("POST", "/memories", {"content": "x", "tags": ["t"] * 2 + [str(n) for n in range(65)]}, (413, "too_large", "tags")),
    ("POST", "/memories", {"content": "x", "tags": ["t" * 65]}, (413, "too_large", "tag")),
    ("POST", "/memories", {"content": "x", "tags": "travel"}, (422, "invalid", "tags")),
    ("POST", "/memories", {"content": "x", "state": "gone"}, (422, "invalid", "state")),
    ("POST", "/memories", {"content": "x", "occurred_at": "someday"}, (422, "invalid", "occurred_at")),
    ("POST", "/memories", {"content": "x", "metadata": {"n": 2**60}}, (422, "invalid", "metadata")),
    ("POST", "/memories", {"content": "x", "metadata": [1]}, (422, "invalid", "metadata")),
    ("POST", "/memories", {"content": "x", "client": "No Such"}, (422, "invalid", "client")),
    ("POST", "/memories", {"content": "my key is AKIAIOSFODNN7EXAMPLQ"}, (422, "secret_found", None)),
    ("POST", "/memories", [1], (422, "invalid", None)),
    ("PATCH", "/memories/ffffffff", {}, (422, "empty", None)),
    ("PATCH", "/memories/ffffffff", {"content": None}, (422, "invalid", "content")),
    ("PATCH", "/memories/ffffffff", {"content": "x"}, (404, "not_found", None)),
    ("GET", "/memories/f", None, (422, "invalid", "id")),
    ("DELETE", "/memories/ffffffff", None, (404, "not_found", None)),
    ("GET", "/memories?limit=0", None, (422, "invalid", "limit")),
    ("GET", "/memories?limit=1001", None, (422, "invalid", "limit")),
    ("GET", "/memories?limit=ten", None, (422, "invalid", "limit")),
    ("GET", "/memories?limit=1&limit=2", None, (422, "invalid", "limit")),
    ("GET", "/memories?colour=red", None, (422, "unknown_field", "colour")),
    ("GET", "/memories?since=someday", None, (422, "invalid", "since")),
    ("GET", "/memories?source=%ff", None, (422, "bad_query", None)),
    ("POST", "/memories?x=1", {"content": "x"}, (422, "unknown_field", None)),
    ("POST", "/search", {"query": " "}, (422, "invalid", "query")),
    ("POST", "/search", {"query": "x", "limit": 0}, (422, "invalid", "limit")),
    ("POST", "/search", {"query": "x", "limit": True}, (422, "invalid", "limit")),
    ("POST", "/search", {"query": "x", "mode": "magic"}, (422, "invalid", "mode")),
    ("POST", "/memories/batch", {"operations": []}, (422, "empty", None)),
    ("POST", "/memories/batch", {"operations": [{"op": "add", "content": "x"}] * 1001}, (413, "too_large", None)),
    ("POST", "/undo", {"n": 0}, (422, "invalid", "n")),
    ("POST", "/clients", {"name": "Bad Name"}, (422, "invalid", "name")),
    ("PATCH", "/clients/nobody", {"read": False}, (404, "unknown_client", None)),
    ("DELETE", "/clients/nobody", None, (404, "unknown_client", None)),
    ("GET", "/nothing", None, (404, "no_route", None)),
    ("PUT", "/memories", None, (405, "wrong_method", None)),
    ("POST", "/daemon/stop", {"now": True}, (422, "unknown_field", "now")),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "expected"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_a_problem_that_names_the_field(
    api: Api, method: str, path: str, body: Any, expected: tuple[int, str, str | None]
) -> None:
    assert problem(api.call(method, "/api/v1" + path, body)) == expected


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff\xfe", b'{"content":"\xff"}', b'{"content":"\\ud800"}', b"null", b"[" * 100_000]
)
def test_what_is_no_json_is_a_problem(api: Api, raw: bytes) -> None:
    assert problem(api.call("POST", "/api/v1/memories", raw=raw))[0] == 422


def test_a_validation_problem_lists_every_field_and_repeats_no_value(api: Api) -> None:
    answer = api.call("POST", "/api/v1/search", {"query": 7, "limit": "a secret value", "mode": "hybrid"})
    assert {error["field"] for error in answer.body["errors"]} == {"query", "limit"}
    assert b"secret value" not in answer.raw


def test_another_media_type_is_refused(daemon: Home) -> None:
    for media, status in (
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 201),
    ):
        body = json.dumps({"content": f"sent as {media}"}).encode()
        ask = request("POST", "/api/v1/memories", [("Host", "x"), ("Content-Type", media)], body)
        assert exchange(daemon.socket_path, ask)[0] == status


def test_a_wrong_method_names_the_right_ones(api: Api) -> None:
    answer = api.call("DELETE", "/api/v1/memories")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert api.call("HEAD", "/api/v1/stats").status == 200


def test_every_answer_names_version_and_request(api: Api) -> None:
    headers = api.call("GET", "/health").headers
    assert headers["x-jmem-version"] == api.call("GET", "/health").body["version"]
    assert headers["x-request-id"]
    assert headers["cache-control"] == "no-store"


def test_log_and_access_tell_who_did_what(daemon: Home, api: Api) -> None:
    other = daemon.api(client="notes")
    memory = other.add("written by another program")
    other.close()
    assert memory["client"] == "notes"
    actions = api.must("GET", "/log?client=notes")["actions"]
    assert [(action["kind"], action["ids"]) for action in actions] == [("add", [memory["id"]])]
    api.must("GET", f"/memories/{memory['id']}")
    wait_for(lambda: api.must("GET", f"/memories/{memory['id']}/access")["accesses"], what="the access")
    assert {a["what"] for a in api.must("GET", f"/memories/{memory['id']}/access")["accesses"]} == {"add", "get"}
    assert api.must("GET", "/access?client=notes")["accesses"][0]["what"] == "add"
    assert problem(api.call("GET", "/api/v1/log?limit=5&since=someday"))[2] == "since"


def test_infer_without_a_model_stores_the_text_and_says_so(api: Api) -> None:
    answer = api.call("POST", "/api/v1/memories", {"content": "Ann moved to Lyon and likes it there", "infer": True})
    assert (answer.status, answer.body["inferred"], answer.body["superseded"]) == (201, False, [])
    assert [memory["content"] for memory in answer.body["memories"]] == ["Ann moved to Lyon and likes it there"]
    assert answer.body["reason"]


def test_counts_and_states(daemon: Home) -> None:
    with temporary_home() as home:
        home.start()
        api = home.api()
        ids = [api.add(f"state {n}", tags=["t", f"u{n}"])["id"] for n in range(3)]
        api.must("PATCH", f"/memories/{ids[0]}", {"state": "archived"})
        api.must("PATCH", f"/memories/{ids[1]}", {"expires_at": "2001-01-01"})
        assert [m["id"] for m in api.must("GET", "/memories")["memories"]] == [ids[2]]
        assert {m["id"] for m in api.must("GET", "/memories?state=all")["memories"]} == set(ids)
        api.must("DELETE", f"/memories/{ids[2]}")
        assert [m["id"] for m in api.must("GET", "/memories?deleted=true")["memories"]] == [ids[2]]
        stats = api.must("GET", "/stats")
        assert stats["states"]["archived"] == 1
        status = api.must("GET", "/status")
        assert status["daemon"]["pid"] == home.pid
        home.indexed()
        assert api.must("GET", "/index")["state"] == "ready"
        assert api.call("POST", "/api/v1/index/rebuild", {}).status == 202
        wait_for(lambda: api.must("GET", "/index")["state"] == "ready", what="the rebuilt index")
        api.close()
