"""The MCP server: the SDK's dispatch in front of the tools."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from daemon.mcp.about import INSTRUCTIONS, SERVER, declaration, offered
from daemon.mcp.arguments import parse, schema
from daemon.mcp.caller import Caller
from daemon.mcp.tools import Tool
from jmem.core.errors import JmemError, SecretFound, TooLarge

THREADS = 16
ARGUMENTS = {"content": "text"}
"""Fields of a memory that the tools call otherwise: a model is told the name that it used."""
LIST_TTL_MS = 300_000
"""How long a client may keep the list of tools: it changes only when the owner changes a setting."""


def make_server(*, delete_all: bool) -> Server[Any]:
    """The server with its tools; `delete_all` adds delete_all_memories."""
    tools = offered(delete_all=delete_all)
    declared = [types.Tool.model_validate(declaration(tool)) for tool in tools.values()]
    listed = types.ListToolsResult(tools=declared, ttl_ms=LIST_TTL_MS, cache_scope="private")
    threads = ThreadPoolExecutor(THREADS, "jmem-mcp")

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return listed

    async def call_tool(
        ctx: ServerRequestContext[Any, Caller], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name}")
        assert ctx.request is not None
        return await asyncio.get_running_loop().run_in_executor(threads, _call, tool, ctx.request, params.arguments)

    schemas = {name: schema(tool.takes) for name, tool in tools.items()}
    return Server(
        SERVER["name"],
        version=SERVER["version"],
        title=SERVER["title"],
        description=SERVER["description"],
        instructions=INSTRUCTIONS,
        get_tool_input_schema=schemas.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _call(tool: Tool, caller: Caller, given: dict[str, Any] | None) -> types.CallToolResult:
    """The result of a call. What went wrong is a result too, so that the model sees it and can do better."""
    try:
        outcome = tool.run(caller, parse(tool.takes, given))
    except JmemError as error:
        return types.CallToolResult(content=[types.TextContent(text=explain(error))], is_error=True)
    return types.CallToolResult(content=[types.TextContent(text=outcome.text)], structured_content=outcome.data)


def explain(error: JmemError) -> str:
    """The reason and the remedy. A remedy on the command line is the user's to carry out, not the model's."""
    text = error.message
    if error.detail.get("field") in ARGUMENTS:
        field = error.detail["field"]
        text = re.sub(rf"\b{field}\b", ARGUMENTS[field], text, count=1)
    match error:
        case SecretFound():
            return f"{text}. Leave the secret out; say where it is kept instead."
        case TooLarge(detail={"field": "content"}):
            return f"{text}. Save it as several shorter memories."
        case JmemError(fix=str(fix)) if fix.startswith("jmem "):
            return f"{text}. The user can change that with this command: {fix}"
        case JmemError(fix=str(fix)):
            return f"{text}. {fix[:1].upper()}{fix[1:]}."
    return f"{text}."
