"""A small MCP client of the standard library: adds, searches and deletes one memory through a server's entry."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from jmem.core.errors import JmemError, Unreachable

PROTOCOL = "2025-11-25"
DEADLINE = 30.0
"""seconds for the whole check"""


class CheckFailed(JmemError):
    """The round trip did not work; the message says at which step."""

    code = "check_failed"


@dataclass(frozen=True)
class Proof:
    """What a successful check saw."""

    server: str
    """name and version the server gave"""
    tools: tuple[str, ...]
    id: str
    """the probe's memory, forgotten again"""
    took_ms: float
    """from the start of the server to the answer of the search"""


class Stdio:
    """A server started as the client would start it."""

    def __init__(self, command: str, args: list[str], env: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self._deadline = time.monotonic() + DEADLINE
        try:
            self._process = subprocess.Popen(
                [command, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environ, **env},
            )
        except OSError as error:
            raise CheckFailed(f"{command} can't be started: {error.strerror}", fix="jmem doctor --fix") from None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._errors = bytearray()
        self._readers = [threading.Thread(target=work, daemon=True) for work in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(b"")

    def _read_errors(self) -> None:
        for line in self._process.stderr or ():
            self._errors += line

    def send(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Send one message; the answer to a request, None to a notification."""
        try:
            stdin = self._process.stdin
            assert stdin is not None
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
            if "id" not in message:
                return None
            while True:
                line = self._lines.get(timeout=max(0.01, self._deadline - time.monotonic()))
                if not line:
                    break
                answer = json.loads(line)
                if answer.get("id") == message["id"]:
                    return dict(answer)
        except queue.Empty:
            raise CheckFailed(f"no answer to {message['method']} in {DEADLINE:.0f} s", fix="jmem doctor") from None
        except (OSError, ValueError) as error:
            raise CheckFailed(f"{message['method']} failed: {error}{self._said()}", fix="jmem doctor") from None
        raise CheckFailed(f"the command ended at {message['method']}{self._said()}", fix="jmem doctor")

    def _said(self) -> str:
        self.close()
        text = self._errors.decode("utf-8", "replace").strip()
        return f"; it said: {text[-500:]}" if text else ""

    def close(self) -> None:
        """End the server as the protocol asks: close its input, then insist."""
        process = self._process
        try:
            if process.stdin:
                process.stdin.close()
        except OSError:
            pass
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader, stream in zip(self._readers, (process.stdout, process.stderr), strict=True):
            reader.join(timeout=1)  # a daemon that the command started may hold the pipe open: then leave it
            if stream and not reader.is_alive():
                stream.close()


class Http:
    """A server at a URL of streamable HTTP."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._session = ""

    def send(self, message: Mapping[str, Any]) -> dict[str, Any] | None:
        """Post one message; the answer to a request, None to a notification."""
        import http.client

        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port or 80, timeout=DEADLINE)
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if self._session:
            headers |= {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": PROTOCOL}
        try:
            connection.request("POST", self._url.path, json.dumps(message), headers)
            response = connection.getresponse()
            self._session = response.headers.get("Mcp-Session-Id") or self._session
            body = response.read()
        except OSError as error:
            where = f"{self._url.hostname}:{self._url.port}"
            raise Unreachable(f"nothing answers at {where}: {error}", fix="jmem daemon start") from None
        finally:
            connection.close()
        if response.status >= 400:
            raise CheckFailed(
                f"the server answered {response.status} to {message['method']}",
                fix="jmem connect NAME --http   writes the URL anew",
            )
        if "id" not in message:
            return None
        if response.headers.get_content_type() == "text/event-stream":
            return _event_with(body.decode("utf-8"), message["id"])
        return dict(json.loads(body))

    def close(self) -> None:
        """Nothing is kept open."""


def _event_with(stream: str, id: Any) -> dict[str, Any]:
    for event in stream.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:"))
        if data:
            message = json.loads(data)
            if message.get("id") == id:
                return dict(message)
    raise CheckFailed("the server's stream ended without an answer", fix="jmem doctor")


def server_for(entry: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Stdio | Http:
    """The server that a client's entry names; raises CheckFailed when it names none."""
    url = next((entry[key] for key in ("url", "serverUrl", "httpUrl") if isinstance(entry.get(key), str)), None)
    if url:
        return Http(url)
    if not isinstance(entry.get("command"), str):
        raise CheckFailed("the entry has neither a command nor a URL", fix="jmem connect NAME")
    return Stdio(entry["command"], list(entry.get("args") or []), entry.get("env") or {}, environ or os.environ)


def check(server: Stdio | Http, forget: Callable[[str], object]) -> Proof:
    """Prove that a memory added through the server is found through it. Raises CheckFailed.

    `forget` is given the id of what was added, whether it was found or not: the client itself may lack the right.
    """
    began = time.monotonic()
    text = f"jmem connection check {secrets.token_hex(8)}"
    try:
        hello = _ask(server, 1, "initialize", {"protocolVersion": PROTOCOL, "capabilities": {},
                     "clientInfo": {"name": "jmem-check", "version": "1"}})  # fmt: skip
        server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        tools = tuple(tool["name"] for tool in _ask(server, 2, "tools/list", {})["tools"])
        added = _call(server, 3, "add_memories", {"text": text})["memories"]
        id = added[0]["id"]
        try:
            found = _call(server, 4, "search_memory", {"query": text, "limit": 5})["memories"]
            if id not in [memory["id"] for memory in found]:
                raise CheckFailed("what was added is not found again", fix="jmem doctor")
            took_ms = (time.monotonic() - began) * 1000
        finally:
            forget(id)
    except (KeyError, IndexError, TypeError) as error:
        raise CheckFailed(f"the server's answer has an unexpected shape: {error!r}", fix="jmem doctor") from None
    finally:
        server.close()
    info = hello.get("serverInfo", {})
    return Proof(f"{info.get('name', '?')} {info.get('version', '?')}", tools, id, took_ms)


def _ask(server: Stdio | Http, id: int, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    answer = server.send({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) or {}
    if "error" in answer:
        raise CheckFailed(f"{method}: {answer['error'].get('message', answer['error'])}", fix="jmem doctor")
    return dict(answer["result"])


def _call(server: Stdio | Http, id: int, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    result = _ask(server, id, "tools/call", {"name": tool, "arguments": arguments})
    if result.get("isError"):
        said = " ".join(str(part.get("text", "")) for part in result.get("content", []))
        raise CheckFailed(f"{tool}: {said}")
    return dict(result["structuredContent"])
