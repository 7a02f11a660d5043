"""Clients that dawdle: the server itself on a socket, with its patience cut short."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon import server
from daemon.server import Server


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the body; at /flood it writes more than any buffer holds."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(500 if scope["path"] == "/flood" else 0):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
    await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
async def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Path]:
    for name in ("silence_s", "head_s", "rest_s", "write_s"):
        monkeypatch.setattr(server.Protocol, name, 0.2)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(server, "STOP_TIMEOUT_S", 1.0)
    monkeypatch.setattr(server, "MAX_REFUSED", 2)
    listening, tcp = socket.socket(socket.AF_UNIX), socket.socket()
    listening.bind(str(tmp_path / "s"))
    tcp.bind(("127.0.0.1", 0))
    (tmp_path / "port").write_text(str(tcp.getsockname()[1]))
    for each in (listening, tcp):
        each.listen()
        each.setblocking(False)

    async def nothing() -> None:
        return

    running = Server(answer, nothing)
    ready = asyncio.Event()
    task = asyncio.create_task(running.run_on([listening, tcp], ready.set))
    await ready.wait()
    yield tmp_path / "s"
    running.stop()
    await task


async def _ask(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    got = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return got


async def test_half_a_head_is_given_up(path: Path) -> None:
    assert (await _ask(path, b"GET / HTTP/1.1\r\nHost: x\r\n")).startswith(b"HTTP/1.1 408 ")


async def test_half_a_body_is_given_up(path: Path) -> None:
    assert await _ask(path, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf") == b""


async def test_a_silent_connection_is_closed(path: Path) -> None:
    assert await _ask(path, b"") == b""


async def test_a_whole_request_is_answered_and_the_next_one_too(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    for _ in range(3):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nwhol")
        assert b"done" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        await asyncio.sleep(0.3)  # longer than a request may take: an idle connection is another thing
    writer.close()
    await writer.wait_closed()


async def test_a_reader_that_takes_nothing_is_dropped(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path, limit=1024)
    writer.write(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.6)  # three times as long as the server waits for a reader
    got = 0
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(1 << 20), 5):
            got += len(piece)
    assert got < 500 * 65536
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_too_many_connections_are_told_so(path: Path) -> None:
    held = [await asyncio.open_unix_connection(path) for _ in range(4)]
    for _, writer in held:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for reader, _ in held:
        await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
    assert (await _ask(path, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    assert b"200" in (await _ask(path, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))


async def test_connections_on_tcp_do_not_keep_the_owner_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.Protocol, "silence_s", 30.0)
    port = int(path.with_name("port").read_text())
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
    # 4 are served, 2 would be told why not, and no more are kept
    for reader, _ in held[6:]:
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
    assert b"200" in await _ask(path, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    held[5][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await asyncio.wait_for(held[5][0].read(), 5)).startswith(b"HTTP/1.1 503 ")
    for _, writer in held:
        writer.close()
