"""The first requests of a program, answered before the SDK is imported: the same answers, or none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from daemon.mcp.caller import Caller
from daemon.mcp.early import VERSIONS, Early
from daemon.mcp.server import make_server
from jmem.core.actor import Actor
from jmem.core.mcp import exchange
from jmem.core.mcp.sessions import Sessions
from tests.mcp.raw import HELLO

CALLER = Caller(SimpleNamespace(id="user"), Actor("claude"))  # type: ignore[arg-type]
HEADERS = [(b"accept", b"application/json, text/event-stream"), (b"content-type", b"application/json")]


def early(**options: Any) -> Early:
    return Early(Sessions(b"secret"), **{"delete_all": False, **options})


def body(method: str, params: Any = None, id: Any = 1) -> bytes:
    message = {"jsonrpc": "2.0", "method": method}
    message |= {} if id is None else {"id": id}
    return json.dumps(message if params is None else {**message, "params": params}).encode()


def test_the_versions_are_the_sdks() -> None:
    assert VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS


@pytest.mark.parametrize("delete_all", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_answers_are_the_sdks(version: str, delete_all: bool) -> None:
    server, mine = make_server(delete_all=delete_all), early(delete_all=delete_all)
    headers = [*HEADERS, (b"mcp-protocol-version", version.encode())]
    requests = [("initialize", {**HELLO, "protocolVersion": version}), ("ping", None), ("ping", {}), ("tools/list", {})]
    for method, params in requests:
        sent = body(method, params, "an id")
        theirs = asyncio.run(exchange.answer(server, json.loads(sent), exchange.Era(version), caller=CALLER))
        for handler in ("http", "stdio"):
            answer = mine.answer(handler, CALLER, headers, sent)
            assert answer is not None
            assert json.loads(answer.body) == theirs
            assert bool(answer.headers) == (handler == "http" and method == "initialize")
            assert answer.last == (method == "tools/list")


@pytest.mark.parametrize(
    ("handler", "headers", "sent"),
    [
        ("http", HEADERS, body("tools/call", {"name": "search_memory"})),
        ("http", HEADERS, body("tools/list", {"cursor": "x"})),
        ("http", HEADERS, body("ping", {"_meta": {}})),
        ("http", HEADERS, body("resources/list")),
        ("http", HEADERS, body("initialize", {**HELLO, "protocolVersion": "2026-07-28"})),
        ("http", HEADERS, body("initialize", {**HELLO, "clientInfo": {"name": "x"}})),
        ("http", HEADERS, body("initialize")),
        ("http", HEADERS, body("ping", [])),
        ("http", HEADERS, body("ping", id=True)),
        ("http", HEADERS, body("ping", id=1.5)),
        ("http", HEADERS, body("notifications/cancelled", {"requestId": 1}, None)),
        ("http", HEADERS, b"not json"),
        ("http", HEADERS, b"[]"),
        ("http", HEADERS, b'{"method":"ping","id":1}'),
        ("http", HEADERS, b'{"jsonrpc":"2.0","method":"ping","id":"\\ud800"}'),
        ("http", HEADERS, b"[" * 100_000),
        ("http", HEADERS[1:], body("ping")),
        ("http", HEADERS[:1], body("ping")),
        ("http", [*HEADERS, (b"mcp-session-id", b"made-up")], body("ping")),
        ("http", [*HEADERS, (b"mcp-protocol-version", b"2026-07-28")], body("ping")),
        ("http", [*HEADERS, (b"mcp-method", b"ping")], body("ping")),
        ("http", [*HEADERS, HEADERS[0]], body("ping")),
        ("stdio", [(b"mcp-protocol-version", b"1999-01-01")], body("ping")),
    ],
)
def test_whatever_is_not_plain_waits_for_the_sdk(handler: str, headers: list[tuple[bytes, bytes]], sent: bytes) -> None:
    assert early().answer(handler, CALLER, headers, sent) is None


def test_a_session_of_an_early_answer_is_known() -> None:
    mine = early()
    hello = mine.answer("http", CALLER, HEADERS, body("initialize", HELLO))
    assert hello is not None
    headers = [*HEADERS, *hello.headers]
    noted = mine.answer("http", CALLER, headers, body("notifications/initialized", id=None))
    assert noted is not None
    assert (noted.status, noted.body) == (202, b"")
    assert mine.answer("http", CALLER, headers, body("tools/list")) is not None


_WITHOUT_SDK = """
import asyncio, json, sys
from types import SimpleNamespace
from daemon.mcp import Mcp
from daemon.mcp.caller import Caller
from jmem.core.actor import Actor

async def anyone(scope, client, key):
    return Caller(SimpleNamespace(id="user"), Actor(client))

def make_early(sessions):
    from daemon.mcp.early import Early
    return Early(sessions, delete_all=False)

def make_server():
    print("made")
    from daemon.mcp.server import make_server
    return make_server(delete_all=False)

async def main():
    mcp = Mcp(make_server, b"secret", anyone, anyone, make_early=make_early)
    async def ask(method, **params):
        sent, parts = [], [json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()]
        parts = [parts[0][:9], parts[0][9:]]
        async def receive():
            if not parts:
                await asyncio.sleep(60)
            piece = parts.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(parts)}
        async def send(message):
            sent.append(message)
        scope = {"type": "http", "method": "POST", "path": "/mcp/claude/stdio", "headers": [], "query_string": b""}
        await mcp(scope, receive, send)
        return json.loads(b"".join(m.get("body", b"") for m in sent))
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    assert "result" in await ask("initialize", **hello)
    assert "result" in await ask("ping")
    assert len((await ask("tools/list"))["result"]["tools"]) == 4
    print("mcp" in sys.modules)
    assert "Unknown tool" in str(await ask("tools/call", name="no-such-tool", arguments={}))
    await mcp.close()

asyncio.run(main())
"""


def test_tools_are_listed_without_the_sdk_and_the_rest_waits_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_SDK], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["False", "made"]), done.stderr
