"""The unmodified Python client over every transport and every era of the protocol."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client

from bench.home import JMEM, Home
from tests.mcp.raw import CLIENT_INFO, Session

TOOLS = ["add_memories", "search_memory", "list_memories", "delete_memories"]


def connect(home: Home, transport: str, mode: str, name: str = "claude") -> Client:
    """The client as a program would make it from what `jmem connect --print` says."""
    printed = home.json("connect", name, "--print")
    server: Any
    match transport:
        case "sse":
            server = sse_client(printed["sse"])
        case "http":
            server = printed["http"]
        case _:
            assert printed["stdio"]["args"] == ["mcp", "--client", name]
            server = StdioServerParameters(command=JMEM, args=printed["stdio"]["args"], env=home.env)
    return Client(server, mode=mode, read_timeout_seconds=30)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["sse", "http", "stdio"])
async def test_a_client_adds_searches_lists_and_deletes(home: Home, transport: str, mode: str) -> None:
    content = f"The {transport} {mode} window overlooks the harbour of Trieste"
    async with connect(home, transport, mode) as client:
        assert client.server_info.name == "jmem"
        assert client.instructions
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == TOOLS
        assert all(tool.title and tool.output_schema and tool.annotations for tool in tools)

        added = await client.call_tool("add_memories", {"text": content, "tags": ["view", transport]})
        assert not added.is_error
        memory = added.structured_content["memories"][0]
        assert (memory["content"], memory["tags"], memory["client"]) == (content, ["view", transport], "claude")
        assert memory["id"] in added.content[0].text

        again = await client.call_tool("add_memories", {"text": content, "tags": ["view", transport]})
        assert again.structured_content["memories"][0]["id"] == memory["id"]
        assert again.structured_content["memories"][0]["duplicate"] is True

        found = await client.call_tool("search_memory", {"query": f"what does the {transport} {mode} window overlook"})
        assert memory["id"] in [hit["id"] for hit in found.structured_content["memories"]]
        assert memory["id"] in found.content[0].text

        listed = await client.call_tool("list_memories", {"tags": ["view", transport], "limit": 5})
        assert memory["id"] in [one["id"] for one in listed.structured_content["memories"]]

        gone = await client.call_tool("delete_memories", {"memory_ids": [memory["id"], "no-such-memory"]})
        assert gone.structured_content == {"deleted": [memory["id"]], "missing": ["no-such-memory"]}
        found = await client.call_tool("search_memory", {"query": f"what does the {transport} {mode} window overlook"})
        assert memory["id"] not in [hit["id"] for hit in found.structured_content["memories"]]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_each_version_of_the_handshake_is_spoken(home: Home, version: str) -> None:
    session = Session(home.json("connect", "old", "--print")["http"])
    hello = session.ask("initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": CLIENT_INFO})
    assert hello["protocolVersion"] == version
    session.headers["MCP-Protocol-Version"] = version
    result = session.ask("tools/call", {"name": "list_memories", "arguments": {}})
    if version >= "2025-06-18":
        assert result["structuredContent"] == {"memories": [], "next_cursor": None}
    assert result["content"][0]["type"] == "text"


def test_an_unknown_version_is_answered_with_the_newest(home: Home) -> None:
    session = Session(home.json("connect", "old", "--print")["http"])
    hello = session.ask("initialize", {"protocolVersion": "1999-01-01", "capabilities": {}, "clientInfo": CLIENT_INFO})
    assert hello["protocolVersion"] == "2025-11-25"


def test_tools_say_what_they_do_to_the_memory(home: Home) -> None:
    session = Session(home.json("connect", "claude", "--print")["http"])
    hints = {tool["name"]: tool["annotations"] for tool in session.ask("tools/list")["tools"]}
    assert [name for name, hint in hints.items() if hint["readOnlyHint"]] == ["search_memory", "list_memories"]
    assert [name for name, hint in hints.items() if hint.get("destructiveHint")] == ["delete_memories"]
    assert not any(hint["openWorldHint"] for hint in hints.values())
