"""Who sends slowly, or without end: an app as it is served, with its patience cut short."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hosted.operate import serving

LINE = b"POST / HTTP/1.1\r\nHost: x\r\n"
FLOOD = 40 * 1024 * 1024


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the body, but at /unread answers at once, as one that refuses who asks."""
    while scope["path"] != "/unread" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


@contextlib.asynccontextmanager
async def served(patience: float) -> AsyncIterator[int]:
    ready = asyncio.Event()
    with serving.listen("127.0.0.1", 0, again="") as listening:
        options = serving.options(answer, body_timeout=patience, request_timeout=patience, lifespan="off")
        server = serving.Server(options, ready.set)
        task = asyncio.create_task(server.serve([listening]))
        await ready.wait()
        yield listening.getsockname()[1]
        server.should_exit = True
        await task


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with served(0.3) as made:
        yield made


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 5)
    return b""


@pytest.mark.parametrize("said", [b"", LINE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "begun", "second"])
async def test_half_a_head_is_given_up(port: int, said: bytes) -> None:
    async with connected(port) as (reader, writer):
        writer.write(said)
        await asyncio.sleep(0.1)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" if said != LINE else b"X: y")
        assert b"HTTP/1.1 408 " in await to_the_end(reader)


async def test_a_body_that_nobody_reads_is_given_up(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")
        dribbling = asyncio.create_task(dribble(writer))
        assert b"done" in await to_the_end(reader)
        dribbling.cancel()


async def dribble(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b".")
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "begin", [b"A: ", b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: "], ids=["head", "trailer"]
)
async def test_headers_without_end_are_not_kept(begin: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = 0
    async with served(60) as port, connected(port) as (reader, writer):  # it is the size that ends it, not the time
        with contextlib.suppress(ConnectionError):
            writer.write(LINE + begin)
            for _ in range(FLOOD // 65536):
                writer.write(b"a" * 65536)
                await asyncio.wait_for(writer.drain(), 5)
                sent += 65536
        assert b"HTTP/1.1 200 " not in await to_the_end(reader)
    assert sent < FLOOD // 2, "the peak below says nothing after a test that needed more"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < FLOOD // 1024 // 2


async def test_a_large_body_in_small_chunks_arrives(port: int) -> None:
    async with connected(port) as (reader, writer):
        writer.write(LINE + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        writer.write(b"400\r\n" + b"a" * 1024 + b"\r\n")
        writer.write((b"400\r\n" + b"a" * 1024 + b"\r\n") * 4096 + b"0\r\n\r\n")
        assert b"done" in await to_the_end(reader)
