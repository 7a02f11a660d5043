"""Around every request: its time and status by the route's template, and one line in the log.

Outermost of all layers, so that what the edge refuses is counted too. A path is never logged or counted as it came: it may
hold a key.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosted.operate.metrics import Metrics

_log = logging.getLogger("jmem.requests")
_QUIET = frozenset(("/health", "/ready", "/metrics"))
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
GONE = "499"
"""The status of an answer whose asker left before it began."""


class Watch:
    """Counts and logs requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note how that went; anything else passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})  # one dict for every layer: who asked is noted there
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            answer.failed = True
            raise
        finally:
            self._note(scope, answer)

    def _note(self, scope: Scope, answer: _Answer) -> None:
        route, method = template_of(scope), scope["method"] if scope["method"] in _METHODS else "other"
        seconds, status = answer.seconds(), answer.told()
        self._metrics.requests.labels(route, method, status).observe(seconds)
        if route in _QUIET and status.startswith("2"):
            return
        principal: Any = getattr(scope["state"].get("asking"), "principal", None)
        told: dict[str, Any] = {
            "method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1),
            "request_id": answer.request_id,
        }  # fmt: skip
        if principal is not None:
            told |= {"via": principal.via, "client": principal.actor.client}
        _log.log(logging.WARNING if status >= "500" else logging.INFO, "request", extra=told)


class _Answer:
    def __init__(self, send: Send) -> None:
        self._send, self._began = send, time.perf_counter()
        self._first = self._last = 0.0
        self._streams = False
        self.status = 0
        self.failed = False
        self.request_id: str | None = None

    async def send(self, message: Message) -> None:
        """Pass a piece of the answer on."""
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            self.status, self.request_id = message["status"], headers.get("x-request-id")
            self._streams = headers.get("content-type", "").startswith("text/event-stream")
            self._first = time.perf_counter()
        await self._send(message)
        self._last = time.perf_counter()

    def seconds(self) -> float:
        """Time to the last byte; of a stream, which lasts as long as both want, to its first."""
        return ((self._first if self._streams else self._last) or time.perf_counter()) - self._began

    def told(self) -> str:
        """The status as a label."""
        return str(self.status) if self.status else "500" if self.failed else GONE


def template_of(scope: Scope) -> str:
    """The template of the route that a request found; `other` where it found none."""
    route: Any = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    if isinstance(path, str):
        return path
    if scope["path"].startswith("/mcp/"):
        return "/mcp/{client}/{transport}/{key}"
    return "other"
