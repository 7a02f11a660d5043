"""One JSON-RPC message in, at most one answer out: what every transport has in common.

The protocol itself (versions, schemas, dispatch) is the SDK's; it is driven one request at a time, so that no
answer depends on what an earlier connection said, and so on whether the server has been restarted since.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.server.connection import Connection
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_one
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    unsupported_protocol_version_rejection,
    validate_mcp_param_headers,
)
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data, progress_token_from_params
from mcp.shared.message import MessageMetadata, ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    DEFAULT_NEGOTIATED_VERSION,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    RequestId,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

log = logging.getLogger(__name__)

Message = dict[str, Any]
Emit = Callable[[Message], Awaitable[None]]
"""Sends a notification that belongs to a request, before its answer."""


@dataclass(frozen=True, slots=True)
class Era:
    """The protocol a request speaks: its version and, from 2026-07-28 on, what the client says of itself."""

    version: str
    client_info: Any = None
    capabilities: Any = None
    modern: bool = False


@dataclass
class _Dispatch:
    """The SDK's context of one request. The server never asks its client anything, so requests have no way back."""

    transport: TransportContext
    request_id: RequestId
    message_metadata: MessageMetadata
    emit: Emit | None
    token: str | int | None
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    can_send_request: bool = field(default=False, init=False)

    async def send_raw_request(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> dict[str, Any]:
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: Any = None) -> None:
        if self.emit is not None:
            body = {} if params is None else {"params": dict(params)}
            await self.emit({"jsonrpc": "2.0", "method": method, **body})

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        if self.token is not None:
            known = {"total": total, "message": message}
            params = {k: v for k, v in known.items() if v is not None}
            await self.notify("notifications/progress", {"progressToken": self.token, "progress": progress, **params})


class BadMessage(Exception):
    """A message that can't be served, with the answer it gets."""

    def __init__(self, code: int, text: str, *, id: RequestId | None = None, data: Any = None) -> None:
        super().__init__(text)
        self.answer = _error(id, ErrorData(code=code, message=text, data=data))


def parse(body: bytes) -> Message:
    """The JSON-RPC message of a body; raises BadMessage.

    Batches, which only 2025-03-26 knew, are refused as they are by the SDK.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise BadMessage(PARSE_ERROR, "Parse error: the body is not JSON") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise BadMessage(INVALID_REQUEST, "Invalid request: not one JSON-RPC 2.0 message")
    id = message.get("id")
    if "id" in message and (isinstance(id, bool) or not isinstance(id, str | int)):
        raise BadMessage(INVALID_REQUEST, "Invalid request: an id is a text or a whole number")
    if "method" not in message:
        if "id" in message and ("result" in message or "error" in message):
            return message
        raise BadMessage(INVALID_REQUEST, "Invalid request: no method", id=id)
    if not isinstance(message["method"], str) or not isinstance(message.get("params", {}), dict):
        raise BadMessage(INVALID_REQUEST, "Invalid request: method is a text, params an object", id=id)
    return message


def is_request(message: Message) -> bool:
    """Whether a message wants an answer (and is not a notification or an answer itself)."""
    return "method" in message and "id" in message


def era_of(message: Message, version: str | None, headers: Mapping[str, str] | None) -> Era:
    """The protocol that a request speaks; raises BadMessage.

    Args:
        version: what the `MCP-Protocol-Version` header says, or what a handshake on this connection agreed on.
        headers: the request's headers where they must repeat what the body says (HTTP from 2026-07-28 on).
    """
    meta = message.get("params", {}).get("_meta")
    enveloped = isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta and message["method"] != "initialize"
    if not enveloped and (version is None or version in HANDSHAKE_PROTOCOL_VERSIONS):
        return Era(version or DEFAULT_NEGOTIATED_VERSION)
    route = classify_inbound_request(message, headers=headers)
    if isinstance(route, InboundLadderRejection):
        raise BadMessage(route.code, route.message, id=message["id"], data=route.data)
    return Era(route.protocol_version, route.client_info, route.client_capabilities, modern=True)


def check_notification(version: str | None) -> None:
    """Refuse a notification of a protocol version that is not served; raises BadMessage."""
    if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
        rejection = unsupported_protocol_version_rejection(version)
        if rejection is not None:
            raise BadMessage(rejection.code, rejection.message, data=rejection.data)


def check_param_headers(server: Server[Any], message: Message, headers: Mapping[str, str]) -> None:
    """Refuse a tool call whose `Mcp-Param-*` headers differ from its arguments; raises BadMessage."""
    params = message.get("params", {})
    arguments = params.get("arguments")
    if message["method"] != "tools/call" or server.get_tool_input_schema is None or not isinstance(arguments, dict):
        return
    schema = server.get_tool_input_schema(str(params.get("name")))
    rejection = schema and validate_mcp_param_headers(schema, arguments, headers)
    if rejection:
        raise BadMessage(rejection.code, rejection.message, id=message["id"], data=rejection.data)


async def answer(
    server: Server[Any],
    message: Message,
    era: Era,
    *,
    caller: Any,
    emit: Emit | None = None,
    headers: Mapping[str, str] | None = None,
) -> Message:
    """The answer to one request. Never raises for what a client can cause.

    Args:
        caller: whatever the handlers need to know of who asks; they find it as `ctx.request`.
    """
    params = message.get("params")
    dispatch = _Dispatch(
        transport=TransportContext(kind="jmem", can_send_request=False, headers=headers),
        request_id=message["id"],
        message_metadata=ServerMessageMetadata(request_context=caller, can_send_request=False),
        emit=emit,
        token=progress_token_from_params(params),
    )
    connection = Connection.from_envelope(era.version, era.client_info, era.capabilities)
    try:
        result = await serve_one(
            server, dispatch, message["method"], params, connection=connection, lifespan_state=None
        )
    except Exception as error:  # the protocol's edge: what is no MCP error is logged with its traceback
        data = handler_exception_to_error_data(error)
        if data is None:
            log.exception("an MCP request failed: %s", message["method"])
            data = ErrorData(code=INTERNAL_ERROR, message="Internal error; the log of the server has it")
        return _error(message["id"], data)
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def status_of(reply: Message, era: Era | None) -> int:
    """The HTTP status of an answer. Up to 2025-11-25 every answer of the protocol is a 200."""
    if "error" not in reply or (era is not None and not era.modern):
        return 200
    return ERROR_CODE_HTTP_STATUS.get(reply["error"]["code"], 200)


def encode(message: Message) -> bytes:
    """One line of JSON. A lone surrogate that a client sent and an error repeats becomes a question mark."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _error(id: RequestId | None, error: ErrorData) -> Message:
    return {"jsonrpc": "2.0", "id": id, "error": error.model_dump(mode="json", by_alias=True, exclude_none=True)}
