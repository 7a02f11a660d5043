"""What the tools answer: to good arguments, to bad ones, and to clients that may not do everything."""

from __future__ import annotations

import functools
import socket
from contextlib import closing
from typing import Any

import pytest

from bench.home import Home, temporary_home
from tests.mcp.raw import Session

MAX_ANSWER = 512 * 1024


@functools.cache
def address(home: Home, client: str) -> str:
    return str(home.json("connect", client, "--print")["http"])


def session(home: Home, client: str) -> Session:
    return Session(address(home, client), hello=True)


def allow(home: Home, client: str, **permissions: Any) -> None:
    """Change what a connected client may do."""
    with closing(home.api()) as api:
        api.must("PATCH", f"/clients/{client}", permissions)


def memories(result: Any) -> list[str]:
    return [memory["content"] for memory in result["structuredContent"]["memories"]]


def reason(result: Any) -> str:
    """The text of a tool error."""
    assert result.get("isError") is True, result
    assert "structuredContent" not in result
    return str(result["content"][0]["text"])


# ---- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("add_memories", {}, "text is missing"),
        ("add_memories", {"text": ""}, "empty"),
        ("add_memories", {"text": "  \n"}, "empty"),
        ("add_memories", {"text": "nul \0 inside"}, "NUL"),
        ("add_memories", {"text": "\ud800"}, "UTF-8"),
        ("add_memories", {"text": 7}, "text"),
        ("add_memories", {"text": "a", "tags": "travel"}, "tags"),
        ("add_memories", {"text": "a", "tags": ["x" * 65]}, "64 characters"),
        ("add_memories", {"text": "a", "tags": [str(n) for n in range(65)]}, "at most 64"),
        ("add_memories", {"text": "a", "colour": "red"}, "no argument 'colour'"),
        ("add_memories", {"text": "é" * 33_000}, "text has 66,000 bytes"),
        ("add_memories", {"text": "a\0b"}, "text has a NUL character"),
        (
            "add_memories",
            {"text": "my key is AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
            "secret",
        ),
        ("search_memory", {}, "query is missing"),
        ("search_memory", {"query": " "}, "empty"),
        ("search_memory", {"query": "a", "limit": 0}, "limit"),
        ("search_memory", {"query": "a", "limit": 1001}, "limit"),
        ("search_memory", {"query": "a", "since": "the day the music died"}, "since"),
        ("list_memories", {"limit": "many"}, "limit"),
        ("list_memories", {"cursor": "made-up"}, "cursor"),
        ("delete_memories", {"memory_ids": []}, "memory_ids"),
        ("delete_memories", {"memory_ids": "abc"}, "memory_ids: "),
    ],
)
def test_bad_arguments_are_explained_to_the_model(home: Home, tool: str, arguments: dict[str, Any], says: str) -> None:
    assert says in reason(session(home, "claude").tool(tool, **arguments))


def test_a_null_counts_as_not_given(home: Home) -> None:
    mine = session(home, "claude")
    added = mine.tool("add_memories", text="nulls are left out", tags=None, infer=None)
    assert memories(added) == ["nulls are left out"]
    assert "isError" not in added or added["isError"] is False
    assert "isError" not in mine.tool("search_memory", query="nulls", limit=None, tags=None) or True
    assert memories(mine.tool("search_memory", query="nulls left out", limit=None, tags=None, since=None))


@pytest.mark.parametrize("query", ['"', "*", "NEAR(", "a AND", "🦊", "x" * 65_536, "-- ' ; drop", "col:on"])
def test_odd_queries_are_only_text(home: Home, query: str) -> None:
    assert (
        "isError" not in (result := session(home, "claude").tool("search_memory", query=query)) or not result["isError"]
    )


# ---- answers ----------------------------------------------------------------------------------


