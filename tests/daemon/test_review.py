"""The inbox and the rules of clients over HTTP."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from bench.home import Api, Home
from daemon.problems import problem_answer
from jmem.core.errors import RateLimited


@pytest.fixture(scope="module")
def waiting(daemon: Home, api: Api) -> list[str]:
    """Ids that wait, written by two programs."""
    adds = [{"content": f"waits {n}", "state": "review", "client": ("cursor", "zed")[n % 2]} for n in range(4)]
    return [api.add(**fields)["id"] for fields in adds]


def page(api: Api, query: str) -> list[str]:
    return [memory["id"] for memory in api.must("GET", f"/memories?{query}")["memories"]]


def test_what_waits_is_found_only_when_asked_for(api: Api, waiting: list[str]) -> None:
    assert page(api, "state=review&sort=created") == waiting
    assert page(api, "state=review&client=zed&sort=created") == waiting[1::2]
    assert page(api, "") == []
    assert page(api, "state=all") == []
    for states in (["active"], ["active", "paused", "archived"], []):
        assert api.search("waits", states=states)["results"] == []
    assert len(api.search("waits", states=["review"])["results"]) == 4
    assert len(api.search("waits", states=["active", "review"])["results"]) == 4
    assert api.must("GET", "/stats")["states"]["review"] == 4
    assert api.must("GET", "/status")["review"] == 4


def test_accept_and_reject(api: Api, waiting: list[str]) -> None:
    answer = api.must("POST", "/review", {"decision": "approve", "ids": [waiting[0], waiting[1][-8:]]})
    assert answer == {"decision": "approve", "count": 2, "ids": waiting[:2], "skipped": []}
    assert sorted(page(api, "")) == waiting[:2]
    again = api.must("POST", "/review", {"decision": "reject", "ids": [waiting[0], waiting[2], "00000000"]})
    assert (again["count"], again["ids"]) == (1, [waiting[2]])
    assert {one["id"]: one["code"] for one in again["skipped"]} == {waiting[0]: "not_waiting", "00000000": "not_found"}
    assert page(api, "state=review&deleted=true") == [waiting[2]]
    problem = api.call("POST", "/api/v1/review", {"decision": "approve", "ids": [waiting[0]]})
    assert (problem.status, problem.body["code"]) == (404, "not_waiting")
    assert api.must("POST", "/review", {"decision": "approve", "client": "cursor"})["count"] == 0
    assert api.must("POST", "/review", {"decision": "reject", "all": True})["ids"] == [waiting[3]]
    kinds = [action["kind"] for action in api.must("GET", "/log")["actions"]]
    assert kinds[:3] == ["reject", "reject", "approve"]
    api.must("POST", "/undo", {"n": 3})
    assert page(api, "state=review&sort=created") == waiting
    # one memory, and several with other changes, by the ordinary routes too
    assert api.must("PATCH", f"/memories/{waiting[0]}", {"state": "active"})["state"] == "active"
    assert api.must("GET", "/log")["actions"][0]["kind"] == "approve"
    batch = [{"op": "edit", "id": waiting[1], "state": "active"}, {"op": "delete", "id": waiting[2]}]
    assert [r["status"] for r in api.must("POST", "/memories/batch", {"operations": batch})["results"]] == [200, 200]
    api.must("POST", "/undo", {"n": 2})
    assert page(api, "state=review&sort=created") == waiting


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"decision": "approve"}, "invalid"),
        ({"decision": "approve", "all": False}, "invalid"),
        ({"decision": "approve", "all": True, "client": "cursor"}, "invalid"),
        ({"decision": "approve", "ids": []}, "empty"),
        ({"decision": "approve", "ids": ["x"]}, "invalid"),
        ({"decision": "approve", "client": "No Name"}, "invalid"),
        ({"decision": "maybe", "all": True}, "invalid"),
        ({"all": True}, "invalid"),
        ({"decision": "approve", "everything": True}, "unknown_field"),
    ],
)
def test_bad_decisions_change_nothing(api: Api, waiting: list[str], body: dict[str, Any], code: str) -> None:
    answer = api.call("POST", "/api/v1/review", body)
    assert (answer.status, answer.body["code"]) == (422, code)
    assert page(api, "state=review&sort=created") == waiting


def test_the_rules_of_a_client(daemon: Home, api: Api) -> None:
    api.must("POST", "/clients", {"name": "cursor"})
    changed = api.must("PATCH", "/clients/cursor", {"review": True, "writes_per_hour": 5})
    assert (changed["review"], changed["writes_per_hour"]) == (True, 5)
    (listed,) = (c for c in api.must("GET", "/clients")["clients"] if c["name"] == "cursor")
    assert (listed["review"], listed["writes_per_hour"]) == (True, 5)
    for bad in ({"review": None}, {"review": "yes"}, {"writes_per_hour": 0}, {"writes_per_hour": "5"}, {"writes_per_hour": 2**40}):  # fmt: skip
        assert api.call("PATCH", "/api/v1/clients/cursor", bad).status == 422
    assert api.must("PATCH", "/clients/cursor", {"writes_per_hour": None})["writes_per_hour"] is None
    # the HTTP API is the owner's own surface, whatever name a script gives itself there
    with closing(daemon.api()) as script:
        answer = script.call(
            "POST", "/api/v1/memories", {"content": "by a script"}, headers={"X-Jmem-Client": "cursor"}
        )
    assert (answer.status, answer.body["state"], answer.body["client"]) == (201, "active", "cursor")


def test_what_is_too_soon_says_when_to_come_back() -> None:
    answer = problem_answer(RateLimited("cursor may make 3 changes an hour", retry_after=12, limit=3))
    assert (answer.status, dict(answer.headers)) == (429, {b"retry-after": b"12"})
    assert problem_answer(RateLimited("cursor may make 3 changes an hour, this takes 5")).headers == ()
