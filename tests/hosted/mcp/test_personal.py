"""Unmodified clients at personal URLs: the Python one over both transports and every era of the protocol, and mcp-remote."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.hosted.mcp.conftest import PUBLIC, ROOT, Person, Replica
from tests.hosted.mcp.raw import ACCEPT, HELLO, message
from tests.hosted.world import until
from tests.mcp.raw import Lines
from tests.npm import npm_installed

TOOLS = ["add_memories", "search_memory", "list_memories", "delete_memories", "search", "fetch"]


def client(address: str, replica: Replica, mode: str = "auto") -> Client:
    """The client as a program makes it from the address that the person was shown."""
    at = replica.at(address)
    server: Any = sse_client(at) if "/sse/" in at else at
    return Client(server, mode=mode, read_timeout_seconds=30)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_a_client_adds_searches_lists_and_deletes(
    ann: Person, replicas: tuple[Replica, Replica], transport: str, mode: str
) -> None:
    content = f"The {transport} {mode} window overlooks the harbour of Trieste"
    async with client(ann.connect()[transport], replicas[0], mode) as mcp:
        assert mcp.server_info.name == "jmem"
        assert "account at jmem.example" in mcp.instructions
        assert "their machine" not in mcp.instructions
        tools = (await mcp.list_tools()).tools
        assert [tool.name for tool in tools] == TOOLS
        assert all(tool.title and tool.output_schema and tool.annotations for tool in tools)

        added = await mcp.call_tool("add_memories", {"text": content, "tags": ["view", transport]})
        assert not added.is_error, added.content
        memory = added.structured_content["memories"][0]
        assert (memory["content"], memory["tags"], memory["client"]) == (content, ["view", transport], "claude")
        assert memory["id"] in added.content[0].text
        again = await mcp.call_tool("add_memories", {"text": content, "tags": ["view", transport]})
        assert again.structured_content["memories"][0]["id"] == memory["id"]
        assert again.structured_content["memories"][0]["duplicate"] is True

        found = await mcp.call_tool("search_memory", {"query": f"what does the {transport} {mode} window overlook"})
        assert memory["id"] in [hit["id"] for hit in found.structured_content["memories"]]
        assert memory["id"] in found.content[0].text
        listed = await mcp.call_tool("list_memories", {"tags": ["view", transport], "limit": 5})
        assert [one["id"] for one in listed.structured_content["memories"]] == [memory["id"]]

        gone = await mcp.call_tool("delete_memories", {"memory_ids": [memory["id"], "no-such-memory"]})
        assert gone.structured_content == {"deleted": [memory["id"]], "missing": ["no-such-memory"]}
        assert f"{PUBLIC}/" in gone.content[0].text
        assert "jmem undo" not in gone.content[0].text
        listed = await mcp.call_tool("list_memories", {})
        assert listed.structured_content == {"memories": [], "next_cursor": None}


async def test_chatgpt_searches_and_fetches(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    long = "Ann's boat is called Sirocco. " + "She sails it between Trieste and Piran every August. " * 4
    async with client(ann.connect("chatgpt")["http"], replicas[0]) as mcp:
        added = await mcp.call_tool("add_memories", {"text": long, "tags": ["boat"]})
        id = added.structured_content["memories"][0]["id"]
        found = await mcp.call_tool("search", {"query": "what is the boat called"})
        assert found.structured_content["results"] == [
            {"id": id, "title": found.structured_content["results"][0]["title"], "url": f"{PUBLIC}/memories/{id}"}
        ]
        title = found.structured_content["results"][0]["title"]
        assert title.startswith("Ann's boat is called Sirocco.")
        assert len(title) <= 80
        assert json.loads(found.content[0].text) == found.structured_content
        whole = await mcp.call_tool("fetch", {"id": id})
        assert json.loads(whole.content[0].text) == whole.structured_content
        assert whole.structured_content["text"] == long
        assert whole.structured_content["url"] == f"{PUBLIC}/memories/{id}"
        assert whole.structured_content["metadata"]["tags"] == ["boat"]
        for unknown in (id[:8], "0" * 36, id[:-1] + ("0" if id[-1] != "0" else "1")):
            refused = await mcp.call_tool("fetch", {"id": unknown})
            assert refused.is_error


@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_what_is_wrong_is_a_tool_error_that_says_why(
    ann: Person, replicas: tuple[Replica, Replica], transport: str
) -> None:
    async with client(ann.connect()[transport], replicas[0]) as mcp:
        for name, arguments, said in [
            ("add_memories", {}, "text is missing"),
            ("add_memories", {"text": "x", "colour": "red"}, "no argument 'colour'"),
            ("add_memories", {"text": ""}, "text"),
            ("add_memories", {"text": "x" * 70_000}, "several shorter memories"),
            ("search_memory", {"query": "x", "limit": 0}, "limit"),
            ("search_memory", {"query": "x", "since": "the day after never"}, "since"),
            ("list_memories", {"cursor": "made-up"}, "cursor"),
        ]:
            answer = await mcp.call_tool(name, arguments)
            assert answer.is_error, name
            assert said in answer.content[0].text, answer.content[0].text
            assert "jmem " not in answer.content[0].text, "no command line of a machine"


async def test_a_program_does_what_it_may_and_no_more(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    ann.must("POST", "/memories", {"content": "Ann's salary is secret", "tags": ["private"]})
    ann.must("POST", "/memories", {"content": "Ann works at the harbour", "tags": ["work"]})
    async with client(ann.connect("reader", write=False, delete=False)["sse"], replicas[0]) as mcp:
        assert len((await mcp.call_tool("list_memories", {})).structured_content["memories"]) == 2
        for name, arguments in (("add_memories", {"text": "x"}), ("delete_memories", {"memory_ids": ["x"]})):
            refused = await mcp.call_tool(name, arguments)
            assert refused.is_error
            assert f"{PUBLIC}/connections" in refused.content[0].text
    async with client(ann.connect("scoped", tags=["work"])["http"], replicas[0]) as mcp:
        seen = (await mcp.call_tool("list_memories", {})).structured_content["memories"]
        assert [one["content"] for one in seen] == ["Ann works at the harbour"]
        found = (await mcp.call_tool("search", {"query": "salary secret"})).structured_content["results"]
        assert all("salary" not in one["title"] for one in found)
        added = (await mcp.call_tool("add_memories", {"text": "The harbour closes at noon"})).structured_content
        assert added["memories"][0]["tags"] == ["work"]
    async with client(ann.connect("writer", read=False, delete=False)["http"], replicas[0]) as mcp:
        assert (await mcp.call_tool("search", {"query": "salary"})).is_error
        assert (await mcp.call_tool("fetch", {"id": seen[0]["id"]})).is_error
        assert not (await mcp.call_tool("add_memories", {"text": "Written by who can't read"})).is_error


async def test_every_call_is_seen_in_activity_and_last_use(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    made = ann.connect("claude")
    assert ann.must("GET", "/connections")["connections"][0]["last_used_at"] is None
    async with client(made["sse"], replicas[1]) as mcp:
        await mcp.call_tool("add_memories", {"text": "Ann keeps bees"})
        await mcp.call_tool("search_memory", {"query": "bees"})
        await mcp.call_tool("list_memories", {})
    assert ann.must("GET", "/connections")["connections"][0]["last_used_at"]

    def told() -> bool:
        found = ann.must("GET", "/access")["accesses"]
        return {"add", "search", "list"} <= {one["what"] for one in found if one["client"] == "claude"}

    until(told, "the calls are not in the activity")


def test_a_conversation_is_a_thread_and_known_to_every_replica(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    made = ann.connect()
    with httpx.Client(headers=ACCEPT, timeout=30) as http:
        hello = http.post(replicas[0].at(made["http"]), json=message("initialize", HELLO))
        session = hello.headers["mcp-session-id"]
        calls = [
            http.post(
                replica.at(made["http"]),
                json=message("tools/call", {"name": "add_memories", "arguments": {"text": f"Fact {n}"}}),
                headers={"mcp-session-id": session},
            )
            for n, replica in enumerate(replicas)
        ]
        threads = [
            ann.must("GET", f"/memories/{c.json()['result']['structuredContent']['memories'][0]['id']}")["thread"]
            for c in calls
        ]
        assert threads[0] == threads[1]
        assert threads[0].startswith("mcp:claude:")
        other = ann.connect("cursor")
        refused = http.post(
            replicas[0].at(other["http"]), json=message("tools/list"), headers={"mcp-session-id": session}
        )
        assert refused.status_code == 404
        assert http.delete(replicas[0].at(made["http"]), headers={"mcp-session-id": session}).status_code == 204
        ended = http.post(replicas[0].at(made["http"]), json=message("tools/list"), headers={"mcp-session-id": session})
        assert ended.status_code == 404


def test_only_what_an_address_takes_is_taken(ann: Person, replicas: tuple[Replica, Replica]) -> None:
    made = ann.connect()
    http, sse = replicas[0].at(made["http"]), replicas[0].at(made["sse"])
    for method, address, allow in [
        ("GET", http, "POST, DELETE"),
        ("PUT", http, "GET, POST, DELETE"),
        ("HEAD", sse, "GET"),
        ("POST", sse, "GET"),
        ("GET", f"{sse}/messages", "POST"),
    ]:
        answer = httpx.request(method, address)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow), (method, urlsplit(address).path[:12])
    for origin, status in [("https://evil.example", 403), ("null", 403), (PUBLIC, 200)]:
        answer = httpx.post(http, json=message("tools/list"), headers={**ACCEPT, "origin": origin})
        assert answer.status_code == status, origin
    big = message("tools/call", {"name": "add_memories", "arguments": {"text": "x" * 600_000}})
    assert httpx.post(http, json=big, headers=ACCEPT).status_code == 413
    assert httpx.post(http, content=b"{", headers=ACCEPT).status_code == 400
    assert httpx.post(http, json=message("tools/list"), headers={"accept": "text/html"}).status_code == 406


@pytest.mark.parametrize(("strategy", "transport"), [("sse-only", "sse"), ("http-first", "http")])
def test_mcp_remote_carries_a_conversation(
    ann: Person, replicas: tuple[Replica, Replica], tmp_path: Path, strategy: str, transport: str
) -> None:
    modules = npm_installed(ROOT / "tests" / "mcp")
    path = f"{modules / 'node' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "MCP_REMOTE_CONFIG_DIR": str(tmp_path / "mcp-remote")}
    address = replicas[0].at(ann.connect()[transport])
    with Lines([str(modules / ".bin" / "mcp-remote"), address, "--transport", strategy], environment) as remote:
        assert remote.ask("initialize", HELLO)["serverInfo"]["name"] == "jmem"
        remote.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        added = remote.tool("add_memories", text=f"The {strategy} ferry leaves at noon")["structuredContent"]
        id = added["memories"][0]["id"]
        found = remote.tool("search_memory", query=f"when does the {strategy} ferry leave")["structuredContent"]
        assert id in [memory["id"] for memory in found["memories"]]
        assert remote.tool("delete_memories", memory_ids=[id])["structuredContent"]["deleted"] == [id]