def test_what_was_stored_is_told_and_what_resembles_it(home: Home) -> None:
    mine = session(home, "claude")
    first = mine.tool("add_memories", text="The dentist appointment is on Tuesday at nine", tags=["health"])
    second = mine.tool("add_memories", text="The dentist appointment is on Wednesday at nine", tags=["health"])
    one, two = (r["structuredContent"]["memories"][0] for r in (first, second))
    assert one["duplicate"] is False
    assert [near["id"] for near in second["structuredContent"]["similar"]] == [one["id"]]
    assert one["id"] in second["content"][0]["text"]
    assert two["id"] in second["content"][0]["text"]
    again = mine.tool("add_memories", text="The dentist appointment is on Tuesday at nine", tags=["teeth"])
    assert "tags stayed as they were" in again["content"][0]["text"]
    same = mine.tool("add_memories", text="The dentist appointment is on Tuesday at nine", tags=["health"])
    assert "stayed as they were" not in same["content"][0]["text"]


def test_pages_follow_each_other_to_the_end(home: Home) -> None:
    mine = session(home, "claude")
    wanted = [f"page turner number {number}" for number in range(7)]
    for text in wanted:
        mine.tool("add_memories", text=text, tags=["pages"])
    seen, cursor = [], None
    while True:
        page = mine.tool("list_memories", tags=["pages"], limit=3, cursor=cursor)
        seen += memories(page)
        cursor = page["structuredContent"]["next_cursor"]
        if cursor is None:
            break
        assert cursor in page["content"][0]["text"]
    assert seen == wanted[::-1]


def test_tags_and_times_narrow_a_search(home: Home) -> None:
    with closing(home.api()) as api:
        for year in (2019, 2023):
            api.add(f"The garden party of {year} was rained off", tags=["garden"], occurred_at=f"{year}-06-01")
    mine = session(home, "claude")
    query = {"query": "garden party rained off", "tags": ["garden"]}
    assert len(memories(mine.tool("search_memory", **query))) == 2
    assert memories(mine.tool("search_memory", **query, since="2022-01-01")) == [
        "The garden party of 2023 was rained off"
    ]
    assert memories(mine.tool("search_memory", **query, until="2022-01-01")) == [
        "The garden party of 2019 was rained off"
    ]
    assert memories(mine.tool("search_memory", query="garden party", tags=["elsewhere"])) == []


def test_answers_stay_within_what_clients_take(home: Home) -> None:
    mine = session(home, "claude")
    for number in range(12):
        mine.tool("add_memories", text=f"{number} long story " + "lorem ipsum " * 5000, tags=["long"])
    for letter in "ab":  # every character takes six bytes in JSON
        worst = mine.tool("add_memories", text=letter + "\x01" * 21_000, tags=["worst"])
        assert len(worst["structuredContent"]["memories"][0]["content"]) == 21_001
    for name, arguments in (
        ("search_memory", {"query": "long story lorem", "limit": 50}),
        ("list_memories", {"tags": ["long"], "limit": 50}),
        ("list_memories", {"tags": ["worst"]}),
    ):
        status, _, body = mine.send("tools/call", {"name": name, "arguments": arguments})
        assert status == 200
        assert len(body) <= MAX_ANSWER, name
    seen, cursor = 0, None
    while True:
        page = mine.tool("list_memories", tags=["long"], limit=50, cursor=cursor)["structuredContent"]
        seen, cursor = seen + len(page["memories"]), page["next_cursor"]
        if cursor is None:
            break
    assert seen == 12
    assert mine.tool("search_memory", query="long story lorem", limit=50)["structuredContent"]["truncated"] is True


def test_a_part_of_an_id_deletes_nothing(home: Home) -> None:
    mine = session(home, "claude")
    id = mine.tool("add_memories", text="not to be hit by a guess")["structuredContent"]["memories"][0]["id"]
    gone = mine.tool("delete_memories", memory_ids=[id[-6:], id[:13], id[:-1]])["structuredContent"]
    assert gone == {"deleted": [], "missing": [id[-6:], id[:13], id[:-1]]}
    gone = mine.tool("delete_memories", memory_ids=[id.upper(), id])["structuredContent"]
    assert gone == {"deleted": [id], "missing": []}


# ---- permissions ------------------------------------------------------------------------------


def test_a_client_that_may_only_read(home: Home) -> None:
    mine = session(home, "reader")
    with closing(home.api()) as api:
        id = api.add("The spare key hangs in the shed")["id"]
    allow(home, "reader", write=False, delete=False)
    assert "may not write" in reason(mine.tool("add_memories", text="let me in"))
    assert "jmem clients set reader --delete" in reason(mine.tool("delete_memories", memory_ids=[id]))
    assert "may not delete" in reason(mine.tool("delete_memories", memory_ids=["guess"]))
    assert "The spare key hangs in the shed" in memories(mine.tool("search_memory", query="where is the spare key"))


