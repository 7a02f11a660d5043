"""One HTTP connection, as the daemon and the hosted backend hold it: nobody keeps one, or memory, by sending slowly or
without end. uvicorn itself bounds neither."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jmem.core.errors import JmemError
from jmem.core.wire.refusals import HttpProblem

MAX_HEAD_BYTES = 64 * 1024
MAX_BESIDE_BYTES = 1024 * 1024
"""Bytes of a request after its head that are no body: sizes of chunks, and trailers, which the parser collects."""


class Bounded(HttpToolsProtocol):
    """A request's head has to arrive within a time and a size, and the rest of it within a time; an answer has to be taken.

    `silence_s` until the first byte, `head_s` from there to the end of the head, `rest_s` to the end of the request,
    `write_s` without a byte taken.
    """

    silence_s = 30.0
    head_s = 30.0
    rest_s = 30.0
    write_s = 60.0

    _in_head = True
    _head_bytes = 0
    _beside_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _refusal: JmemError | None = None
    """what the request is told once its head is here: who sent it would not read it before"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio: a client has connected."""
        super().connection_made(transport)
        self._arm(self.silence_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._disarm()
        self._resumed()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes for the parser."""
        if self._in_head:
            if not self._head_bytes:
                self._arm(self.head_s)
            self._head_bytes += len(data)
        else:
            self._beside_bytes += len(data)
        super().data_received(data)
        if (self._in_head and self._head_bytes > MAX_HEAD_BYTES) or self._beside_bytes > MAX_BESIDE_BYTES:
            self._refuse(_head_too_large())

    def on_headers_complete(self) -> None:
        """httptools: the request line and the headers are here."""
        if len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD_BYTES:
            self._refusal = _head_too_large()
        if self._refusal is not None:
            raise ValueError(self._refusal.message)  # the parser hands it to send_400_response
        self._in_head, self._beside_bytes = False, 0
        self._arm(self.rest_s)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._beside_bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """httptools: the whole request is here."""
        self._in_head, self._head_bytes, self._beside_bytes = True, 0, 0
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP, and close."""
        self._refuse(self._refusal or HttpProblem(400, "bad_request", "this is not an HTTP/1.1 request"))

    def _refuse(self, error: JmemError) -> None:
        if not self.transport.is_closing():
            body = to_json(error.problem())
            head = b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            phrase = HTTPStatus(error.status).phrase.encode()
            self.transport.write(head % (error.status, phrase, len(body)) + body)
            self.transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._in_head and self._head_bytes:
            self._refuse(HttpProblem(408, "timeout", f"the request took longer than {self.head_s:g} s to arrive"))
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """A reader that takes nothing for so long is dropped: nothing is buffered for it for ever."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """asyncio: the client reads again."""
        super().resume_writing()
        self._resumed()

    def _resumed(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _head_too_large() -> HttpProblem:
    return HttpProblem(431, "head_too_large", "the request's headers are too large")
