"""Floors: what the machine itself takes, measured beside what jmem takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

_WORKER = """
import json, os, sys, time
from jmem.core.embed import make_embedder
from jmem.core.settings import load
embedder = make_embedder(load(os.environ))
embedder.load()
embedder.embed(["warm up"])
print("ready", flush=True)
for line in sys.stdin:
    texts = json.loads(line)
    start = time.perf_counter()
    embedder.embed(texts)
    print((time.perf_counter() - start) * 1000, flush=True)
"""


class EmbedderAlone:
    """The project's embedder with nothing around it, in a process of its own with the daemon's settings."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout

    def __enter__(self) -> EmbedderAlone:
        if self._out.readline().strip() != "ready":
            raise RuntimeError("the embedder did not load")
        return self

    def embed(self, texts: list[str]) -> float:
        """Milliseconds for one call, as measured in the process itself."""
        self._in.write(json.dumps(texts) + "\n")
        self._in.flush()
        return float(self._out.readline())

    def texts_per_second(self, texts: list[str]) -> float:
        """The best throughput it has: in batches of similar length, small or large."""
        ordered = sorted(texts, key=len)

        def rate(size: int) -> float:
            took = sum(self.embed(ordered[at : at + size]) for at in range(0, len(ordered), size))
            return len(ordered) / took * 1000

        return max(rate(size) for size in (8, 32))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._in.close()
        self._process.wait(10)
        self._out.close()


class Fsync:
    """Appends of one page to a file, each made durable."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "fsync-floor"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._page = os.urandom(4096)

    def once(self) -> float:
        """Milliseconds of one write and fsync."""
        start = time.perf_counter()
        os.write(self._file, self._page)
        os.fsync(self._file)
        return (time.perf_counter() - start) * 1000

    def close(self) -> None:
        """Remove its file."""
        os.close(self._file)
        self._path.unlink()


def run(command: list[str], environ: dict[str, str]) -> float:
    """Wall milliseconds of a whole process; raises when it fails."""
    start = time.perf_counter()
    none = subprocess.DEVNULL
    done = subprocess.run(command, env=environ, stdin=none, stdout=none, stderr=none, check=False)
    took = (time.perf_counter() - start) * 1000
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}")
    return took


BARE_PYTHON = [sys.executable, "-c", "pass"]