def test_a_client_that_may_only_write(home: Home) -> None:
    mine = session(home, "writer")
    allow(home, "writer", read=False, delete=False)
    assert memories(mine.tool("add_memories", text="written blindly")) == ["written blindly"]
    assert "may not read" in reason(mine.tool("search_memory", query="written blindly"))
    assert "may not read" in reason(mine.tool("list_memories"))


def test_a_client_that_sees_some_tags(home: Home) -> None:
    mine = session(home, "worker")
    with closing(home.api()) as api:
        private = api.add("The diary is under the mattress", tags=["home"])["id"]
        api.add("The quarterly report is due on Friday", tags=["work"])
    allow(home, "worker", tags=["work"])
    assert memories(mine.tool("search_memory", query="diary under the mattress")) in (
        [],
        ["The quarterly report is due on Friday"],
    )
    assert memories(mine.tool("list_memories")) == ["The quarterly report is due on Friday"]
    assert memories(mine.tool("list_memories", tags=["home"])) == []
    assert mine.tool("delete_memories", memory_ids=[private])["structuredContent"] == {
        "deleted": [],
        "missing": [private],
    }
    added = mine.tool("add_memories", text="The printer is out of toner", tags=["office"])["structuredContent"][
        "memories"
    ]
    assert added[0]["tags"] == ["office", "work"]
    with closing(home.api()) as api:
        assert api.must("GET", f"/memories/{private}")["content"] == "The diary is under the mattress"


# ---- the tool that is not there by default, and a model that does not come --------------------


def test_a_model_is_told_which_of_two_facts_holds() -> None:
    with temporary_home() as home:
        home.start()
        mine = session(home, "claude")
        with closing(home.api()) as api:
            old = api.add("The wedding is on the third of June")
            new = api.add("The wedding was moved to the tenth of June", supersedes=old["id"], expires_at="2099-06-10")
        answer = mine.tool("search_memory", query="when is the wedding")
        first, second = answer["structuredContent"]["memories"]
        assert (first["id"], first.get("superseded_by")) == (new["id"], None)
        assert (second["id"], second["superseded_by"]) == (old["id"], new["id"])
        assert first["expires_at"].startswith("2099-06-1")
        text = answer["content"][0]["text"]
        assert f"no longer holds: superseded by {new['id']}" in text
        assert "holds until 2099-06-1" in text
        listed = mine.tool("list_memories")["structuredContent"]["memories"]
        assert [memory.get("superseded_by") for memory in listed] == [None, new["id"]]


def test_delete_all_is_offered_only_when_the_owner_says_so() -> None:
    with temporary_home() as home:
        home.jmem("config", "set", "mcp.delete_all", "true")
        home.start()
        mine = session(home, "claude")
        assert [tool["name"] for tool in mine.ask("tools/list")["tools"]][-1] == "delete_all_memories"
        for number in range(3):
            mine.tool("add_memories", text=f"soon gone {number}", tags=["claude"])
        with closing(home.api()) as api:
            api.add("stays out of reach", tags=["private"])
        allow(home, "claude", tags=["claude"])
        assert mine.tool("delete_all_memories")["structuredContent"]["count"] == 3
        with closing(home.api()) as api:
            assert [memory["content"] for memory in api.every()] == ["stays out of reach"]


def test_tools_answer_while_the_model_does_not() -> None:
    """The embedder is a server that takes connections and never says a word."""
    with temporary_home() as home, socket.create_server(("127.0.0.1", 0)) as silent:
        home.jmem("config", "set", "embedder", "openai")
        home.jmem("config", "set", "embedder.model", "silent")
        home.jmem("config", "set", "embedder.base_url", f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        home.start()
        mine = session(home, "claude")
        assert len(mine.ask("tools/list")["tools"]) == 4
        assert memories(mine.tool("add_memories", text="The cat is called Miso")) == ["The cat is called Miso"]
        assert memories(mine.tool("list_memories")) == ["The cat is called Miso"]
        assert memories(mine.tool("search_memory", query="what is the cat called")) == ["The cat is called Miso"]
