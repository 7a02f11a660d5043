"""The hosted backend for ten minutes at 80% of what it can do: no error, and memory that does not grow."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench import text
from bench.footprint import uss_mb
from bench.harness import Options, Row, Sample, below, info, main, ratio_of, say

USERS, WORKERS, EACH = 20, 8, 1_000
IN_FLIGHT = 32
"""Requests that the asking side holds open at once; one beyond them waits, which counts as its answer's time."""
SHARE = 0.8
PROBE_S = 10.0
LOOK_S = 2.0
"""How often the server's memory is looked at."""
UNLIMITED = dict.fromkeys(("RATE_READ", "RATE_SEARCH", "RATE_WRITE", "RATE_SYNC", "RATE_SIGN_IN", "RATE_ADDRESS"), "0")


@contextmanager
def backend() -> Iterator[tuple[dict[str, Any], int]]:
    """`python -m hosted dev` as a process: where everything is, and its id."""
    command = [sys.executable, "-P", "-m", "hosted", "dev", "--port", "0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **UNLIMITED, "PYTHONPATH": "."}
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@dataclass
class Load:
    """What people do, and what came of it."""

    http: httpx.AsyncClient
    tokens: list[str]
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    taken: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    """a memory that was read last, by who reads"""
    texts: Iterator[dict[str, Any]] = field(default_factory=lambda: text.memories(10_000_000))
    questions: list[str] = field(default_factory=lambda: text.questions(500))

    async def fill(self) -> None:
        """Give every account what one has that is in use: an empty one would promise more than a full one can do."""
        for token in self.tokens:
            for _ in range(0, EACH, 500):
                several = [{"op": "add", "content": next(self.texts)["content"]} for _ in range(500)]
                headers = {"authorization": f"Bearer {token}"}
                answer = await self.http.post("/api/v1/memories/batch", json={"operations": several}, headers=headers)
                answer.raise_for_status()

    async def one(self, start: float | None = None) -> None:
        """Six reads of ten, two searches, an edit, and a memory of the same few; asked for at `start`.

        Accounts stay as large as they are: what could be done a second would fall else while it is asked for.
        """
        token = self.rng.choice(self.tokens)
        headers = {"authorization": f"Bearer {token}"}
        kind = self.rng.random()
        start = time.perf_counter() if start is None else start
        try:
            if kind < 0.6:
                answer = await self.http.get("/api/v1/memories?limit=20", headers=headers)
                if answer.status_code == 200:
                    self.seen[token] = self.rng.choice(answer.json()["memories"])["id"]
            elif kind < 0.8:
                asked = {"query": self.rng.choice(self.questions), "mode": "text"}
                answer = await self.http.post("/api/v1/search", json=asked, headers=headers)
            elif kind < 0.9 and token in self.seen:
                changed = {"content": next(self.texts)["content"]}
                answer = await self.http.patch(f"/api/v1/memories/{self.seen[token]}", json=changed, headers=headers)
            else:
                again = {"content": f"remembered again and again {self.rng.randrange(50)}"}
                answer = await self.http.post("/api/v1/memories", json=again, headers=headers)
            if answer.status_code not in (200, 201):
                self.errors.append(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            self.errors.append(repr(error))
        self.taken.append((time.perf_counter() - start) * 1000)

    async def saturate(self, seconds: float) -> float:
        """Requests a second when each worker asks again as soon as it is answered."""
        end, before = time.monotonic() + seconds, len(self.taken)

        async def worker() -> None:
            while time.monotonic() < end:
                await self.one()

        await asyncio.gather(*(worker() for _ in range(WORKERS)))
        return (len(self.taken) - before) / seconds

    async def at(self, rate: float, seconds: float) -> None:
        """Ask at a rate, whether or not the last ones are answered; each counts from when it was due."""
        start, due = time.perf_counter(), 0

        async def worker() -> None:
            nonlocal due
            while (wait := due / rate) < seconds:
                due += 1
                await asyncio.sleep(max(0.0, start + wait - time.perf_counter()))
                await self.one(start + wait)

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def _people(http: httpx.AsyncClient, ready: dict[str, Any]) -> list[str]:
    tokens = []
    for _ in range(USERS):
        answer = await http.post(
            f"{ready['supabase_url']}/auth/v1/signup", headers={"apikey": ready["publishable_key"]},
            json={"email": f"{uuid.uuid4().hex}@example.com", "password": "correct horse"},
        )  # fmt: skip
        tokens.append(answer.raise_for_status().json()["access_token"])
    return tokens


async def _run(ready: dict[str, Any], pid: int, seconds: float) -> tuple[float, Load, list[float]]:
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx.AsyncClient(base_url=ready["url"], timeout=30, limits=limits) as http:
        load = Load(http, await _people(http, ready))
        say(f"filling {USERS} accounts with {EACH:,} memories each")
        await load.fill()
        await load.saturate(PROBE_S / 2)  # warm
        rate = await load.saturate(PROBE_S)
        say(f"{rate:.0f} requests a second at most; {seconds:.0f} s at {rate * SHARE:.0f}")
        load.taken.clear()
        sizes: list[float] = []

        async def look() -> None:
            while True:
                sizes.append(uss_mb(pid))
                await asyncio.sleep(LOOK_S)

        looking = asyncio.create_task(look())
        await load.at(rate * SHARE, seconds)
        looking.cancel()
        return rate, load, sizes


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    minutes = options.rest.minutes or (1.0 if options.quick else 10.0)
    with backend() as (ready, pid):
        rate, load, sizes = asyncio.run(_run(ready, pid, minutes * 60))
    for error in load.errors[:5]:
        say(error)
    third = max(1, len(sizes) // 3)
    middle, last = Sample(tuple(sizes[third : 2 * third] or sizes)), Sample(tuple(sizes[-third:]))
    taken = Sample(tuple(load.taken))
    return [
        info("saturation", rate, "requests/s"),
        info("requests", len(load.taken), ""),
        below("errors", len(load.errors), "", 0, inclusive=True),
        ratio_of("memory in the last third beside the one before", last.p50, middle.p50, "MB", 1.05, slack=4.0),
        info("answer, p50", taken.p50, "ms"),
        info("answer, p99", taken.quantile(0.99), "ms"),
    ]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this bench."""
    parser.add_argument("--minutes", type=float, help="how long (10; 1 with --quick)")


if __name__ == "__main__":
    main("hosted_soak", "The hosted backend at 80% of saturation", bench, arguments)
