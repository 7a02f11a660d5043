"""The outermost layer: the id of a request, the headers of every answer, and the answer when all else failed."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosted.edge.address import address_of
from hosted.edge.answers import for_whom_asks
from hosted.edge.context import Asking, current
from hosted.edge.problems import internal

HEADER = "x-request-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
STRICT_CSP = "default-src 'none'; frame-ancestors 'none'"
HSTS = "max-age=31536000"
ALWAYS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # no-referrer would also make Origin "null" on a page's own forms
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "content-security-policy": STRICT_CSP,
}
"""What an answer gets unless it has its own."""
_KEPT_NOWHERE = ("/api/", "/mcp", "/openmemory/")


class Requests:
    """Knows every request by an id, which is the caller's own if it has the form of one."""

    def __init__(self, app: ASGIApp, *, trusted_proxies: int = 0, https: bool = False) -> None:
        self._app, self._trusted, self._https = app, trusted_proxies, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything else passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asking = Asking(_id(scope), address_of(scope, self._trusted), scope["method"], scope["path"])
        scope.setdefault("state", {})["asking"] = asking  # for who looks at the request when it is over
        token = current.set(asking)
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._dress(MutableHeaders(scope=message), scope, asking)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:  # the process's edge: logged with its traceback, told as a problem
            answer = for_whom_asks(scope, internal(Request(scope), error))
            if started:
                raise  # half an answer is out: the server cuts the connection, so that nobody takes it for a whole one
            await answer(scope, receive, sending)
        finally:
            current.reset(token)

    def _dress(self, headers: MutableHeaders, scope: Scope, asking: Asking) -> None:
        headers[HEADER] = asking.id
        for name, value in ALWAYS.items():
            headers.setdefault(name, value)
        if self._https or scope.get("scheme") == "https":
            headers.setdefault("strict-transport-security", HSTS)
        if scope["path"].startswith(_KEPT_NOWHERE):
            headers.setdefault("cache-control", "no-store")


def _id(scope: Scope) -> str:
    given = Headers(scope=scope).getlist(HEADER)
    if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]):
        return given[0]
    return secrets.token_hex(8)
