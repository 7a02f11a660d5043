"""The library's server, which checks and dispatches messages, in front of the tools."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from jmem.core.errors import JmemError, SecretFound, TooLarge
from jmem.core.mcp.arguments import schema
from jmem.core.mcp.outcomes import Outcome
from jmem.core.mcp.tools import SERVER, Tool

ARGUMENTS = {"content": "text"}
"""Fields of a memory that the tools call otherwise: a model is told the name that it used."""
LIST_TTL_MS = 300_000
"""How long a client may keep the list of tools: it changes only when the owner changes a setting."""

Run = Callable[[Tool, Any, dict[str, Any] | None], Awaitable[Outcome]]
"""(tool, who asks, arguments as given) -> its outcome; raises JmemError for whatever the caller can be told."""
Remedy = Callable[[str], str]
"""Turns the remedy of an error into a sentence for the model, "" for one that can't help there."""


def make_server(tools: Mapping[str, Tool], about: str, run: Run, remedy: Remedy) -> Server[Any]:
    """A server with these tools; `about` is what it says of itself."""
    declared = [types.Tool.model_validate(tool.declaration()) for tool in tools.values()]
    listed = types.ListToolsResult(tools=declared, ttl_ms=LIST_TTL_MS, cache_scope="private")
    schemas = {name: schema(tool.takes) for name, tool in tools.items()}

    async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
        return listed

    async def call_tool(ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams) -> Any:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name}")
        assert ctx.request is not None
        try:  # what goes wrong is a result too, so that the model sees it and can do better
            outcome = await run(tool, ctx.request, params.arguments)
        except JmemError as error:
            return types.CallToolResult(content=[types.TextContent(text=explain(error, remedy))], is_error=True)
        return types.CallToolResult(content=[types.TextContent(text=outcome.text)], structured_content=outcome.data)

    return Server(
        SERVER["name"],
        version=SERVER["version"],
        title=SERVER["title"],
        description=SERVER["description"],
        instructions=about,
        get_tool_input_schema=schemas.get,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def explain(error: JmemError, remedy: Remedy) -> str:
    """The reason and the remedy."""
    text = error.message
    if error.detail.get("field") in ARGUMENTS:
        field = error.detail["field"]
        text = re.sub(rf"\b{field}\b", ARGUMENTS[field], text, count=1)
    match error:
        case SecretFound():
            return f"{text}. Leave the secret out; say where it is kept instead."
        case TooLarge(detail={"field": "content"}):
            return f"{text}. Save it as several shorter memories."
        case JmemError(fix=str(fix)) if said := remedy(fix):
            return f"{text}. {said}"
    return f"{text}."


def sentence(fix: str) -> str:
    """A remedy as a sentence."""
    return f"{fix[:1].upper()}{fix[1:]}."
