"""Looking back over the HTTP API: as_of, changes, chains."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import quote

from bench.home import Api
from tests.daemon.test_api import problem


def moment() -> str:
    """Now, with every op before it and every op after it in another millisecond."""
    time.sleep(0.003)
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    time.sleep(0.003)
    return at


def test_as_of(api: Api) -> None:
    kept, gone = api.add("I live in Bremen since spring"), api.add("I rent a garage in Bremen")
    then = moment()
    api.must("PATCH", f"/memories/{kept['id']}", {"content": "I live in Kiel by the water", "tags": ["home"]})
    api.must("DELETE", f"/memories/{gone['id']}")
    api.add("I moved from Bremen a while ago")
    answer = api.must("POST", "/search", {"query": "Bremen", "as_of": then})
    assert answer["as_of"] == then
    assert [hit["content"] for hit in answer["results"][:2]] == [kept["content"], gone["content"]] or [
        hit["content"] for hit in answer["results"][:2]
    ] == [gone["content"], kept["content"]]
    listed = api.must("GET", f"/memories?as_of={then}&limit=1&count=true")
    assert (listed["memories"][0]["id"], listed["as_of"]) == (gone["id"], then)
    following = api.must("GET", f"/memories?as_of=now&limit=1&count=true&cursor={listed['next_cursor']}")
    assert (following["memories"][0]["content"], following["as_of"]) == (kept["content"], then)
    assert following["total"] == listed["total"]
    read = api.must("GET", f"/memories/{kept['id']}?as_of={then}")
    assert (read["content"], read["tags"], read["as_of"]) == (kept["content"], [], then)
    assert problem(api.call("GET", f"/api/v1/memories/{kept['id']}?as_of=2020-01-01"))[:2] == (404, "not_found")
    for path in ("/memories?as_of=tomorrow", "/memories?as_of=whenever"):
        assert problem(api.call("GET", f"/api/v1{path}"))[0::2] == (422, "as_of")
    ordinary = api.must("GET", "/memories?limit=1")["next_cursor"]
    assert problem(api.call("GET", f"/api/v1/memories?as_of=now&cursor={ordinary}"))[:2] == (422, "bad_cursor")


def test_changes(api: Api) -> None:
    edited, deleted = api.add("the meeting is on Monday", tags=["work"]), api.add("the old printer works")
    since = moment()
    api.must("PATCH", f"/memories/{edited['id']}", {"content": "the meeting is on Tuesday"})
    api.must("DELETE", f"/memories/{deleted['id']}")
    added = api.add("the new printer works")
    page = api.must("GET", f"/changes?since={since}")
    assert (page["since"], page["next_cursor"]) == (since, None)
    assert [(c["id"], c["kind"], c["clients"]) for c in page["changes"]] == [
        (added["id"], "added", ["cli"]), (deleted["id"], "deleted", ["cli"]), (edited["id"], "edited", ["cli"]),
    ]  # fmt: skip
    new, old, change = page["changes"]
    assert (new["before"], new["after"]["content"]) == (None, "the new printer works")
    assert (old["before"]["content"], old["after"]) == ("the old printer works", None)
    assert change["before"] == {"content": "the meeting is on Monday"}
    assert change["after"] == {"content": "the meeting is on Tuesday"}
    part = api.must("GET", f"/changes?since={since}&limit=1")
    shown = part["changes"]
    while part["next_cursor"]:
        api.add(f"written between pages {len(shown)}")
        part = api.must("GET", f"/changes?since={since}&limit=1&cursor={part['next_cursor']}")
        shown += part["changes"]
    assert shown == page["changes"]
    assert api.must("GET", f"/changes?since={since}&client=cursor")["changes"] == []
    assert [c["id"] for c in api.must("GET", f"/changes?since={since}&id={edited['id'][-8:]}")["changes"]] == [
        edited["id"]
    ]
    assert api.must("GET", f"/changes?since={quote('2 years ago')}&until={quote('last year')}")["changes"] == []
    assert problem(api.call("GET", "/api/v1/changes"))[0] == 422


def test_chain_and_superseded_by(api: Api) -> None:
    first = api.add("the code of the bike lock is four digits")
    second = api.add("the bike lock opens with a key now", supersedes=first["id"])
    assert api.must("GET", f"/memories/{first['id']}")["superseded_by"] == second["id"]
    assert "superseded_by" not in api.must("GET", f"/memories/{second['id']}")
    found = {m["id"]: m.get("superseded_by") for m in api.must("GET", "/memories")["memories"]}
    assert (found[first["id"]], found[second["id"]]) == (second["id"], None)
    hits = api.must("POST", "/search", {"query": "the code of the bike lock is four digits"})["results"]
    assert [hit["id"] for hit in hits[:2]] == [second["id"], first["id"]]
    assert hits[1]["superseded_by"] == second["id"]
    for id in (first["id"], second["id"][-8:]):
        chain = api.must("GET", f"/memories/{id}/chain")
        assert ([m["id"] for m in chain["chain"]], chain["current"]) == ([first["id"], second["id"]], second["id"])
    assert problem(api.call("GET", "/api/v1/memories/ffffffff/chain"))[:2] == (404, "not_found")


def test_expired_ones_are_listed_when_asked_for(api: Api) -> None:
    gone = api.add("parking permit of last year", expires_at="2021-01-01")
    assert gone["id"] in [m["id"] for m in api.must("GET", "/memories?expired=true")["memories"]]
    assert gone["id"] not in [m["id"] for m in api.must("GET", "/memories")["memories"]]
