"""Clients of other hands, from npm: mcp-remote, which bridges URLs for stdio clients, and the inspector's command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.home import JMEM, Home
from tests.mcp.raw import HELLO, Lines

TOOLS = ["add_memories", "search_memory", "list_memories", "delete_memories"]


@pytest.mark.parametrize(("strategy", "url"), [("sse-only", "sse"), ("http-only", "http"), ("http-first", "sse")])
def test_mcp_remote_carries_a_conversation(
    home: Home, tools: Path, node_env: dict[str, str], strategy: str, url: str
) -> None:
    address = home.json("connect", "claude", "--print")[url]
    with Lines([str(tools / "mcp-remote"), address, "--transport", strategy], node_env) as remote:
        assert remote.ask("initialize", HELLO)["serverInfo"]["name"] == "jmem"
        remote.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert [tool["name"] for tool in remote.ask("tools/list")["tools"]] == TOOLS
        added = remote.tool("add_memories", text=f"The {strategy} ferry leaves at noon")["structuredContent"]
        id = added["memories"][0]["id"]
        found = remote.tool("search_memory", query=f"when does the {strategy} ferry leave")["structuredContent"]
        assert id in [memory["id"] for memory in found["memories"]]
        assert remote.tool("delete_memories", memory_ids=[id])["structuredContent"]["deleted"] == [id]


@pytest.fixture(params=["http", "sse", "stdio"])
def inspect(request: pytest.FixtureRequest, home: Home, tools: Path, node_env: dict[str, str]) -> Any:
    """One run of the inspector: its output as JSON."""
    urls = home.json("connect", "inspector", "--print")
    if request.param == "stdio":
        target = [JMEM, *urls["stdio"]["args"], "-e", f"JMEM_HOME={home.path}"]
    else:
        target = [urls[request.param], "--transport", request.param]

    def run(method: str, **arguments: str) -> Any:
        tool = arguments.pop("tool", None)
        named = ["--tool-name", tool] if tool else []
        given = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
        command = [str(tools / "mcp-inspector"), "--cli", *target, "--method", method, *named, *given]
        done = subprocess.run(command, env=node_env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    return run


def test_the_inspector_lists_adds_and_searches(inspect: Any, request: pytest.FixtureRequest) -> None:
    assert [tool["name"] for tool in inspect("tools/list")["tools"]] == TOOLS
    text = f"The inspector called: {request.node.name}"
    added = inspect("tools/call", tool="add_memories", text=text)["structuredContent"]["memories"][0]
    found = inspect("tools/call", tool="search_memory", query=text)["structuredContent"]["memories"]
    assert added["id"] in [memory["id"] for memory in found]
