"""The older transport by hand, to say what no proper client would."""

from __future__ import annotations

import json
from typing import Any, Self
from urllib.parse import urljoin

import httpx

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def message(method: str, params: Any = None, id: int | None = 1) -> dict[str, Any]:
    """A request, or a notification without an id."""
    found = {"jsonrpc": "2.0", "method": method, **({} if id is None else {"id": id})}
    return found if params is None else {**found, "params": params}


def call(name: str, id: int = 1, **arguments: Any) -> dict[str, Any]:
    """A call of a tool."""
    return message("tools/call", {"name": name, "arguments": arguments}, id)


class Stream:
    """An open stream; `endpoint` is where its messages go."""

    def __init__(self, address: str, timeout: float = 20) -> None:
        self._http = httpx.Client(timeout=timeout)
        self._opened = self._http.stream("GET", address, headers={"accept": "text/event-stream"})
        self.address = address

    def __enter__(self) -> Self:
        self._answer = self._opened.__enter__()
        assert self._answer.status_code == 200, self._answer.read()
        self._lines = self._answer.iter_lines()
        name, data = self.event()
        assert name == "endpoint"
        self.endpoint = urljoin(self.address, data)
        return self

    def __exit__(self, *details: Any) -> None:
        self._opened.__exit__(*details)
        self._http.close()

    def event(self) -> tuple[str, str]:
        """The next event: its name and data. Raises StopIteration at the end of the stream."""
        name = ""
        while line := next(self._lines):
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                return name, line[6:]
        return self.event()

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        name, data = self.event()
        assert name == "message"
        found: dict[str, Any] = json.loads(data)
        return found

    def post(self, body: Any, at: str | None = None) -> httpx.Response:
        """Send a message, by default to the stream's own address."""
        return httpx.post(at or self.endpoint, json=body, timeout=20)
