"""Activity over HTTP: the shapes of the daemon."""

from __future__ import annotations

from tests.hosted.api.conftest import Client


async def test_accesses_have_the_daemons_shapes(me: Client, other: Client) -> None:
    sea = await me.add("the sea is blue")
    await me.ask("POST", "/search", {"query": "sea"})
    found = (await me.ask("GET", "/access", params={"content": "true"})).json()["accesses"]
    assert [a["what"] for a in found] == ["search", "add"]
    assert found[0].keys() == {"id", "at", "client", "what", "query", "detail", "answers"}
    (answer,) = found[0]["answers"]
    assert {n: answer[n] for n in ("id", "rank", "content", "changed", "gone")} == {
        "id": sea["id"], "rank": 1, "content": "the sea is blue", "changed": False, "gone": False,
    }  # fmt: skip
    assert set(answer["legs"]) == {"text"}
    assert "content" not in (await me.ask("GET", "/access")).json()["accesses"][0]["answers"][0]
    of_one = (await me.ask("GET", f"/memories/{sea['id'][-8:]}/access", params={"what": "search"})).json()["accesses"]
    assert [a["query"] for a in of_one] == ["sea"]
    why = (await me.ask("GET", "/why", params={"memory": sea["id"][-8:], "client": "web"})).json()["accesses"]
    assert [(a["what"], a["answers"][0]["content"]) for a in why] == [("search", "the sea is blue")]
    assert (await other.ask("GET", "/access")).json() == {"accesses": []}
    assert (await other.ask("GET", f"/memories/{sea['id']}/access")).status_code == 404
    assert (await other.ask("GET", "/why", params={"memory": sea["id"]})).status_code == 404
    newer = (await me.ask("GET", "/access", params={"after": found[0]["id"], "limit": 1})).json()["accesses"]
    assert newer == []
