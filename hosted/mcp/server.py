"""The MCP server of the account."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from mcp.server.lowlevel import Server

from hosted.db.engine import DATABASE_FAILURES
from hosted.edge.problems import error_of
from hosted.mcp.caller import Caller
from hosted.mcp.tools import Tools
from jmem.core.mcp import serving
from jmem.core.mcp.outcomes import Outcome
from jmem.core.mcp.tools import Tool, instructions


def make_server(tools: Tools, public_url: str) -> Server[Any]:
    """The server with its tools."""

    async def run(tool: Tool, caller: Caller, given: dict[str, Any] | None) -> Outcome:
        try:
            return await tools.run(tool, caller, given)
        except DATABASE_FAILURES as error:
            known = error_of(error)
            if known is None:
                raise
            raise known from error

    def remedy(fix: str) -> str:
        """A remedy on a machine's command line can't help here; what a program may do is changed on a page."""
        if fix.startswith("jmem clients "):
            return f"The user can change that at {public_url}/connections."
        return "" if fix.startswith("jmem ") else serving.sentence(fix)

    about = instructions(f"it is kept in their account at {urlsplit(public_url).netloc}")
    return serving.make_server(tools.offered, about, run, remedy)
