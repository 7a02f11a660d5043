from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.hosted.identity.conftest import supabase

__all__ = ["supabase"]


@dataclass
class Receiver:
    """Takes whatever is posted to it."""

    url: str
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    status: int = 200

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(body.decode("utf-8", "replace") for _, body in self.posted)

    def documents(self) -> list[Any]:
        """Every line that is JSON."""
        return [json.loads(line) for line in self.text.splitlines() if line.startswith(("{", "["))]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server of this machine that remembers what it is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = zlib.decompress(body, 31)
            made.posted.append((self.path, body))
            self.send_response(made.status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()
