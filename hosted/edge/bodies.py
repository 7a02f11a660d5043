"""How much may be sent, how long it may take to arrive, and how long an answer may take to begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosted.edge.answers import refuse
from jmem.core.errors import JmemError, TooLarge, Unreachable

CLOSE = {"connection": "close"}
"""The rest of a body that is not read must not be taken for the next request."""
CANCELLED_S = 0.1
"""Seconds within which whoever is too late is cancelled."""


class SlowBody(JmemError):
    """The request did not arrive whole in time."""

    code, status = "timeout", 408

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request did not arrive whole within {seconds:g} seconds", fix="send it again")


class TooSlow(Unreachable):
    """No answer was found in time."""

    code = "too_slow"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"there was no answer within {seconds:g} seconds; what was not finished was taken back",
                         fix="ask again in a while")  # fmt: skip


class _Refused(BaseException):
    """Passes every handler of the app on its way out of it, as a cancellation does."""

    def __init__(self, error: JmemError) -> None:
        self.error = error


class Bodies:
    """Bounds a request. `limit` tells how many bytes a method and path may be sent."""

    def __init__(
        self, app: ASGIApp, *, limit: Callable[[str, str], int], body_timeout: float, request_timeout: float
    ) -> None:
        self._app, self._limit = app, limit
        self._body_timeout, self._request_timeout = body_timeout, request_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within its bounds; anything else passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["method"], scope["path"])
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            await refuse(_too_large(limit), scope, receive, send, CLOSE)
            return
        await self._bounded(scope, _Body(receive, limit, self._body_timeout), send)

    async def _bounded(self, scope: Scope, body: _Body, send: Send) -> None:
        deadline = asyncio.timeout(self._request_timeout)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                if (
                    deadline.expired()
                ):  # who answers a moment too late is cancelled within this one, or has ignored that
                    await asyncio.sleep(CANCELLED_S)
                    raise _Refused(TooSlow(self._request_timeout))
                body.answered = True
                deadline.reschedule(None)  # a stream lasts as long as both sides want
            await send(message)

        error: JmemError
        try:
            async with deadline:
                await self._app(scope, body.receive, sending)
            return
        except _Refused as refused:
            error = refused.error
        except TimeoutError:
            if not deadline.expired():
                raise
            error = TooSlow(self._request_timeout)
        if not body.answered:
            headers = {**CLOSE, **({"retry-after": "5"} if isinstance(error, TooSlow) else {})}
            await refuse(error, scope, body.receive, send, headers)


class _Body:
    """A request's body on its way in."""

    def __init__(self, receive: Receive, limit: int, timeout: float) -> None:
        self._receive, self._limit, self._timeout = receive, limit, timeout
        self._size, self._whole = 0, False
        self._until = 0.0
        self.answered = False

    async def receive(self) -> Message:
        """The next piece; raises _Refused when there is too much of it, or when it takes too long."""
        if self._whole:
            return await self._receive()  # what comes now is the end of the connection, whenever that is
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + self._timeout
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            return self._refuse(SlowBody(self._timeout))
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > self._limit:
            return self._refuse(_too_large(self._limit))
        return message

    def _refuse(self, error: JmemError) -> Message:
        if self.answered:  # nobody waits for it any more
            return {"type": "http.disconnect"}
        raise _Refused(error)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a request has at most {limit:,} bytes here", limit=limit, fix="send it in parts")
