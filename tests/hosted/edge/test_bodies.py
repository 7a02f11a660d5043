"""How large, how slow: bodies and answers are bounded at every address, and streams are not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosted.edge.bodies import Bodies
from hosted.edge.compose import PAGE_BYTES, body_limit
from jmem.core.model import MAX_BATCH_BYTES
from tests.hosted.edge.conftest import Serving

Serve = Callable[..., Serving]
EVERYWHERE = (
    "/api/v1/echo",
    "/api/v1/nothing",
    "/mcp/claude/http/key",
    "/sign-in",
    "/nothing/at/all",
    "/openmemory/api/v1/x",
)


@pytest.mark.parametrize("path", EVERYWHERE)
def test_a_body_that_says_it_is_too_large_is_not_read(plain: httpx.Client, path: str) -> None:
    limit = body_limit("POST", path)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {limit + 1}\r\n\r\n".encode()
    url = httpx.URL(plain.base_url)
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in answer
    assert b"x-request-id" in answer.lower()


def test_a_body_without_a_length_is_counted(plain: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(MAX_BATCH_BYTES // 65536 + 2):
            yield b"x" * 65536

    answer = plain.post("/api/v1/echo", content=endless())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert plain.post("/api/v1/echo", content=b"x" * 100_000).json()["bytes"] == 100_000


def test_pages_and_assistants_send_less_than_programs() -> None:
    assert {
        body_limit("POST", path)
        for path in ("/sign-in", "/mcp", "/mcp/claude/http/k", "/openmemory/api/v1/memories/", "/x")
    } == {PAGE_BYTES}
    assert body_limit("POST", "/api/v1/memories/batch") == MAX_BATCH_BYTES


def test_a_slow_body_times_out(serve: Serve) -> None:
    server = serve(body_timeout=0.3)
    began = time.monotonic()
    answer = server.raw(b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code":"timeout"' in answer
    assert 0.25 < time.monotonic() - began < 3
    assert b"connection: close" in answer.lower()


def test_a_body_that_trickles_has_one_time_for_all_of_it(serve: Serve) -> None:
    server = serve(body_timeout=0.5)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        began, answer = time.monotonic(), b""
        connection.settimeout(0.1)
        while not answer and time.monotonic() - began < 5:
            try:
                connection.sendall(b"x")
                answer = connection.recv(65536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_an_answer_that_takes_too_long_is_given_up(serve: Serve) -> None:
    server = serve(request_timeout=0.3)
    answer = httpx.get(server.url + "/api/v1/slow")
    assert (answer.status_code, answer.json()["code"]) == (503, "too_slow")
    assert answer.headers["retry-after"] == "5"
    assert server.small.cancelled.wait(2)


OK: Message = {"type": "http.response.start", "status": 200, "headers": []}


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    """Begins its answer in the moment in which its time ends."""

    async def answer() -> None:
        time.sleep(0.05)
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the time is over by now, and whoever waits for this does not know it yet
        await send(OK)

    async with asyncio.TaskGroup() as group:  # as Starlette sends a stream
        group.create_task(answer())


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """Does not hear that its time is over."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(9)
    await send(OK)


@pytest.mark.parametrize("app", [late, deaf])
async def test_an_answer_that_begins_too_late_is_given_up(app: ASGIApp) -> None:
    said: list[Message] = []

    async def send(message: Message) -> None:
        said.append(message)

    bounded = Bodies(app, limit=lambda method, path: 1, body_timeout=1.0, request_timeout=0.02)
    scope = {"type": "http", "method": "GET", "path": "/api/v1/x", "headers": [], "query_string": b""}
    await bounded(scope, lambda: asyncio.sleep(9, {"type": "http.disconnect"}), send)
    assert [message["status"] for message in said if message["type"] == "http.response.start"] == [503]


def test_a_stream_outlives_the_time_that_an_answer_may_take_to_begin(serve: Serve) -> None:
    server = serve(request_timeout=0.2, body_timeout=0.2)
    arrived: list[float] = []
    with httpx.stream("GET", server.url + "/api/v1/stream") as answer:
        for piece in answer.iter_raw():
            arrived.append(time.monotonic())
            if piece.startswith(b"data: 12\n"):
                break
    assert len(arrived) >= 10, "events are held back"
    assert arrived[-1] - arrived[0] > 0.4
    assert server.small.left.wait(3), "the disconnect was not felt"


def test_whoever_goes_away_ends_the_stream(serve: Serve) -> None:
    server = serve(request_timeout=5)
    with httpx.stream("GET", server.url + "/api/v1/stream") as answer:
        pieces = answer.iter_raw()  # one that nobody holds closes the connection
        next(pieces)
        assert not server.small.left.is_set()
    assert server.small.left.wait(3)
