"""Acknowledged writes beside an fsync of the same file system, and when their vectors follow."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time

from bench import text
from bench.fill import filled
from bench.floor import Fsync
from bench.harness import Options, Row, Sample, at_most, below, info, interleaved, main
from bench.home import Api, Home, temporary_home, wait_for


class Wire:
    """A kept connection to the daemon's socket: what the daemon takes, without a client's own making and reading of messages."""

    def __init__(self, home: Home) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(home.socket_path))

    def add(self, content: str, **fields: str) -> float:
        """Milliseconds from the request to the whole answer."""
        body = json.dumps({"content": content, **fields}).encode()
        request = (
            "POST /api/v1/memories HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        start = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(1 << 20)
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])  # type: ignore[index]
        while len(rest) < length:
            rest += self._socket.recv(1 << 20)
        took = (time.perf_counter() - start) * 1000
        assert head.startswith(b"HTTP/1.1 201"), answer
        return took

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def _vector_follows(api: Api, content: str) -> float:
    start = time.perf_counter()
    api.add(content)
    wait_for(lambda: api.must("GET", "/status")["pending_index"] == 0, 30, "the vector")
    return (time.perf_counter() - start) * 1000


def _together(home: Home, told: list[str]) -> float:
    """Adds a second of four clients at once, which share commits."""

    def write(part: list[str]) -> None:
        with contextlib.closing(home.api()) as api:
            for content in part:
                api.add(content)

    threads = [threading.Thread(target=write, args=(told[at::4],)) for at in range(4)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(told) / (time.perf_counter() - start)


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    rounds = 60 if options.quick else 300
    with temporary_home(filled(10_000, synthetic=options.quick)) as home:
        home.start()
        told = [item["content"] for item in text.memories(2 * rounds + 300, seed=202)]
        sync = Fsync(home.user_folder)
        with contextlib.closing(home.api()) as api, contextlib.closing(Wire(home)) as wire:
            api.search("a question that waits for the model")

            def add(number: int) -> float:
                return wire.add(told[number])

            def into_thread(number: int) -> float:  # its neighbours' context is written anew with it
                return wire.add(told[rounds + 240 + number], thread="bench")

            def settle(number: int) -> float:
                wait_for(lambda: api.must("GET", "/status")["pending_index"] == 0, 30, "the vector")
                return 0.0

            floor, adds, _, threaded, _ = interleaved(
                rounds, [lambda n: sync.once(), add, settle, into_thread, settle], warm=5
            )
            follows = Sample(tuple(_vector_follows(api, told[rounds + 10 + n]) for n in range(20)))
            rate = _together(home, told[rounds + 40 : rounds + 240])
        sync.close()
    return [
        at_most("add over the socket, durable", adds, floor, 3, plus=1),
        info("the same into a conversation", threaded.p50, "ms", floor=floor.p50),
        info("add, p95", adds.quantile(0.95), "ms", floor=floor.quantile(0.95)),
        below("until its vector is there, slowest of 20", max(follows.values), "ms", 1000, inclusive=True),
        info("adds by four clients at once", rate, "/s"),
    ]


if __name__ == "__main__":
    main("writes", "Writes at 10,000 memories (floor: write and fsync of one page)", bench)
