"""What open MCP sessions over HTTP+SSE cost the hosted backend, and whether each gets every answer."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.footprint import uss_mb
from bench.harness import Options, Row, below, info, main

SESSIONS = 200
PEOPLE = 10
CALLS = 3
BUDGET_MB = 60.0
ROOT = Path(__file__).parents[1]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


@contextlib.contextmanager
def backend() -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole backend on this machine: its process, and what it says when it is ready."""
    rates = {f"RATE_{name}": "0" for name in ("ADDRESS", "SIGN_IN", "READ", "SEARCH", "WRITE", "SYNC")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hosted", "dev", "--port", "0", "--json"], env={**os.environ, **rates}, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.pid, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def personal_url(ready: dict[str, Any]) -> str:
    """The HTTP+SSE address of somebody new, with a memory to find."""
    asked = {"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse"}
    made = httpx.post(
        f"{ready['supabase_url']}/auth/v1/signup", json=asked, headers={"apikey": ready["publishable_key"]}
    )
    bearer = {"authorization": f"Bearer {made.raise_for_status().json()['access_token']}"}
    api = f"{ready['url']}/api/v1"
    httpx.post(f"{api}/memories", json={"content": "The boat is called Sirocco"}, headers=bearer).raise_for_status()
    told = httpx.post(f"{api}/connections", json={"client": "claude"}, headers=bearer)
    address: str = told.raise_for_status().json()["sse"]
    return address


@dataclass
class Session:
    """One open stream, as cheap for this process as can be."""

    socket: socket.socket
    endpoint: str
    held: bytes = b""

    @staticmethod
    def open(url: str) -> Session:
        """Open a stream, up to the event that says where messages go."""
        parts = urlsplit(url)
        made = socket.create_connection((str(parts.hostname), parts.port or 80), timeout=60)
        made.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode())
        session = Session(made, "")
        session.endpoint = f"{parts.scheme}://{parts.netloc}{session.event('endpoint').decode()}"
        return session

    def event(self, name: str) -> bytes:
        """The data of the next event of this name."""
        mark = f"event: {name}\ndata: ".encode()
        while True:
            _, found, rest = self.held.partition(mark)
            data, end, after = rest.partition(b"\n\n")
            if found and end:
                self.held = after
                return data
            piece = self.socket.recv(65536)
            assert piece, "the stream ended"
            self.held += piece


def ask(http: httpx.Client, session: Session, id: int) -> None:
    """Send what a program sends: a greeting first, then calls."""
    params: dict[str, Any] = HELLO if id == 0 else {"name": "search_memory", "arguments": {"query": "boat"}}
    method = "initialize" if id == 0 else "tools/call"
    sent = http.post(session.endpoint, json={"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    assert sent.status_code == 202, sent.text


def bench(options: Options) -> list[Row]:
    """Open all of them, call in each, and read every answer."""
    count = SESSIONS // 4 if options.quick else SESSIONS
    with backend() as (pid, ready), httpx.Client(timeout=60) as http, contextlib.ExitStack() as stack:
        urls = [personal_url(ready) for _ in range(PEOPLE)]
        for url in urls:  # what the first calls import and connect is no session's cost
            warm = Session.open(url)
            for id in range(CALLS + 1):
                ask(http, warm, id)
                warm.event("message")
            warm.socket.close()
        time.sleep(1)
        before = uss_mb(pid)
        sessions = [Session.open(urls[n % PEOPLE]) for n in range(count)]
        for session in sessions:
            stack.callback(session.socket.close)
        opened = uss_mb(pid)
        start = time.perf_counter()
        for id in range(CALLS + 1):
            for session in sessions:
                ask(http, session, id)
        answered = sum(
            json.loads(s.event("message"))["id"] in range(CALLS + 1) for s in sessions for _ in range(CALLS + 1)
        )
        seconds = time.perf_counter() - start
        after = uss_mb(pid)
    missing = count * (CALLS + 1) - answered
    return [
        below(f"memory of {count} open sessions, after calls", after - before, "MB", BUDGET_MB),
        info(f"memory of {count} open sessions, silent", opened - before, "MB"),
        below("answers that did not come", float(missing), "", 0.0, inclusive=True),
        info("answers a second, one after the other", answered / seconds, "/s"),
    ]


if __name__ == "__main__":
    main("hosted_sse", "Open MCP sessions over HTTP+SSE", bench)
