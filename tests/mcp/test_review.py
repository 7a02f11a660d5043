"""Clients whose writes wait for the owner, and caps on changes: the same rules through every transport."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from bench.home import JMEM, Home, temporary_home
from tests.mcp.raw import HELLO, Lines, Session, Stream
from tests.mcp.test_tools import allow, memories, reason

Tool = Callable[..., Any]
NAMES = (f"agent-{n}" for n in itertools.count())


@pytest.fixture(params=["http", "sse", "stdio"])
def agent(home: Home, request: pytest.FixtureRequest) -> Iterator[tuple[str, Tool]]:
    """A newly connected client and its way to call a tool."""
    name = next(NAMES)
    urls = home.json("connect", name, "--print")
    with ExitStack() as stack:
        if request.param == "http":
            yield name, Session(urls["http"], hello=True).tool
        elif request.param == "sse":
            stream = stack.enter_context(closing(Stream(urls["sse"])))
            stream.ask("initialize", HELLO)
            stream.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            yield name, lambda tool, **given: stream.ask("tools/call", {"name": tool, "arguments": given})["result"]
        else:
            lines = stack.enter_context(Lines([JMEM, "mcp", "--client", name], home.env))
            lines.ask("initialize", HELLO)
            lines.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
            yield name, lines.tool


def inbox(home: Home, name: str) -> list[str]:
    return [m["content"] for m in home.json("review", "--client", name, "--all")["memories"]]


def test_what_a_program_writes_waits_until_its_owner_accepts_it(home: Home, agent: tuple[str, Tool]) -> None:
    name, tool = agent
    allow(home, name, review=True)
    fact = f"the gate of {name} opens with 4821"
    saved = tool("add_memories", text=fact)
    assert saved["content"][0]["text"].startswith("Saved; it waits until its owner has looked at it:")
    item = saved["structuredContent"]["memories"][0]
    assert (item["state"], item["duplicate"], item["client"]) == ("review", False, name)
    again = tool("add_memories", text=fact)
    assert again["structuredContent"]["memories"][0] | {"duplicate": False} == item
    assert "it still waits until its owner has looked at it" in again["content"][0]["text"]
    inferred = tool("add_memories", text=f"{name} has a blue roof", infer=True)
    assert inferred["structuredContent"]["memories"][0]["state"] == "review"
    assert "to wait until the owner has looked at it" in inferred["content"][0]["text"]
    owner_and_other = Session(home.json("connect", "claude", "--print")["http"], hello=True).tool
    for each in (tool, owner_and_other):
        assert fact not in memories(each("search_memory", query=f"how does the gate of {name} open"))
        assert fact not in memories(each("list_memories"))
    # of the other program it is as if it were not there at all
    assert owner_and_other("delete_memories", memory_ids=[item["id"]])["structuredContent"]["missing"] == [item["id"]]
    assert inbox(home, name) == [fact, f"{name} has a blue roof"]
    home.jmem("review", "approve", item["id"])
    for each in (tool, owner_and_other):
        found = each("search_memory", query=f"how does the gate of {name} open")["structuredContent"]["memories"]
        assert "state" not in next(m for m in found if m["content"] == fact)
    assert reason(tool("delete_memories", memory_ids=[item["id"]])).startswith(f"{name} may delete or change only what")
    known = tool("add_memories", text=fact)["structuredContent"]["memories"][0]
    assert (known["duplicate"], known["id"], "state" in known) == (True, item["id"], False)
    home.jmem("undo")
    assert fact in inbox(home, name)
    assert tool("delete_memories", memory_ids=[item["id"]])["structuredContent"]["deleted"] == [item["id"]]
    assert inbox(home, name) == [f"{name} has a blue roof"]


def test_a_cap_says_when_it_may_go_on(home: Home, agent: tuple[str, Tool]) -> None:
    name, tool = agent
    allow(home, name, writes_per_hour=3)
    first = tool("add_memories", text=f"{name} says one")["structuredContent"]["memories"][0]["id"]
    tool("add_memories", text=f"{name} says two")
    tool("delete_memories", memory_ids=[first])
    for refused in (
        tool("add_memories", text=f"{name} says three"),
        tool("add_memories", text=f"{name} says four", infer=True),
        tool("delete_memories", memory_ids=[first[:-1] + "f", *(m["id"] for m in home.json("list")["memories"])]),
    ):
        assert f"{name} may make 3 changes an hour" in reason(refused)
    said = reason(tool("add_memories", text=f"{name} says five"))
    assert "it may go on in 60 minutes, at 20" in said
    assert f"jmem clients set {name} --writes-per-hour" in said
    assert tool("add_memories", text=f"{name} says two")["structuredContent"]["memories"][0]["duplicate"]
    assert f"{name} says two" in memories(tool("search_memory", query=f"{name} says two"))
    allow(home, name, writes_per_hour=None)
    assert not tool("add_memories", text=f"{name} says three").get("isError")


def test_rules_and_counts_outlive_a_restart() -> None:
    with temporary_home() as home:
        home.jmem("config", "set", "mcp.delete_all", "true")
        home.start()
        url = home.json("connect", "cursor", "--print")["http"]
        home.jmem("add", "of the owner")
        allow(home, "cursor", review=True, writes_per_hour=4)
        tool = Session(url, hello=True).tool
        for n in range(2):
            assert tool("add_memories", text=f"fact {n}")["structuredContent"]["memories"][0]["state"] == "review"
        home.kill()
        home.start()
        tool = Session(url, hello=True).tool
        assert tool("add_memories", text="fact 2")["structuredContent"]["memories"][0]["state"] == "review"
        # with the three it wrote these would be more than four
        assert "1 of them are left, and this takes 3" in reason(tool("delete_all_memories"))
        allow(home, "cursor", writes_per_hour=None)
        gone = tool("delete_all_memories")
        assert gone["structuredContent"]["count"] == 3
        assert "what was accepted is the owner's to delete" in gone["content"][0]["text"]
        assert inbox(home, "cursor") == []
        assert [m["content"] for m in home.json("list")["memories"]] == ["of the owner"]
