"""An OpenAI-compatible server on this machine, which the official client talks to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Model:
    """An OpenAI-compatible server whose answers a test chooses; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[BaseHTTPRequestHandler, dict[str, Any]], None] = says(
            {"memories": [], "already_known": []}
        )
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                model.asked.append({"path": self.path, "headers": dict(self.headers), **body})
                model.answer(self, body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def passage(self) -> dict[str, Any]:
        """What the model was last asked about."""
        sent: dict[str, Any] = json.loads(self.asked[-1]["messages"][1]["content"])
        return sent

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, media: str = "application/json") -> None:
    handler.send_response(status)
    handler.send_header("content-type", media)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def says(content: Any) -> Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]:
    """A well-formed completion with this content."""

    def answer(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        text = content if isinstance(content, str) or content is None else json.dumps(content)
        message = {"role": "assistant", "content": text}
        reply = {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"],
                 "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}  # fmt: skip
        send(handler, 200, json.dumps(reply).encode())

    return answer


def fails(status: int) -> Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]:
    return lambda handler, body: send(handler, status, b'{"error":{"message":"no"}}')


def facts(*rows: tuple[str, int | None], known: list[int] | None = None, when: str | None = None) -> dict[str, Any]:
    return {"memories": [{"text": t, "replaces": r, "when": when} for t, r in rows], "already_known": known or []}
