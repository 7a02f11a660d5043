"""What every program asks first, answered while the SDK is not imported yet.

The import takes most of a second, longer than the model takes to load, and the answers to these few requests never
change. Only requests beyond doubt are answered here; whatever else comes waits for the SDK, which decides. Once it is
there this is not asked any more; a test holds both answers against each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.mcp.about import INSTRUCTIONS
from daemon.mcp.caller import Caller
from jmem.core.mcp.sessions import SESSION_HEADER, Sessions
from jmem.core.mcp.tools import SERVER, offered

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The SDK's protocol versions with a handshake."""
_SESSION, _VERSION = SESSION_HEADER.encode(), b"mcp-protocol-version"
_HTTP = "http"


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """An answer; `last` when a program has what it needs and asks for work next."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    last: bool = False


class Early:
    """Answers for one server."""

    def __init__(self, sessions: Sessions, *, delete_all: bool) -> None:
        self._sessions = sessions
        self._tools = {"tools": [tool.declaration() for tool in offered(delete_all=delete_all).values()]}

    def answer(
        self, handler: str, caller: Caller, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> EarlyAnswer | None:
        """The answer to a POST of the route `handler`; None for what the SDK is to look at."""
        given = dict(headers)
        if len(given) != len(headers) or not self._plain_headers(handler, caller, given):
            return None
        message = _message(body)
        if message is None:
            return None
        if "id" not in message:
            return EarlyAnswer(202) if message["method"] == "notifications/initialized" else None
        result = self._result(message["method"], message.get("params", {}))
        if result is None:
            return None
        session: tuple[tuple[bytes, bytes], ...] = ()
        if handler == _HTTP and message["method"] == "initialize":
            id = given[_SESSION].decode() if _SESSION in given else self._sessions.new(caller.account, caller.client)
            session = ((_SESSION, id.encode()),)
        text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}, ensure_ascii=False)
        try:
            return EarlyAnswer(200, text.encode(), session, message["method"] == "tools/list")
        except UnicodeEncodeError:  # an id with half a character
            return None

    def _plain_headers(self, handler: str, caller: Caller, given: Mapping[bytes, bytes]) -> bool:
        if given.get(_VERSION, VERSIONS[0].encode()).decode("latin-1") not in VERSIONS:
            return False
        if handler != _HTTP:
            return True
        session = given.get(_SESSION)
        if session is not None and not self._sessions.known(session.decode("latin-1"), caller.account, caller.client):
            return False
        if any(name.startswith(b"mcp-") and name not in (_SESSION, _VERSION) for name in given):
            return False
        json_wanted = b"application/json" in given.get(b"accept", b"")
        return json_wanted and given.get(b"content-type", b"").startswith(b"application/json")

    def _result(self, method: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
        match method:
            case "ping" if not params:
                return {}
            case "tools/list" if not params:
                return self._tools
            case "initialize" if _is_hello(params):
                capabilities = {"tools": {"listChanged": False}}
                return {
                    "protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": SERVER,
                    "instructions": INSTRUCTIONS,
                }  # fmt: skip
        return None


def _message(body: bytes) -> dict[str, Any] | None:
    """A request, or a notification without an id, of the plainest form."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return None
    if "id" in message and type(message["id"]) not in (str, int):
        return None
    return message if isinstance(message.get("params", {}), dict) else None


def _is_hello(params: Mapping[str, Any]) -> bool:
    info = params.get("clientInfo")
    return (
        params.keys() == {"protocolVersion", "capabilities", "clientInfo"}
        and params["protocolVersion"] in VERSIONS
        and isinstance(params["capabilities"], dict)
        and isinstance(info, dict)
        and isinstance(info.get("name"), str)
        and isinstance(info.get("version"), str)
    )
