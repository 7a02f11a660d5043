"""Counts that several replicas share, in a real Redis."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hosted.edge import rates
from hosted.edge.rates import Rates, TooMany

DEADLINE_S = 10.0


class Server:
    """A Redis that listens on a socket of its own and keeps nothing."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed; ./test.sh installs it"
        self._command = [
            program,
            "--port",
            "0",
            "--unixsocket",
            str(folder / "redis"),
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        self.url = f"unix://{folder / 'redis'}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    async def answers(self) -> None:
        async with Redis.from_url(self.url) as client, asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await client.ping()
                    return
                except (RedisError, OSError):
                    await asyncio.sleep(0.02)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("r"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def replicas(server: Server) -> AsyncIterator[tuple[Rates, Rates]]:
    """The counts of two processes."""
    await server.answers()
    async with AsyncExitStack() as stack:
        made = Rates({"write": 3}, server.url), Rates({"write": 3}, server.url)
        for one in made:
            await stack.enter_async_context(one.running())
        yield made


async def test_two_replicas_count_as_one(replicas: tuple[Rates, Rates]) -> None:
    one, two = replicas
    user = str(uuid.uuid4())
    left = [(await each.count("write", user)).left for each in (one, two, one)]  # type: ignore[union-attr]
    assert left == [2, 1, 0]
    for each in (one, two):
        with pytest.raises(TooMany) as refused:
            await each.count("write", user)
        assert 1 <= refused.value.counted.reset <= 60
    assert await one.count("write", str(uuid.uuid4())) is not None


async def test_while_redis_is_away_each_counts_for_itself(replicas: tuple[Rates, Rates], server: Server) -> None:
    one, two = replicas
    user = str(uuid.uuid4())
    await one.count("write", user)
    server.stop()
    for each in (one, two):
        assert [(await each.count("write", user)).left for _ in range(3)] == [2, 1, 0]  # type: ignore[union-attr]
        with pytest.raises(TooMany):
            await each.count("write", user)


async def test_it_is_asked_again_when_it_is_back(
    replicas: tuple[Rates, Rates], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "AWAY_S", 0.05)
    one, two = replicas
    user = str(uuid.uuid4())
    server.stop()
    await one.count("write", user)
    server.start()
    await server.answers()
    await asyncio.sleep(0.1)  # it is not asked for a while after it failed
    assert [(await each.count("write", user)).left for each in (one, two)] == [2, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("said", [b"+OK\r\n", b":5\r\n", b"*2\r\n:1\r\n:2\r\n"], ids=["ok", "number", "two"])
async def test_each_counts_for_itself_where_what_answers_tells_no_counts(tmp_path: Path, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65536):
            writer.write(said * asked.count(b"*"))
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "r")
    made = Rates({"write": 2}, f"unix://{tmp_path / 'r'}")
    async with server, made.running():
        assert [(await made.count("write", "u")).left for _ in range(2)] == [1, 0]  # type: ignore[union-attr]
        with pytest.raises(TooMany):
            await made.count("write", "u")


async def test_what_is_over_is_forgotten_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "SWEEP_S", 0.02)
    counts = Rates({"write": 3})
    async with counts.running():
        for _ in range(50):
            await counts.count("write", str(uuid.uuid4()))
        held = counts._memory.expirations
        assert len(held) == 50
        for key in held:
            held[key] = 0.0
        async with asyncio.timeout(DEADLINE_S):
            while held:
                await asyncio.sleep(0.02)
    assert not counts._memory.storage
