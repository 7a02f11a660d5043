"""The tools, resources and prompts that the conformance suite asks for by name, behind this project's transports.

Run as `python fixture_server.py`: prints its URL, serves until it is killed.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError

from daemon.mcp import Mcp
from daemon.mcp.caller import Caller
from daemon.problems import problem_answer
from daemon.security import Gate
from jmem.core.actor import Actor
from jmem.core.errors import JmemError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
DONE = {"resultType": "complete"}
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
HEADERS_SCHEMA = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "priority": {"type": "integer", "x-mcp-header": "Priority"},
        "verbose": {"type": "boolean", "x-mcp-header": "Verbose"},
    },
}


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def embedded(uri: str, value: str, kind: str = "text/plain") -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": value}}


IMAGE = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
CONTENT: dict[str, list[dict[str, Any]]] = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [IMAGE],
    "test_audio_content": [{"type": "audio", "data": SOUND, "mimeType": "audio/wav"}],
    "test_embedded_resource": [embedded("test://embedded-resource", "This is an embedded resource content.")],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        IMAGE,
        embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ],
    "json_schema_2020_12_tool": [text("ok")],
    "test_custom_headers": [text("ok")],
}
SPECIAL = (
    "test_error_handling",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_tool_with_progress",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
)


def elicit(message: str, field: str, kind: str = "string") -> dict[str, Any]:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def sample(question: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text(question)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}}


ROOTS = {"method": "roots/list", "params": {}}
NAME = elicit("What is your name?", "name")
CONFIRM = {"confirm": elicit("Please confirm", "ok", "boolean")}
NEEDED_FOR = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
ROUNDS: dict[str, list[dict[str, dict[str, Any]]]] = {
    "test_input_required_result_elicitation": [{"user_name": NAME}],
    "test_input_required_result_sampling": [{"capital_question": sample("What is the capital of France?")}],
    "test_input_required_result_list_roots": [{"client_roots": ROOTS}],
    "test_input_required_result_request_state": [CONFIRM],
    "test_input_required_result_tampered_state": [CONFIRM],
    "test_input_required_result_multiple_inputs": [
        {"user_name": NAME, "greeting": sample("Generate a greeting"), "client_roots": ROOTS}
    ],
    "test_input_required_result_multi_round": [
        {"step1": elicit("Step 1: What is your name?", "name")},
        {"step2": elicit("Step 2: What is your favorite color?", "color")},
    ],
    "test_input_required_result_capabilities": [{"user_name": NAME, "greeting": sample("Generate a greeting")}],
    "test_input_required_result_prompt": [{"user_context": elicit("What context should the prompt use?", "context")}],
}
"""What these ask of their client, round by round, before they answer."""


def signed(round: int) -> str:
    return f"{round}.{hmac.new(b'fixture', str(round).encode(), 'sha256').hexdigest()}"


def more_input(ctx: Any, name: str) -> dict[str, Any] | None:
    """What is asked of the client next; None when it has said everything."""
    state = ctx.params.get("requestState")
    answers = ctx.params.get("inputResponses") or {}
    round = int(state.partition(".")[0]) if state else 0
    if state is not None and state != signed(round):
        raise MCPError(code=types.INVALID_PARAMS, message="requestState was tampered with")
    capabilities = ctx.session.client_capabilities.model_dump(exclude_none=True)
    for number in range(round, len(ROUNDS[name])):
        able = {k: v for k, v in ROUNDS[name][number].items() if NEEDED_FOR[v["method"]] in capabilities}
        if not answers.keys() >= able.keys():
            return {"resultType": "input_required", "inputRequests": able, "requestState": signed(number)}
        answers = {}
    return None


SCHEMAS = {"json_schema_2020_12_tool": SCHEMA_2020, "test_custom_headers": HEADERS_SCHEMA}
bus = InMemorySubscriptionBus()


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(
        tools=[
            types.Tool(name=name, description=f"Fixture {name}", input_schema=SCHEMAS.get(name, EMPTY))
            for name in (*CONTENT, *SPECIAL, *ROUNDS)
            if name not in PROMPTS
        ],
        ttl_ms=60_000,
        cache_scope="private",
    )


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> dict[str, Any]:
    if params.name in CONTENT:
        return DONE | {"content": CONTENT[params.name]}
    if params.name in ROUNDS:
        return more_input(ctx, params.name) or DONE | {"content": [text("state-ok: thank you")]}
    match params.name:
        case "test_error_handling":
            return DONE | {"content": [text("This tool intentionally returns an error for testing")], "isError": True}
        case "test_tool_with_logging" | "test_logging_tool":
            for step in ("started", "processing data", "completed"):
                await ctx.session.send_log_message(level="info", data=f"Tool {step}", related_request_id=ctx.request_id)
                await asyncio.sleep(0.05)
        case "test_tool_with_progress":
            for done in (0, 50, 100):
                await ctx.session.report_progress(done, total=100, message=f"Completed step {done} of 100")
                await asyncio.sleep(0.05)
        case "test_streaming_elicitation":
            pass
        case "test_missing_capability":
            if ctx.session.client_capabilities is None or ctx.session.client_capabilities.sampling is None:
                raise MCPError(
                    code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
                    message="This tool needs sampling",
                    data={"requiredCapabilities": {"sampling": {}}},
                )
        case "test_trigger_tool_change":
            await bus.publish(ToolsListChanged())
        case "test_trigger_prompt_change":
            await bus.publish(PromptsListChanged())
        case unknown:
            raise MCPError(code=types.INVALID_PARAMS, message=f"no tool {unknown}")
    return DONE | {"content": [text("done")]}


async def list_resources(ctx: Any, params: Any) -> types.ListResourcesResult:
    uris = ("test://static-text", "test://static-binary", "test://watched-resource")
    return types.ListResourcesResult(
        resources=[types.Resource(uri=uri, name=uri, description=uri) for uri in uris],
        ttl_ms=60_000,
        cache_scope="private",
    )


async def list_templates(ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(uri_template="test://template/{id}/data", name="template", description="template")
    return types.ListResourceTemplatesResult(resource_templates=[template], ttl_ms=60_000, cache_scope="private")


async def read_resource(ctx: Any, params: types.ReadResourceRequestParams) -> dict[str, Any]:
    uri = str(params.uri)
    if uri == "test://static-binary":
        content: dict[str, Any] = {"uri": uri, "mimeType": "image/png", "blob": PIXEL}
    elif uri in ("test://static-text", "test://watched-resource"):
        content = {"uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource."}
    elif uri.startswith("test://template/"):
        body = f'{{"id":"{uri.split("/")[3]}","templateTest":true,"data":"Data for ID: {uri.split("/")[3]}"}}'
        content = {"uri": uri, "mimeType": "application/json", "text": body}
    else:
        raise MCPError(code=types.INVALID_PARAMS, message="Resource not found", data={"uri": uri})
    return DONE | {"contents": [content], "ttlMs": 60_000, "cacheScope": "private"}


async def empty(ctx: Any, params: Any) -> dict[str, Any]:
    return {}


PROMPTS: dict[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def list_prompts(ctx: Any, params: Any) -> types.ListPromptsResult:
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=name,
                arguments=[types.PromptArgument(name=arg, description=arg, required=True) for arg in arguments],
            )
            for name, arguments in PROMPTS.items()
        ],
        ttl_ms=60_000,
        cache_scope="private",
    )


async def get_prompt(ctx: Any, params: types.GetPromptRequestParams) -> dict[str, Any]:
    given = params.arguments or {}
    contents: list[dict[str, Any]]
    if params.name in ROUNDS and (asked := more_input(ctx, params.name)):
        return asked
    match params.name:
        case "test_simple_prompt" | "test_input_required_result_prompt":
            contents = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            contents = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            contents = [
                embedded(given["resourceUri"], "Embedded resource content for testing."),
                text("Please process it."),
            ]
        case "test_prompt_with_image":
            contents = [IMAGE, text("Please analyze the image above.")]
        case unknown:
            raise MCPError(code=types.INVALID_PARAMS, message=f"no prompt {unknown}")
    return DONE | {"messages": [{"role": "user", "content": content} for content in contents]}


async def complete(ctx: Any, params: Any) -> dict[str, Any]:
    return DONE | {"completion": {"values": [], "total": 0, "hasMore": False}}


def make_server() -> Server[Any]:
    server: Server[Any] = Server(
        "fixture",
        version="1",
        get_tool_input_schema=lambda name: SCHEMAS.get(name, EMPTY),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=empty,
        on_unsubscribe_resource=empty,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_subscriptions_listen=ListenHandler(bus),
    )
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, empty)
    return server


class User:
    """In the place of a user's memory, which the fixtures do not need."""

    id = "fixture"


async def anyone(scope: Any, client: str, key: str) -> Caller:
    return Caller(User(), Actor(client))  # type: ignore[arg-type]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The daemon's own gate and its own transports around the fixture server."""
    gate, mcp = state["gate"], state["mcp"]
    try:
        gate.admit(scope, dict(scope["headers"]))
        await mcp(scope, receive, send)
    except JmemError as error:
        answer = problem_answer(error)
        headers = [(b"content-type", answer.media.encode()), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


state: dict[str, Any] = {}


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    state.update(gate=Gate(port, lambda token: None), mcp=Mcp(make_server, b"fixture", anyone, anyone))
    config = uvicorn.Config(application, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    print(f"http://127.0.0.1:{port}/mcp/fixture/http/key", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
