"""Undo and the access log over HTTP."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from bench.home import Api, Home


def fresh(daemon: Home, user: str, client: str = "cli") -> Api:
    return daemon.api(user=user, client=client)


def test_all_that_a_client_did_is_taken_back(daemon: Home) -> None:
    with closing(fresh(daemon, "undo-group")) as owner, closing(fresh(daemon, "undo-group", "cursor")) as cursor:
        mine = owner.add("written by me", tags=["x"])["id"]
        theirs = cursor.add("written by cursor")["id"]
        cursor.must("PATCH", f"/memories/{mine}", {"content": "rewritten by cursor"})
        ask: dict[str, Any] = {"client": "cursor", "since": "2 hours ago"}
        planned = owner.must("POST", "/undo", {**ask, "dry_run": True})
        assert planned["changes"] == [
            {"id": mine, "preview": "rewritten by cursor", "before": {"content": "rewritten by cursor"},
             "after": {"content": "written by me"}},
            {"id": theirs, "preview": "written by cursor", "before": {"deleted": False}, "after": {"deleted": True}},
        ]  # fmt: skip
        cursor.add("written meanwhile")
        done = owner.must("POST", "/undo", {**ask, "upto": planned["undone"][0]["action"]})
        assert done == planned
        assert (done["changed"], [u["kind"] for u in done["undone"]]) == (2, ["edit", "add"])
        assert [m["content"] for m in owner.every()] == ["written meanwhile", "written by me"]
        again = owner.must("POST", "/undo", {"redo": True})
        assert [c["after"] for c in again["changes"]] == [c["before"] for c in planned["changes"]]
        assert {m["content"] for m in owner.every()} == {
            "written meanwhile",
            "written by cursor",
            "rewritten by cursor",
        }


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({"client": "x", "n": 1}, "n"), ({"since": "yesterday", "redo": True}, "redo"), ({"upto": 3}, "upto"),
        ({"since": "no such time"}, "since"), ({"client": "x", "upto": 0}, "upto"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(api: Api, ask: dict[str, Any], field: str) -> None:
    answer = api.call("POST", "/api/v1/undo", ask)
    assert (answer.status, answer.body["field"]) == (422, field)


def test_a_very_long_answer_is_cut(daemon: Home) -> None:
    with closing(fresh(daemon, "undo-long")) as owner:
        for part in range(3):
            texts = [f"{part} {n} " + "long " * 400 for n in range(200)]
            owner.must("POST", "/memories/batch", {"operations": [{"op": "add", "content": text} for text in texts]})
        ids = [m["id"] for m in owner.every()]
        edits = [{"op": "edit", "id": id, "content": f"short {id}"} for id in ids]
        owner.must("POST", "/memories/batch", {"operations": edits})
        answer = owner.call("POST", "/api/v1/undo", {})
        assert len(answer.raw) < 512 * 1024
        body = answer.body
        assert body["truncated"] is True
        assert body["changed"] == 600 > len(body["changes"]) > 10


def test_accesses_with_their_texts(daemon: Home) -> None:
    with closing(fresh(daemon, "accesses")) as owner, closing(fresh(daemon, "accesses", "cursor")) as cursor:
        id = owner.add("the ferry leaves at nine")["id"]
        cursor.search("ferry")
        cursor.must("GET", f"/memories/{id}")
        (get, search) = owner.must("GET", "/access?client=cursor&content=true")["accesses"]
        assert (get["what"], search["what"]) == ("get", "search")
        assert search["answers"] == [
            {"id": id, "rank": 1, "score": search["answers"][0]["score"], "legs": search["answers"][0]["legs"],
             "content": "the ferry leaves at nine", "changed": False, "gone": False},
        ]  # fmt: skip
        assert search["answers"][0]["legs"]["text"]["rank"] == 1
        assert [a["id"] for a in owner.must("GET", f"/access?after={search['id']}&client=cursor")["accesses"]] == [
            get["id"]
        ]
        owner.must("PATCH", f"/memories/{id}", {"content": "the ferry leaves at ten"})
        path = f"/memories/{id}/access?client=cursor&what=search&what=list&content=true"
        (answer,) = owner.must("GET", path)["accesses"][0]["answers"]
        assert (answer["content"], answer["changed"], answer["gone"]) == ("the ferry leaves at nine", True, False)
        owner.must("DELETE", f"/memories/{id}")
        assert owner.must("GET", path)["accesses"][0]["answers"][0]["gone"] is True
