"""What the daemon costs at rest, and how soon it answers after a cold start."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench import text
from bench.fill import filled
from bench.harness import Options, Row, Sample, below, info, main, timed
from bench.home import Home, temporary_home, wait_for


def uss_mb(pid: int) -> float:
    """Memory that is the process's alone, MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


@dataclass(frozen=True)
class Use:
    """What a process used in a while: CPU in ms (of ticks of 10), and how often it woke up."""

    cpu_ms: float
    wakeups: int


def use_of(pid: int, seconds: float) -> Use:
    """What the process does in so many seconds of rest."""

    def cpu() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def switches() -> int:
        total = 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                lines = (task / "status").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
        return total

    before = cpu(), switches()
    time.sleep(seconds)
    return Use(cpu() - before[0], switches() - before[1])


def cold_starts(home: Home, count: int) -> tuple[Sample, list[str]]:
    """Wall ms of `jmem search` when no daemon runs, and the modes of the answers."""
    taken, modes = [], []
    for number, question in enumerate(text.questions(count, seed=501)):
        home.stop() if number % 2 else home.kill()
        start = time.perf_counter()
        answer = json.loads(home.jmem("search", question, "--json").stdout)
        taken.append((time.perf_counter() - start) * 1000)
        modes.append(answer.get("degraded") or answer.get("mode", "hybrid"))
    return Sample(tuple(taken)), modes


def first_tools(home: Home) -> tuple[float, float]:
    """Ms from the start of a daemon to the answer of tools/list, and to the model being loaded."""
    home.mcp_url("bench")
    home.stop()
    loaded: list[float] = []

    def watch() -> None:
        with contextlib.closing(home.api()) as api:
            wait_for(lambda: api.must("GET", "/status")["embedder"]["state"] == "loaded", 30, "the model")
        loaded.append((time.perf_counter() - start) * 1000)

    start = time.perf_counter()
    home.jmem("daemon", "start")
    watcher = threading.Thread(target=watch)
    watcher.start()
    with contextlib.closing(home.mcp("bench")) as mcp:
        tools = mcp.rpc("tools/list", {})["result"]["tools"]
        assert len(tools) == 4, tools
    listed = (time.perf_counter() - start) * 1000
    watcher.join()
    return listed, loaded[0]


def bench(options: Options) -> list[Row]:
    """Run it; a row a figure."""
    rest = 5.0 if options.quick else 10.0
    with temporary_home(filled(10_000, synthetic=options.quick)) as home:
        home.start()
        home.indexed()
        starts, modes = cold_starts(home, 4 if options.quick else 10)
        listed, loaded = first_tools(home)
        with contextlib.closing(home.api()) as api:
            for question in text.questions(50, seed=502):
                api.search(question)
        time.sleep(5)  # a backup that is due is made some seconds after the start
        with_model = uss_mb(home.start())
        idle = use_of(home.start(), rest)
        home.stop()
        (home.path / "config.toml").write_text("[idle]\nunload = 1\n")
        home.start()
        with contextlib.closing(home.api()) as api:
            api.search("a question that loads the model")
            released = timed(lambda: wait_for(lambda: api.must("GET", "/status")["embedder"]["state"] != "loaded", 30))
        time.sleep(1)
        without = uss_mb(home.start())
        with contextlib.closing(home.mcp("bench")) as mcp:
            mcp.rpc("tools/list", {})
        woken = home.status()["embedder"]["state"] == "loaded"
    degraded = [mode for mode in modes if mode != "hybrid"]
    return [
        below("first answer after a cold start", starts.p50, "ms", 1000, spread=starts.spread),
        below("of them by words alone", len(degraded), "", 0, inclusive=True),
        below("models loaded for tools/list", int(woken), "", 0, inclusive=True),
        info("tools/list after a cold start", listed, "ms"),
        info("model loaded after a cold start", loaded, "ms"),
        below(f"CPU in {rest:g} s at rest", idle.cpu_ms, "ms", 0, inclusive=True),
        below(f"wake-ups in {rest:g} s at rest", idle.wakeups, "", 0, inclusive=True),
        below("private memory, model loaded", with_model, "MB", 350),
        below("private memory, model released", without, "MB", 120),
        info("model released after", released, "ms"),
    ]


if __name__ == "__main__":
    main("footprint", "Footprint at 10,000 memories", bench)
