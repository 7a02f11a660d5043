"""The MCP server of the daemon: its tools block, so each call has a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mcp.server.lowlevel import Server

from daemon.mcp.about import INSTRUCTIONS
from daemon.mcp.caller import Caller
from daemon.mcp.tools import RUNS
from jmem.core.mcp import serving
from jmem.core.mcp.arguments import parse
from jmem.core.mcp.outcomes import Outcome
from jmem.core.mcp.tools import Tool, offered

THREADS = 16


def make_server(*, delete_all: bool) -> Server[Any]:
    """The server with its tools; `delete_all` adds delete_all_memories."""
    threads = ThreadPoolExecutor(THREADS, "jmem-mcp")

    async def run(tool: Tool, caller: Caller, given: dict[str, Any] | None) -> Outcome:
        return await asyncio.get_running_loop().run_in_executor(threads, _call, tool, caller, given)

    return serving.make_server(offered(delete_all=delete_all), INSTRUCTIONS, run, remedy)


def _call(tool: Tool, caller: Caller, given: dict[str, Any] | None) -> Outcome:
    return RUNS[tool.name](caller, parse(tool.takes, given))


def remedy(fix: str) -> str:
    """A remedy on the command line is the user's to carry out, not the model's."""
    return f"The user can change that with this command: {fix}" if fix.startswith("jmem ") else serving.sentence(fix)
