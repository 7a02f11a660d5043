"""Clients that show the wire: what a library would hide, or would not dare to send."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

CLIENT_INFO = {"name": "raw", "version": "1"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT_INFO}


def request(
    method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: status, headers, body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json", **(headers or {})}
        connection.request(method, target, data, given)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


class Session:
    """Streamable HTTP, one message at a time."""

    def __init__(self, url: str, *, hello: bool = False) -> None:
        self.url = url
        self.headers: dict[str, str] = {}
        self.count = 0
        if hello:
            self.hello()

    def hello(self) -> str:
        """Shake hands; the session id."""
        status, headers, body = request(
            "POST", self.url, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
        )
        assert status == 200, body
        self.headers = {"Mcp-Session-Id": headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        return headers["mcp-session-id"]

    def send(self, method: str, params: Any = None, id: Any = None) -> tuple[int, dict[str, str], bytes]:
        self.count += 1
        message = {"jsonrpc": "2.0", "id": self.count if id is None else id, "method": method, "params": params or {}}
        return request("POST", self.url, message, self.headers)

    def ask(self, method: str, params: Any = None) -> Any:
        """The result of a request that has to succeed."""
        status, _, body = self.send(method, params)
        answer = json.loads(body)
        assert status == 200, body
        assert "result" in answer, answer
        return answer["result"]

    def tool(self, name: str, **arguments: Any) -> Any:
        """The result of a tool call."""
        return self.ask("tools/call", {"name": name, "arguments": arguments})


class Stream:
    """The legacy transport: a stream that is read in a thread, and POSTs beside it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self.connection.request("GET", parts.path, headers={"Accept": "text/event-stream"})
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.events: Queue[tuple[str, str] | None] = Queue()
        self.comments: Queue[str] = Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        kind, self.endpoint = self.next()
        assert kind == "endpoint"

    def _read(self) -> None:
        kind = ""
        try:
            while line := self.response.readline():
                text = line.decode().rstrip("\r\n")
                if text.startswith(":"):
                    self.comments.put(text)
                elif text.startswith("event: "):
                    kind = text[7:]
                elif text.startswith("data: "):
                    self.events.put((kind, text[6:]))
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            pass  # the stream ended, or the test closed it
        self.events.put(None)

    def next(self) -> tuple[str, str]:
        event = self.events.get(timeout=30)
        assert event is not None, "the stream has ended"
        return event

    def message(self) -> Any:
        return json.loads(self.next()[1])

    def post(self, message: Any, endpoint: str | None = None) -> int:
        """Send a message; the status of the POST."""
        return request("POST", self.base + (endpoint or self.endpoint), message)[0]

    def ask(self, method: str, params: Any = None, id: Any = 1) -> Any:
        assert self.post({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}) == 202
        return self.message()

    def close(self) -> None:
        """Hang up, as a client does that is closed."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join(timeout=10)
        self.response.close()
        self.connection.close()
        self.socket.close()


class Lines:
    """A stdio server as a child process: one JSON-RPC message a line."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.count = 0
        self.output: Queue[bytes | None] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.put(line)
        self.output.put(None)

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(timeout=10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, message: Any) -> None:
        self.write(json.dumps(message).encode())

    def next(self) -> Any:
        """The next message of the server."""
        line = self.output.get(timeout=60)
        assert line is not None, "the server has ended"
        return json.loads(line)

    def ask(self, method: str, params: Any = None) -> Any:
        """The result of a request that has to succeed."""
        self.count += 1
        self.send({"jsonrpc": "2.0", "id": f"ask-{self.count}", "method": method, "params": params or {}})
        answer = self.next()
        assert answer.get("id") == f"ask-{self.count}", answer
        assert "result" in answer, answer
        return answer["result"]

    def tool(self, name: str, **arguments: Any) -> Any:
        return self.ask("tools/call", {"name": name, "arguments": arguments})

    def end(self) -> int:
        """Close its input and wait for its end; the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=60)
